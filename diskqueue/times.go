package diskqueue

import (
	"errors"
	"sort"
)

// times say when the records of a segment were published, as they say themselves, along its
// index, or its runs. Publishers' clocks differ, and step: so it is the latest of all records
// up to a place, which only grows, and by which the first record of a time or later is found.
type times struct {
	// latest is, by entry, when the latest of all records up to the next entry was
	// published, ns since 1970. That of the last entry is newest. What is in it does not
	// change.
	latest []int64
	newest int64 // 0: it is not known, or before 1970
}

// noteTime notes when the next record was published; ended says that a new entry begins with
// it, and that there is one before.
func (t *times) noteTime(ended bool, at int64) {
	if ended {
		t.latest = append(t.latest, t.newest)
	}
	t.newest = max(t.newest, at)
}

// noting gathers what records add to the index of a segment while they are written: each is
// looked at while the cache has it.
type noting struct {
	base    uint64
	size    int64 // of the segment before them
	last    int64 // offset of the last entry, or far below the first record
	entries []noted
	newest  int64 // see times
}

// noted is a new entry of an index, and the newest of all records before it.
type noted struct {
	indexEntry
	newest int64
}

// begin begins behind what a segment has.
func (n *noting) begin(s *layout) {
	n.base, n.size, n.last, n.entries, n.newest = s.base, s.size, -indexStride, n.entries[:0], s.newest
	if i := len(s.index); i > 0 {
		n.last = int64(s.index[i-1].offset)
	}
}

// note looks at the record that stands at so many bytes behind the end.
func (n *noting) note(seq uint64, at uint32, time int64) {
	if offset := n.size + int64(at); offset-n.last >= indexStride {
		n.last = offset
		n.entries = append(n.entries, noted{indexEntry{rel: uint32(seq - n.base), offset: uint32(offset)}, n.newest})
	}
	n.newest = max(n.newest, time)
}

// addNoted adds what was gathered of records that the segment has now.
func (s *layout) addNoted(n *noting) {
	for _, e := range n.entries {
		if len(s.index) > 0 {
			s.latest = append(s.latest, e.newest)
		}
		s.index = append(s.index, e.indexEntry)
	}
	s.newest = n.newest
}

// note adds one record, which stands at an offset.
func (s *layout) note(seq uint64, offset, time int64) {
	var n noting
	n.begin(s)
	n.note(seq, uint32(offset-n.size), time)
	s.addNoted(&n)
}

// latestAt is what is known of an entry and all before it.
func (t *times) latestAt(i int) int64 {
	if i < len(t.latest) {
		return t.latest[i]
	}
	return t.newest
}

// earlier says that where both know something t is before others. It may be behind them: what
// was cut off at the end counted too.
func (t *times) earlier(others *times) bool {
	for i := range min(len(t.latest), len(others.latest)) {
		if t.latest[i] < others.latest[i] {
			return true
		}
	}
	return t.newest < others.newest
}

// upTo are the times of the first n entries.
func (t *times) upTo(n int) times {
	if n == 0 {
		return times{}
	}
	return times{latest: t.latest[:min(n-1, len(t.latest)):min(n-1, len(t.latest))], newest: t.latestAt(n - 1)}
}

// Since is the number of the first record, in the order of the log, that was published at a
// time, ns since 1970, or later; End when there is none. All that were lie from there on, and
// others too where the log is not in the order of its times. It is found by the index, and
// about as much is read as there is between two of its entries; of segments with an index of
// an older version, that do not tell times, some records are read, and their times are taken
// to ascend. Records that cannot be read now may be of that time. The error is of the file
// system.
func (r *Reader) Since(time int64) (uint64, error) {
	list := r.l.list()
	for i := 0; i < len(list); i++ {
		at := r.l.layoutOf(list[i])
		from, to := at.base, at.end
		switch {
		case at.newest == 0:
			for ; i+1 < len(list) && r.l.layoutOf(list[i+1]).newest == 0; i++ {
				to = r.l.layoutOf(list[i+1]).end
			}
			from = r.firstAscending(from, to, time)
		case at.newest < time:
			continue
		default:
			from = at.entrySeq(sort.Search(len(at.latest), func(i int) bool { return at.latest[i] >= time }))
		}
		if seq, found, err := r.firstSince(from, to, time); found || err != nil {
			return seq, err
		}
	}
	return r.l.End(), nil
}

// firstSince looks from a record on for the first of a time or later. One is expected before
// the next entry of the index; only behind damage it may be farther away.
func (r *Reader) firstSince(from, to uint64, time int64) (seq uint64, found bool, err error) {
	for seq = from; seq < to; {
		v, err := r.Read(seq)
		var later *UnreadableError
		switch {
		case err == nil && v.Timestamp < time:
			seq++
			continue
		case err == nil, errors.As(err, &later):
			return seq, true, nil
		}
		if seq, err = r.behindGap(seq, err); err != nil {
			return 0, false, err
		}
	}
	return 0, false, nil
}

// firstAscending is where the first record of a time or later is among [from, to), whose times
// ascend. What cannot be read counts as the next that can.
func (r *Reader) firstAscending(from, to uint64, time int64) uint64 {
	return from + uint64(sort.Search(int(to-from), func(i int) bool {
		_, found, err := r.firstReadable(from+uint64(i), to, time)
		return found || err != nil // which is met again there
	}))
}

// firstReadable says whether the first record from a number on that can be read is of a time
// or later.
func (r *Reader) firstReadable(from, to uint64, time int64) (seq uint64, later bool, err error) {
	for seq = from; seq < to; {
		v, err := r.Read(seq)
		if err == nil {
			return seq, v.Timestamp >= time, nil
		}
		if seq, err = r.pastUnread(seq, err); err != nil {
			return 0, false, err
		}
	}
	return to, true, nil
}

// pastUnread is the next number that may be read behind one that cannot be, or the error
// where nothing can.
func (r *Reader) pastUnread(seq uint64, err error) (uint64, error) {
	var unreadable *UnreadableError
	if errors.As(err, &unreadable) {
		return unreadable.To, nil
	}
	return r.behindGap(seq, err)
}
