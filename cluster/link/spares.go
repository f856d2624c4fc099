package link

import "sync"

// spares is memory of long bodies that is used again: where megabytes come by the second,
// the garbage collector would run all the time for them alone. It may be used
// concurrently.
type spares struct{ pool sync.Pool } // of *[]byte

// get is a buffer of n bytes or more, with anything in it.
func (s *spares) get(n int) []byte {
	if n < KeptBytes {
		return unzeroed(n)
	}
	if b, ok := s.pool.Get().(*[]byte); ok && len(*b) >= n {
		return *b
	}
	if n > KeptBytes {
		n += spareMore
	}
	return unzeroed(n)
}

// spareMore is what a buffer is longer than it has to be: it comes back without what was
// in front of the body, and the next body may be longer.
const spareMore = 8 << 10

// put takes memory that nobody uses any more, unless it is not worth it or too much to be
// kept.
func (s *spares) put(b []byte) {
	if b = b[:cap(b)]; len(b) > KeptBytes && len(b) <= longBuffer {
		s.pool.Put(&b)
	}
}
