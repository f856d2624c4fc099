package diskqueue

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"qmq/message"
)

// marksPage is how many marks are listed in one piece of memory:
// one list of all would be copied again and again as it grows.
const marksPage = 1024

// addMarks lists marks behind those that are listed.
func (s *segment) addMarks(list []message.Mark) {
	for len(list) > 0 {
		last := len(s.marks) - 1
		if last < 0 || len(s.marks[last]) == marksPage {
			var page []message.Mark // the first one grows: there may be few
			if last++; last > 0 {
				page = make([]message.Mark, 0, marksPage)
			}
			s.marks = append(s.marks, page)
		}
		n := min(len(list), marksPage-len(s.marks[last]))
		s.marks[last] = append(s.marks[last], list[:n]...)
		list = list[n:]
	}
}

// Marks lists the marks of the messages with from ≤ seq < to, ascending.
func (l *Log) Marks(from, to uint64) ([]message.Mark, error) {
	for {
		found, err, moved := l.marksOnce(from, to)
		if !moved {
			return found, err
		}
	}
}

// marksOnce is Marks; moved says that another segment took the place of one
// that was looked at, or that it is gone.
func (l *Log) marksOnce(from, to uint64) (found []message.Mark, failed error, moved bool) {
	for _, s := range l.list().between(from, to) {
		if l.layoutOf(s).end <= from {
			continue
		}
		pages, err := l.marksOf(s)
		failed = errors.Join(failed, err)
		for _, page := range pages {
			i := sort.Search(len(page), func(i int) bool { return page[i].Seq >= from })
			j := sort.Search(len(page), func(i int) bool { return page[i].Seq >= to })
			found = append(found, page[i:max(i, j)]...)
		}
		moved = moved || l.left(s)
	}
	return found, failed, moved
}

// marksOf lists the marks of a segment, in pages. They may have to be
// read from its index.
func (l *Log) marksOf(s *segment) ([][]message.Mark, error) {
	l.mu.Lock()
	pages, onDisk := slices.Clone(s.marks), s.marksOnDisk
	l.mu.Unlock()
	if !onDisk {
		return pages, nil // what is in them does not change
	}
	idx, err := l.readIndex(s)
	if err == nil && idx.salt == s.salt {
		return onePage(idx.marks), nil
	}
	found, err := l.scan(s, l.layoutOf(s).end)
	if err != nil {
		return nil, fmt.Errorf("marks of the messages of %s: %w", s.path, err)
	}
	return onePage(found.marks), nil
}

func onePage(list []message.Mark) [][]message.Mark {
	if len(list) == 0 {
		return nil
	}
	return [][]message.Mark{list}
}
