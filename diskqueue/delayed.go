package diskqueue

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"qmq/message"
)

// delayedPage is how many deferred messages are listed in one piece of memory:
// one list of all would be copied again and again as it grows.
const delayedPage = 1024

// addDelayed lists deferred messages behind those that are listed.
func (s *segment) addDelayed(list []message.Delayed) {
	for len(list) > 0 {
		last := len(s.delayed) - 1
		if last < 0 || len(s.delayed[last]) == delayedPage {
			var page []message.Delayed // the first one grows: there may be few
			if last++; last > 0 {
				page = make([]message.Delayed, 0, delayedPage)
			}
			s.delayed = append(s.delayed, page)
		}
		n := min(len(list), delayedPage-len(s.delayed[last]))
		s.delayed[last] = append(s.delayed[last], list[:n]...)
		list = list[n:]
	}
}

// Delayed lists the deferred messages with from ≤ seq < to, ascending.
func (l *Log) Delayed(from, to uint64) ([]message.Delayed, error) {
	for {
		found, err, moved := l.delayedOnce(from, to)
		if !moved {
			return found, err
		}
	}
}

// delayedOnce is Delayed; moved says that another segment took the place of one
// that was looked at, or that it is gone.
func (l *Log) delayedOnce(from, to uint64) (found []message.Delayed, failed error, moved bool) {
	for _, s := range l.between(from, to) {
		pages, err := l.delayedOf(s)
		failed = errors.Join(failed, err)
		for _, page := range pages {
			i := sort.Search(len(page), func(i int) bool { return page[i].Seq >= from })
			j := sort.Search(len(page), func(i int) bool { return page[i].Seq >= to })
			found = append(found, page[i:max(i, j)]...)
		}
		l.unpin(s)
		moved = moved || l.left(s)
	}
	return found, failed, moved
}

// delayedOf lists the deferred messages of a pinned segment, in pages. They may
// have to be read from its index.
func (l *Log) delayedOf(s *segment) ([][]message.Delayed, error) {
	l.mu.Lock()
	pages, onDisk := slices.Clone(s.delayed), s.delayedOnDisk
	l.mu.Unlock()
	if !onDisk {
		return pages, nil // what is in them does not change
	}
	idx, err := l.readIndex(s)
	if err == nil && idx.salt == s.salt {
		return onePage(idx.delayed), nil
	}
	found, err := l.scan(s, s.end)
	if err != nil {
		return nil, fmt.Errorf("deferred messages of %s: %w", s.path, err)
	}
	return onePage(found.delayed), nil
}

func onePage(list []message.Delayed) [][]message.Delayed {
	if len(list) == 0 {
		return nil
	}
	return [][]message.Delayed{list}
}
