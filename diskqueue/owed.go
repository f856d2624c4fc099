package diskqueue

import (
	"errors"
	"iter"

	"qmq/internal/seqset"
	"qmq/message"
)

// OwedBytes is how many bytes of records the numbers of owed, ascending and
// disjoint, take in the segment with these numbers: at least low and at most
// high, as far as the index tells.
func (l *Log) OwedBytes(numbers seqset.Range, owed []seqset.Range) (low, high int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.list().of(numbers.From)
	if s == nil || s.base != numbers.From {
		return 0, 0
	}
	for st, n := range s.owedStretches(owed) {
		switch {
		case n == 0:
		case n == st.numbers.Len():
			low, high = low+st.bytes, high+st.bytes
		default:
			low, high = low+int64(n)*message.HeaderSize, high+st.bytes
		}
	}
	return low, high
}

// Measure is how many bytes the records of owed take. It reads them.
func (l *Log) Measure(owed []seqset.Range) (n int64, err error) {
	r := l.NewReader()
	defer r.Release()
	for _, o := range owed {
		for seq := o.From; seq < o.To; seq++ {
			v, err := r.Read(seq)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return n, err
			}
			n += int64(message.HeaderSize + len(v.Attrs) + len(v.Body))
		}
	}
	return n, nil
}

// stretch is a part of a segment between two places that its index knows.
type stretch struct {
	numbers seqset.Range
	bytes   int64
}

// owedStretches lists the stretches of a segment, each with how many of its numbers are
// among those of owed. The log's lock is held.
func (s *layout) owedStretches(owed []seqset.Range) iter.Seq2[stretch, uint64] {
	return func(yield func(stretch, uint64) bool) {
		for st := range s.stretches() {
			n := uint64(0)
			for len(owed) > 0 && owed[0].To <= st.numbers.From {
				owed = owed[1:]
			}
			for _, o := range owed {
				if o.From >= st.numbers.To {
					break
				}
				n += o.Overlap(st.numbers).Len()
			}
			if !yield(st, n) {
				return
			}
		}
	}
}

// stretches lists the parts of a segment, ascending. The log's lock is held.
func (s *layout) stretches() func(yield func(stretch) bool) {
	return func(yield func(stretch) bool) {
		if s.carried {
			for i, r := range s.runs {
				to := s.size
				if i+1 < len(s.runs) {
					to = int64(s.runs[i+1].offset)
				}
				if !yield(stretch{seqset.Range{From: r.seq, To: r.end()}, to - int64(r.offset)}) {
					return
				}
			}
			return
		}
		for i, e := range s.index {
			st := stretch{seqset.Range{From: s.base + uint64(e.rel), To: s.end}, s.size - int64(e.offset)}
			if i+1 < len(s.index) {
				st.numbers.To = s.base + uint64(s.index[i+1].rel)
				st.bytes = int64(s.index[i+1].offset) - int64(e.offset)
			}
			if !yield(st) {
				return
			}
		}
	}
}

// ShareOf is about how many bytes the records of owed take, which lie in the segment of
// these numbers: where a part of a stretch is owed, it is that part of its bytes.
func (l *Log) ShareOf(numbers seqset.Range, owed []seqset.Range) (bytes int64) {
	if len(owed) == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.list().of(numbers.From)
	if s == nil || s.base != numbers.From {
		return 0
	}
	for st, n := range s.owedStretches(owed) {
		bytes += int64(float64(st.bytes) * (float64(n) / float64(st.numbers.Len())))
	}
	return bytes
}
