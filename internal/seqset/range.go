package seqset

// Range is the sequence numbers from From up to, not including, To.
type Range struct {
	From, To uint64
}

// Len is how many numbers the range holds.
func (r Range) Len() uint64 { return r.To - r.From }
