package diskqueue

import (
	"sort"

	"qmq/internal/seqset"
)

// run is records with consecutive numbers in a carry segment. A longer one is
// cut every indexStride bytes, so that a record is found near the start of one.
type run struct {
	seq    uint64
	count  uint32
	offset uint32 // of the first
}

func (r run) end() uint64 { return r.seq + uint64(r.count) }

// runOf is the index in runs of the run with seq.
func runOf(runs []run, seq uint64) (i int, ok bool) {
	i = sort.Search(len(runs), func(i int) bool { return runs[i].end() > seq })
	return i, i < len(runs) && runs[i].seq <= seq
}

// maxStretchRuns is how many runs that go on in each other are read at a time.
const maxStretchRuns = maxStretch / indexStride

// locateRun finds the run with seq, and how far one may read on from its start.
func (s *layout) locateRun(seq uint64) (p place, ok bool) {
	i, ok := runOf(s.runs, seq)
	if !ok {
		return p, false
	}
	r := s.runs[i]
	p = place{seq: r.seq, offset: int64(r.offset), end: r.end(), limit: s.size}
	last := i
	for ; last+1 < len(s.runs) && last-i < maxStretchRuns && s.runs[last+1].seq == p.end; last++ {
		p.end = s.runs[last+1].end()
	}
	if last+1 < len(s.runs) {
		p.limit = int64(s.runs[last+1].offset)
	}
	return p, true
}

// holds says whether the segment has a record of a number that it stands for.
func (s *layout) holds(seq uint64) bool {
	if !s.carried {
		return true
	}
	_, ok := runOf(s.runs, seq)
	return ok
}

// noteRun adds a record of a carry segment.
func noteRun(runs []run, seq uint64, offset int64) []run {
	if n := len(runs); n > 0 && runs[n-1].end() == seq && offset-int64(runs[n-1].offset) < indexStride {
		runs[n-1].count++
		return runs
	}
	return append(runs, run{seq: seq, count: 1, offset: uint32(offset)})
}

// gapsOf lists the numbers of the segment that no record has.
func (s *layout) gapsOf() (gaps []seqset.Range) {
	if !s.carried {
		return nil
	}
	at := s.base
	for _, r := range s.runs {
		if at < r.seq {
			gaps = append(gaps, seqset.Range{From: at, To: r.seq})
		}
		at = r.end()
	}
	if at < s.end {
		gaps = append(gaps, seqset.Range{From: at, To: s.end})
	}
	return gaps
}

// held is how many records of a carry segment are there.
func (s *layout) held() (n uint32) {
	for _, r := range s.runs {
		n += r.count
	}
	return n
}
