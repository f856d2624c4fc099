package diskqueue

import (
	"io"
	"math"

	"qmq/message"
)

// scanCarry reads all of a carry segment, whose file has size bytes. It was
// synced before it got its name, so what does not verify in it is damage.
func scanCarry(f io.ReaderAt, s *segment, size int64) (scanned, error) {
	sc := scanner{f: &around{f: f}, salt: s.salt, limit: min(size, math.MaxUint32), gaps: true}
	out := scanned{end: s.end, size: s.start}
	at, held, behind := s.base, uint32(0), false // behind: right behind damage
	for {
		rec, err := sc.record(out.size)
		if err != nil {
			return scanned{}, err
		}
		if rec != nil && message.SeqOf(rec) >= at && message.SeqOf(rec) < s.end {
			out.takeCarried(message.Decode(rec), len(rec), behind)
			at, held, behind = message.SeqOf(rec)+1, held+1, false
			continue
		}
		if held >= s.count {
			return out, nil
		}
		resume, seq, found, err := sc.next(out.size+1, at, s.end)
		if err != nil {
			return scanned{}, err
		}
		if !found {
			resume, seq = max(sc.limit, out.size), s.end
		}
		if at < seq {
			out.damaged = append(out.damaged, damage{from: at, to: seq, offset: out.size, resume: resume})
		}
		if at, out.size, behind = seq, resume, true; !found {
			return out, nil
		}
	}
}

// takeCarried adds a good record of a carry segment, behind damage or not.
func (f *scanned) takeCarried(v message.View, size int, behind bool) {
	n := len(f.runs)
	if behind {
		f.runs = append(f.runs, run{seq: v.Seq, count: 1, offset: uint32(f.size)})
	} else {
		f.runs = noteRun(f.runs, v.Seq, f.size)
	}
	f.noteTime(n > 0 && len(f.runs) > n, v.Timestamp)
	f.list(&v)
	f.size += int64(size)
}
