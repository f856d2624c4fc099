package channel

// drawn says whether a message is among the rate per cent that a consumer
// wants. It says the same when it is asked again, for a message that was given
// back because it did not fit, and differs between channels.
func (c *Channel) drawn(seq uint64, rate int) bool {
	return scatter(seq^scatter(c.o.Incarnation))%100 < uint64(rate)
}

// scatter makes numbers that are close to one another look random: the output
// function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
// Number Generators, 2014).
func scatter(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// sample drops, for good, the messages reserved for h that it does not keep:
// they count as acknowledged, and not as delivered. Messages that were
// delivered before are kept: they have been drawn.
func (c *core) sample(h *holder, batch []reservation, keep func(seq uint64) bool) []reservation {
	kept := batch[:0]
	for _, r := range batch {
		if r.before > 0 || keep(r.seq) {
			kept = append(kept, r)
			continue
		}
		c.removeInFlight(c.flight.find(r.seq))
		c.done(r.seq)
	}
	c.undelivered(h, len(batch)-len(kept))
	return kept
}
