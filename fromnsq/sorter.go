package fromnsq

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"

	"qmq/internal/vfs"
)

// sorter sorts any number of entries in little memory: what does not fit goes to
// files, each sorted, which are merged.
type sorter struct {
	fs    vfs.FS
	dir   string // of the files, which is there
	most  int    // entries in memory
	buf   []entry
	files []string
	n     int64 // entries in all
}

// add adds an entry.
func (s *sorter) add(e *entry) error {
	if len(s.buf) == s.most {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.buf = append(s.buf, *e)
	s.n++
	return nil
}

// end says that all entries were added.
func (s *sorter) end() error {
	if len(s.files) == 0 {
		s.sort()
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.buf = nil
	return nil
}

func (s *sorter) sort() {
	slices.SortFunc(s.buf, func(a, b entry) int { return compareEntries(&a, &b) })
}

// runBytes is how much of a file of entries is written or read at a time.
const runBytes = 1424 * entrySize // nearly 64 KiB

// spill writes what is in memory to a file.
func (s *sorter) spill() error {
	s.sort()
	path := filepath.Join(s.dir, fmt.Sprintf("%06d", len(s.files)))
	f, err := s.fs.Create(path)
	if err != nil {
		return err
	}
	s.files = append(s.files, path)
	buf, at := make([]byte, 0, runBytes), int64(0)
	for i := range s.buf {
		buf = s.buf[i].append(buf)
		if len(buf) == runBytes || i == len(s.buf)-1 {
			if _, err := f.WriteAt(buf, at); err != nil {
				return errors.Join(err, f.Close())
			}
			at, buf = at+int64(len(buf)), buf[:0]
		}
	}
	s.buf = s.buf[:0]
	return f.Close()
}

// all passes on all entries in their order, after end; with an error the last one.
// What it passes on is valid until the next one.
func (s *sorter) all() iter.Seq2[*entry, error] {
	return func(yield func(*entry, error) bool) {
		if len(s.files) == 0 {
			for i := range s.buf {
				if !yield(&s.buf[i], nil) {
					return
				}
			}
			return
		}
		var m merge
		defer m.close()
		if err := m.open(s); err != nil {
			yield(nil, err)
			return
		}
		for len(m) > 0 {
			if !yield(&m[0].e, nil) {
				return
			}
			if err := m.next(); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// remove removes the files.
func (s *sorter) remove() error {
	s.buf = nil
	for _, path := range s.files {
		if err := s.fs.Remove(path); err != nil {
			return err
		}
	}
	s.files = nil
	return nil
}

// run is a sorted file that is read from the front.
type run struct {
	f    vfs.File
	buf  []byte // runBytes, of which rest is left
	rest []byte
	at   int64
	e    entry // the first one that was not passed on
}

// merge is the runs that have entries left, the one with the least entry first. As
// a heap it is container/heap's.
type merge []*run

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return compareEntries(&m[i].e, &m[j].e) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push and Pop are the heap's.
func (m *merge) Push(x any) { *m = append(*m, x.(*run)) }

func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

func (m *merge) open(s *sorter) error {
	for _, path := range s.files {
		f, err := s.fs.Open(path)
		if err != nil {
			return err
		}
		r := &run{f: f, buf: make([]byte, runBytes)}
		more, err := r.next()
		if err != nil || !more {
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			continue
		}
		*m = append(*m, r)
	}
	heap.Init(m)
	return nil
}

// next goes on behind the least entry.
func (m *merge) next() error {
	least := (*m)[0]
	more, err := least.next()
	switch {
	case err != nil:
		return err
	case more:
		heap.Fix(m, 0)
		return nil
	}
	heap.Pop(m)
	return least.f.Close()
}

func (m *merge) close() {
	for _, r := range *m {
		r.f.Close() // only read
	}
}

// next reads the next entry; more is false when there is none.
func (r *run) next() (more bool, err error) {
	if len(r.rest) == 0 {
		n, err := r.f.ReadAt(r.buf, r.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if n%entrySize != 0 {
			return false, io.ErrUnexpectedEOF
		}
		if r.rest = r.buf[:n]; n == 0 {
			return false, nil
		}
		r.at += int64(n)
	}
	r.e.decode(r.rest)
	r.rest = r.rest[entrySize:]
	return true, nil
}
