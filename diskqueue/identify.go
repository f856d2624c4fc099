package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"qmq/internal/vfs"
	"qmq/message"
)

// open opens a file, at the second try if it is the medium that fails.
func (o *inspection) open(path string) (f vfs.File, err error) {
	for range mediumTries {
		if f, err = o.l.shared.fs.Open(path); err == nil || !ofMedium(err) {
			break
		}
	}
	return f, err
}

// identify finds out what a file is.
func (o *inspection) identify(c *candidate) error {
	f, err := o.open(c.path)
	if err != nil {
		return o.identifyUnread(c, err)
	}
	defer f.Close()
	if c.size, err = f.Size(); err != nil {
		return o.identifyUnread(c, err)
	}
	h, flaw, err := readHead(f, c.base)
	if err != nil {
		return o.identifyWithoutHeader(c, f, err)
	}
	if h.incarnation != o.l.o.Incarnation {
		c.flaw, c.content = fmt.Errorf("its header says that it is of the topic with id %016x", h.incarnation), true
		return nil
	}
	c.segment, c.flaw = newSegment(&h, c.path), flaw
	return nil
}

// identifyUnread takes a file that the medium does not give for the segment that
// its index says it is: what cannot be read at the start may be later.
func (o *inspection) identifyUnread(c *candidate, err error) error {
	if !ofMedium(err) {
		return err
	}
	c.flaw, c.content = bare(err), true
	h := segmentHeader{incarnation: o.l.o.Incarnation, base: c.base, recycled: true}
	if idx, err := o.l.readIndex(newSegment(&h, c.path)); err == nil {
		h.salt, h.version, h.end, h.count = idx.salt, idx.segmentVersion(), idx.end, idx.held()
		c.segment, c.size = newSegment(&h, c.path), idx.size
	}
	return nil
}

// identifyWithoutHeader takes a file for a segment if its index or its records
// tell the salt.
func (o *inspection) identifyWithoutHeader(c *candidate, f vfs.File, headErr error) error {
	c.flaw = bare(headErr)
	if c.size < headerSize+message.HeaderSize || errors.Is(headErr, errNewerSegment) {
		c.content = errors.Is(headErr, errNewerSegment)
		return nil
	}
	h := segmentHeader{incarnation: o.l.o.Incarnation, base: c.base, recycled: true}
	if idx, err := o.l.readIndex(newSegment(&h, c.path)); err == nil {
		h.salt, h.version, h.end, h.count = idx.salt, idx.segmentVersion(), idx.end, idx.held()
		c.segment = newSegment(&h, c.path)
		return nil
	}
	medium := &around{f: f}
	for _, h.version = range []uint32{2, 1} {
		salt, ok, err := findSalt(medium, c.size, h.start(), c.base)
		if err != nil {
			return err
		}
		if ok {
			h.salt = salt
			c.segment = newSegment(&h, c.path)
			return nil
		}
	}
	some, err := anyNonZero(medium, c.size)
	if c.content = some || medium.err != nil; medium.err != nil { // nobody knows yet what is in it
		c.flaw = bare(medium.err)
	}
	return err
}

// findSalt finds the salt of a segment whose header is lost from its first two
// records: where the numbers fit and both have the same salt, it is that.
func findSalt(f io.ReaderAt, size, start int64, base uint64) (salt uint32, ok bool, err error) {
	sc := scanner{f: f, limit: size}
	head, err := sc.bytes(start, message.HeaderSize)
	if err != nil || len(head) < message.HeaderSize {
		return 0, false, err
	}
	n, ok := message.Size(head)
	if !ok || int64(n) > size-start || message.SeqOf(head) != base {
		return 0, false, nil
	}
	first, err := sc.bytes(start, n)
	if err != nil {
		return 0, false, err
	}
	sc.salt = message.SaltOf(first)
	second, err := sc.record(start + int64(n))
	return sc.salt, second != nil && message.SeqOf(second) == base+1, err
}

func anyNonZero(f io.ReaderAt, size int64) (bool, error) {
	sc := scanner{f: f, limit: size}
	for off := int64(0); off < size; off += scanWindow {
		b, err := sc.bytes(off, scanWindow)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) {
			return true, nil
		}
	}
	return false, nil
}
