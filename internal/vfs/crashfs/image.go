package crashfs

import (
	"qmq/internal/vfs/ram"
)

// image is a file's contents, with a record of which bytes were ever written.
type image struct {
	bytes ram.Bytes
	taken []span // ascending, apart from each other
}

// span is the bytes from up to, not including, to.
type span struct{ from, to int64 }

// space is how many bytes were ever written.
func (m *image) space() int64 {
	var sum int64
	for _, s := range m.taken {
		sum += s.to - s.from
	}
	return sum
}

// fits is how long a prefix of a write takes no more than room new bytes.
func (m *image) fits(off int64, length int, room int64) int {
	at, end := off, off+int64(length)
	for _, s := range m.taken {
		if s.to <= at {
			continue
		}
		if s.from >= end {
			break
		}
		if s.from > at {
			if s.from-at > room {
				break
			}
			room -= s.from - at
		}
		at = s.to
	}
	return int(min(end, at+max(0, room)) - off)
}

func (m *image) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	m.bytes.WriteAt(p, off)
	add := span{off, off + int64(len(p))}
	kept := make([]span, 0, len(m.taken)+1)
	for i, s := range m.taken {
		switch {
		case s.to < add.from:
			kept = append(kept, s)
		case s.from > add.to:
			m.taken = append(append(kept, add), m.taken[i:]...)
			return
		default:
			add = span{min(s.from, add.from), max(s.to, add.to)}
		}
	}
	m.taken = append(kept, add)
}

func (m *image) truncate(size int64) {
	m.bytes.Truncate(size)
	var kept []span
	for _, s := range m.taken {
		if s.from < size {
			kept = append(kept, span{s.from, min(s.to, size)})
		}
	}
	m.taken = kept
}

func (m *image) clone() image {
	return image{bytes: m.bytes.Clone(), taken: append([]span(nil), m.taken...)}
}

// contents is all bytes.
func (m *image) contents() []byte {
	p := make([]byte, m.bytes.Size())
	n, _ := m.bytes.ReadAt(p, 0) // an error can only say that the file is empty
	return p[:n]
}

// flip changes a bit if the byte is there: another one for each of eight
// neighbouring bytes, and back when called again.
func (m *image) flip(off int64) {
	if off >= m.bytes.Size() {
		return
	}
	var b [1]byte
	m.bytes.ReadAt(b[:], off) // within the file, so it cannot fail
	b[0] ^= flipped(off)
	m.bytes.WriteAt(b[:], off)
}

func flipped(off int64) byte { return 1 << (off % 8) }
