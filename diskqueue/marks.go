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
func (l *Log) Marks(from, to uint64) (found []message.Mark, failed error) {
	failed = l.eachLists(from, to, func() { found = nil }, func(lists *sidelists) {
		for _, page := range lists.marks {
			i := sort.Search(len(page), func(i int) bool { return page[i].Seq >= from })
			j := sort.Search(len(page), func(i int) bool { return page[i].Seq >= to })
			found = append(found, page[i:max(i, j)]...)
		}
	})
	return found, failed
}

// Only lists the messages with from ≤ seq < to that are for one channel, ascending, but those
// of segments with an index of an older version.
func (l *Log) Only(from, to uint64) (found []message.Only, failed error) {
	failed = l.eachLists(from, to, func() { found = nil }, func(lists *sidelists) {
		for _, o := range lists.only {
			if from <= o.Seq && o.Seq < to {
				found = append(found, o)
			}
		}
	})
	return found, failed
}

// eachLists shows what is listed of each segment that may hold numbers of [from, to). It
// begins anew when another segment took the place of one that was shown, or that is gone.
func (l *Log) eachLists(from, to uint64, anew func(), show func(*sidelists)) (failed error) {
	for moved := true; moved; {
		anew()
		moved, failed = false, nil
		for _, s := range l.list().between(from, to) {
			if l.layoutOf(s).end <= from {
				continue
			}
			lists, err := l.listsOf(s)
			failed = errors.Join(failed, err)
			show(&lists)
			moved = moved || l.left(s)
		}
	}
	return failed
}

// listsOf is what is listed of a segment. It may have to be read from its index.
func (l *Log) listsOf(s *segment) (sidelists, error) {
	l.mu.Lock()
	lists, onDisk := sidelists{slices.Clone(s.marks), s.only}, s.listsOnDisk
	l.mu.Unlock()
	if !onDisk {
		return lists, nil // what is in them does not change
	}
	idx, err := l.readIndex(s)
	if err == nil && idx.salt == s.salt {
		return idx.lists(), nil
	}
	found, err := l.scan(s, l.layoutOf(s).end)
	if err != nil {
		return sidelists{}, fmt.Errorf("marks of the messages of %s: %w", s.path, err)
	}
	return sidelists{onePage(found.marks), found.only}, nil
}

// lists is what an index lists beside where records are.
func (d *decodedIndex) lists() sidelists { return sidelists{onePage(d.marks), d.only} }

// empty says that nothing is listed.
func (l *sidelists) empty() bool { return len(l.marks) == 0 && len(l.only) == 0 }

func onePage(list []message.Mark) [][]message.Mark {
	if len(list) == 0 {
		return nil
	}
	return [][]message.Mark{list}
}

// appendOnly adds a message for one channel, whose name mostly is that of the one before.
func appendOnly(list []message.Only, seq uint64, name []byte) []message.Only {
	o := message.Only{Seq: seq}
	if n := len(list); n > 0 && list[n-1].Channel == string(name) {
		o.Channel = list[n-1].Channel
	} else {
		o.Channel = string(name)
	}
	return append(list, o)
}
