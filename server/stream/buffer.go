package stream

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two, so that one given back by a connection fits
// whoever needs that much next. Lengths are in bytes.
const (
	// ReadBuffer is what one read of a socket starts with.
	ReadBuffer = 64 << 10

	minBuffer = 4 << 10  // what is left of half a command while waiting for more
	maxPooled = 16 << 20 // longer ones are left to the garbage collector
)

const (
	minShift = 12 // of minBuffer
	maxShift = 24 // of maxPooled
)

// Buffer is a piece of memory on loan from the pools. It belongs to whoever took
// it until Give.
type Buffer struct {
	B []byte
}

var bufferPools [maxShift - minShift + 1]sync.Pool

// TakeBuffer returns a buffer of at least n bytes; its content is arbitrary.
func TakeBuffer(n int) *Buffer {
	shift := shiftOf(n)
	if shift > maxShift {
		return &Buffer{B: make([]byte, n)}
	}
	if b, ok := bufferPools[shift-minShift].Get().(*Buffer); ok {
		return b
	}
	return &Buffer{B: make([]byte, 1<<shift)}
}

// shiftOf is how many bits the size of a buffer for n bytes has, less one.
func shiftOf(n int) int { return max(minShift, bits.Len(uint(max(n, 1)-1))) }

// bufferSize is how long a buffer for n bytes is.
func bufferSize(n int) int {
	if shift := shiftOf(n); shift <= maxShift {
		return 1 << shift
	}
	return n
}

// Keep makes the longer memory that append has moved the bytes to, if it has,
// the buffer's own.
func (b *Buffer) Keep(appended []byte) {
	if cap(appended) > len(b.B) {
		b.B = appended[:cap(appended)]
	}
}

// Give returns the buffer to its pool; nobody may use it or its bytes after
// that. A nil buffer is fine.
func (b *Buffer) Give() {
	if b == nil || len(b.B) < minBuffer || len(b.B) > maxPooled {
		return
	}
	// One that append has grown to an odd size serves the size below.
	shift := bits.Len(uint(len(b.B))) - 1
	b.B = b.B[:1<<shift]
	bufferPools[shift-minShift].Put(b)
}
