package server

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two, so that one given back by a session fits
// whoever needs that much next.
const (
	smallestBuffer = 4 << 10  // what is left of half a command while waiting for more
	readBuffer     = 64 << 10 // what one read of a socket starts with
	largestPooled  = 16 << 20 // longer ones are left to the garbage collector
)

const (
	smallestShift = 12
	largestShift  = 24
)

// buffer is a piece of memory on loan from the pools.
type buffer struct {
	b []byte
}

var bufferPools [largestShift - smallestShift + 1]sync.Pool

// takeBuffer returns a buffer of at least n bytes; its content is arbitrary.
func takeBuffer(n int) *buffer {
	shift := shiftOf(n)
	if shift > largestShift {
		return &buffer{b: make([]byte, n)}
	}
	if b, ok := bufferPools[shift-smallestShift].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, 1<<shift)}
}

// shiftOf is how many bits the size of a buffer for n bytes has, less one.
func shiftOf(n int) int { return max(smallestShift, bits.Len(uint(max(n, 1)-1))) }

// bufferSize is how long a buffer for n bytes is.
func bufferSize(n int) int {
	if shift := shiftOf(n); shift <= largestShift {
		return 1 << shift
	}
	return n
}

// keep makes b the longer memory that append has moved its bytes to, if it has.
func (b *buffer) keep(appended []byte) {
	if cap(appended) > len(b.b) {
		b.b = appended[:cap(appended)]
	}
}

// give returns the buffer to its pool; nobody may use it or its bytes after
// that. A nil buffer is fine.
func (b *buffer) give() {
	if b == nil || len(b.b) < smallestBuffer || len(b.b) > largestPooled {
		return
	}
	// One that append has grown to an odd size serves the size below.
	shift := bits.Len(uint(len(b.b))) - 1
	b.b = b.b[:1<<shift]
	bufferPools[shift-smallestShift].Put(b)
}
