// Package ram holds what file systems in memory are made of: the bytes of a
// file and the tree of names. It does no locking, knows no handles and starts
// no goroutine; whoever uses it does.
package ram

import (
	"io"
	"maps"
)

const (
	pageSize = 64 << 10
	minPage  = 512
)

// Bytes are a file's contents: pages that exist once written to, zeros
// elsewhere. The zero value is empty. Readers may run concurrently with each
// other, but not with a writer. Offsets and sizes must not be negative.
type Bytes struct {
	size int64
	// pages by number. All are pageSize long, except that the first grows with
	// the file, so that one with a few bytes costs a few hundred.
	pages map[int64][]byte
}

// Size is the length in bytes, holes included.
func (b *Bytes) Size() int64 { return b.size }

// ReadAt fills p from the offset on; it stops with io.EOF at the end.
func (b *Bytes) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if off >= b.size {
		return 0, io.EOF
	}
	want := len(p)
	if left := b.size - off; int64(want) > left {
		p = p[:left]
	}
	for q := p; len(q) > 0; {
		at := int(off % pageSize)
		part := q[:min(len(q), pageSize-at)]
		var have int
		if page := b.pages[off/pageSize]; at < len(page) {
			have = copy(part, page[at:])
		}
		clear(part[have:])
		q, off = q[len(part):], off+int64(len(part))
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

// WriteAt stores p at the offset, lengthening the file if need be. Nothing of
// p is kept.
func (b *Bytes) WriteAt(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	b.size = max(b.size, off+int64(len(p)))
	for len(p) > 0 {
		at := int(off % pageSize)
		n := min(len(p), pageSize-at)
		copy(b.page(off/pageSize, at+n)[at:], p[:n])
		p, off = p[n:], off+int64(n)
	}
}

// page is the page of that number, at least length bytes long.
func (b *Bytes) page(number int64, length int) []byte {
	page := b.pages[number]
	if len(page) >= length {
		return page
	}
	grown := pageSize
	if number == 0 {
		for grown = minPage; grown < length; grown *= 2 {
		}
	}
	if b.pages == nil {
		b.pages = make(map[int64][]byte)
	}
	b.pages[number] = make([]byte, grown)
	copy(b.pages[number], page)
	return b.pages[number]
}

// Truncate sets the size. What is cut off is given back, and reads as zeros if
// the file grows again.
func (b *Bytes) Truncate(size int64) {
	if size < b.size {
		border, at := size/pageSize, int(size%pageSize)
		maps.DeleteFunc(b.pages, func(number int64, _ []byte) bool {
			return number > border || number == border && at == 0
		})
		if page := b.pages[border]; at < len(page) {
			clear(page[at:])
		}
	}
	b.size = size
}

// Clone is a copy that shares nothing.
func (b *Bytes) Clone() Bytes {
	c := Bytes{size: b.size, pages: make(map[int64][]byte, len(b.pages))}
	for number, page := range b.pages {
		c.pages[number] = append([]byte(nil), page...)
	}
	return c
}
