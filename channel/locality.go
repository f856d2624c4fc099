package channel

// Locality says how near to this node a consumer is. Messages go to the nearest
// consumer that is ready for them; they are never kept for one that is not.
type Locality uint8

// The values of Locality, from far to near.
const (
	Anywhere Locality = iota
	SameRegion
	SameZone
	localities
)

// prefersNearer tells whether what there is goes to consumers that are nearer
// than h: those that are idle, of whom wakeNext names one, and those on their way.
func (c *core) prefersNearer(h *holder) bool {
	if first := c.idle.head; first != nil && first.locality > h.locality {
		return true
	}
	for nearer := h.locality + 1; nearer < localities; nearer++ {
		if c.wokenByLocality[nearer] > 0 {
			return true
		}
	}
	return false
}

// competitors is how many consumers with credit are as near as h or nearer.
func (c *core) competitors(h *holder) (n int) {
	for locality := h.locality; locality < localities; locality++ {
		n += int(c.creditByLocality[locality])
	}
	return n
}
