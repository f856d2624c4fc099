package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"qmq/internal/seqset"
	"qmq/message"
)

var (
	errDamagedIndex = errors.New("the index is damaged; a start reads the segment instead")
	errLongIndex    = errors.New("the index is longer than any; a start reads the segment instead")
)

// checkIndexes looks at the index files that Open makes no use of: nobody needs
// them, but what damaged them may have damaged more.
func (k *checker) checkIndexes() error {
	for _, base := range k.indexes {
		if base >= k.end() {
			continue // it is removed with its segment
		}
		i := slices.IndexFunc(k.files, func(c *candidate) bool { return c.segment != nil && c.segment.base == base })
		s := &segment{layout: layout{base: base, end: base}, path: segmentPath(k.l.o.Dir, base)}
		if i >= 0 {
			if s = k.files[i].segment; k.files[i].indexed {
				continue // it is held to the records
			}
		}
		if err := k.checkUnused(s); err != nil {
			return err
		}
	}
	return nil
}

// checkUnused looks at an index that is not used, of a segment that was scanned
// or is not there. It may be that of another segment whose place this one has
// taken, or what the end of the process or the machine left of one.
func (k *checker) checkUnused(s *segment) error {
	b, err := k.bytesOfIndex(s)
	switch {
	case isNotExist(err):
		return nil
	case ofMedium(err), errors.Is(err, errLongIndex):
		k.findIndex(s, bare(err))
		return nil
	case err != nil:
		return err
	}
	d, err := decodeIndex(b, s.base)
	switch {
	case err != nil:
		if !tornIndex(b) {
			k.findIndex(s, errDamagedIndex)
		}
	case s.end > s.base && d.salt != s.salt && d.end == s.end && d.size == s.size &&
		slices.Equal(d.index, s.index) && slices.Equal(d.runs, s.runs):
		// The checksum does not cover the salt.
		k.findIndex(s, fmt.Errorf("%w: it has the salt of another segment", errDamagedIndex))
	}
	return nil
}

func (k *checker) findIndex(s *segment, err error) {
	k.find(Finding{Kind: Inconsistent, Path: s.indexPath(), Range: seqset.Range{From: s.base, To: s.end}, Err: err})
}

// bytesOfIndex reads an index file that may be none.
func (k *checker) bytesOfIndex(s *segment) ([]byte, error) {
	f, err := k.open(s.indexPath())
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxIndex {
		return nil, errLongIndex
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// maxIndex is above the index of a segment of 2 GiB that is full of deferred
// messages without a body.
const maxIndex = 16 * (2 << 30) / message.HeaderSize * 2

// tornIndex says that a file may be what is left of an index that was being
// written, or not on the disk yet, when the process or the machine ended: its end
// is missing, or sectors of it are zeros. What else is not good was damaged later.
func tornIndex(b []byte) bool {
	const sector = 512
	for part := range slices.Chunk(b, sector) {
		if !slices.ContainsFunc(part, func(x byte) bool { return x != 0 }) {
			return true
		}
	}
	want, ok := indexSize(b)
	return len(b) < indexHeaderSize+4 || ok && want > int64(len(b)) && !badCount(b)
}

// badCount says that a file is a whole index one of whose counts is damaged.
func badCount(b []byte) bool {
	counts := []int{32, 36, 40, 44}
	if form, ok := formOf(binary.LittleEndian.Uint32(b[4:])); !ok || !form.timed {
		counts = counts[:3]
	}
	for _, count := range counts {
		fixed := slices.Clone(b)
		binary.LittleEndian.PutUint32(fixed[count:], 0)
		none, _ := indexSize(fixed)
		binary.LittleEndian.PutUint32(fixed[count:], 1)
		one, _ := indexSize(fixed)
		if left := int64(len(b)) - none; left >= 0 {
			binary.LittleEndian.PutUint32(fixed[count:], uint32(left/(one-none)))
			if indexSum(fixed) == binary.LittleEndian.Uint32(b[12:]) {
				return true
			}
		}
	}
	return false
}
