package channel

// Nearness says how near to this node a consumer is. Messages go to the nearest
// consumer that is ready for them; they are never kept for one that is not.
type Nearness uint8

// The values of Nearness, from far to near.
const (
	Anywhere Nearness = iota
	SameRegion
	SameZone
	nearnesses
)

// yields tells whether h leaves what there is to consumers that are nearer:
// those that are idle, of whom wakeNext wakes one, and those on their way.
func (c *core) yields(h *holder) bool {
	if first := c.idle.head; first != nil && first.near > h.near {
		return true
	}
	for near := h.near + 1; near < nearnesses; near++ {
		if c.wokenNear[near] > 0 {
			return true
		}
	}
	return false
}

// rivals is how many consumers with credit are as near as h or nearer.
func (c *core) rivals(h *holder) (n int) {
	for near := h.near; near < nearnesses; near++ {
		n += int(c.creditNear[near])
	}
	return n
}
