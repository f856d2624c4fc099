package diskqueue

import (
	"errors"
	"fmt"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// history is what a test did with a log over several lives of its process.
type history struct {
	attempted map[uint64]string // by number; all that was ever given to Append
	deferred  map[uint64]int64
	multis    [][2]uint64 // from, to of each MPUB
	risked    [2]uint64   // what the end of a former life may have taken
	returned  uint64      // Append returned nil for what is below
	synced    uint64      // Sync did
	floor     uint64      // Reclaim was called with it
	count     int
	skipped   []seqset.Range
	start     uint64 // where the log began
}

// tell says to the next start what its caller would know.
func (h *history) tell(n *node, sameBoot bool, kept uint64) {
	n.log.Known, n.log.Start, n.log.KnownEnd, n.log.SameBoot = true, h.start, kept, sameBoot
	n.log.GivenUp = seqset.Union(append(h.skipped, seqset.Range{To: h.floor}))
}

// append writes n messages in one batch, as an MPUB or not.
func (h *history) append(t tester, l *Log, n int, many bool) error {
	b, at := new(Batch), l.End()
	if many {
		b.BeginMulti()
		h.multis = append(h.multis, [2]uint64{at, at + uint64(n)})
	}
	for k := range n {
		body := bodyOf(h.count, 40+h.count%200)
		seq := at + uint64(k)
		if was, ok := h.attempted[seq]; ok {
			t.Fatalf("number %d is given to %.20q, it was that of %.20q", seq, body, was)
		}
		h.attempted[seq] = string(body)
		if h.count%5 == 0 {
			b.Add(&message.Meta{Timestamp: testTime, DeliverAt: int64(h.count)}, body)
			h.deferred[seq] = int64(h.count)
		} else {
			b.Add(&message.Meta{Timestamp: testTime}, body)
		}
		h.count++
	}
	if many {
		b.EndMulti()
	}
	done, err := l.Append([]*Batch{b})
	if err != nil {
		return err
	}
	if done.First != at || done.End != at+uint64(n) {
		t.Fatalf("Append returned %+v, want %d messages from %d", done, n, at)
	}
	h.returned = done.End
	return nil
}

func (h *history) sync(l *Log) error {
	end, err := l.Sync()
	if err == nil {
		h.synced = max(h.synced, end)
	}
	return err
}

// script uses a log in all ways until something fails.
func (h *history) script(t tester, l *Log) error {
	for step := range 30 {
		if err := h.append(t, l, step%4+1, step%3 == 0); err != nil {
			return err
		}
		switch step % 6 {
		case 2:
			if err := h.sync(l); err != nil {
				return err
			}
		case 4:
			h.floor = max(h.floor, h.returned-min(h.returned, 25))
			l.TrimHot(h.floor)
			l.Reclaim(h.floor)
		case 5:
			r := l.NewReader()
			_, err := r.Read(l.End() - 10)
			r.Release()
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// check compares a reopened log with the history. Everything below must, which
// is not reclaimed, has to be there.
func (h *history) check(t tester, l *Log, must uint64) map[uint64]string {
	t.Helper()
	found := contents(t, l)
	for seq, body := range found {
		if h.attempted[seq] != body {
			t.Errorf("message %d is %.20q, appended was %.20q", seq, body, h.attempted[seq])
		}
	}
	for seq, body := range h.attempted {
		risked := seq >= h.risked[0] && seq < h.risked[1]
		if _, ok := found[seq]; !ok && seq < must && seq >= h.floor && !risked {
			t.Errorf("message %d %.20q is lost; all below %d were promised, the log starts at %d", seq, body, must, l.Start())
		}
	}
	for _, m := range h.multis {
		n := 0
		for seq := m[0]; seq < m[1]; seq++ {
			if _, ok := found[seq]; ok {
				n++
			}
		}
		// A file that was reclaimed may come back under its old name with a part
		// of its next use in it: everybody was done with what it held.
		if n != 0 && n != int(m[1]-m[0]) && m[0] >= h.floor {
			t.Errorf("%d messages of the MPUB from %d to %d came back", n, m[0], m[1])
		}
	}
	if l.End() < h.returned {
		t.Errorf("the log goes on at %d, given out were all below %d", l.End(), h.returned)
	}
	h.checkDeferred(t, l, found)
	return found
}

func (h *history) checkDeferred(t tester, l *Log, found map[uint64]string) {
	t.Helper()
	listed, err := l.Marks(0, l.End())
	if err != nil {
		t.Fatalf("Delayed: %v", err)
	}
	due := make(map[uint64]int64)
	for _, d := range listed {
		if h.deferred[d.Seq] != d.DeliverAt {
			t.Errorf("message %d is listed as due at %d, want %d", d.Seq, d.DeliverAt, h.deferred[d.Seq])
		}
		due[d.Seq] = d.DeliverAt
	}
	for seq := range found {
		if _, ok := due[seq]; ok != (h.deferred[seq] != 0) {
			t.Errorf("message %d is listed as deferred: %v", seq, ok)
		}
	}
}

type ending struct {
	name string
	seed uint64
	end  func(*crashfs.FS)
	kept func(*history) uint64 // all below must survive
}

func synced(h *history) uint64   { return h.synced }
func returned(h *history) uint64 { return h.returned }

// chances is how many different outcomes of a power loss are tried at each
// operation.
const chances = 4

func endings() []ending {
	list := []ending{
		{"kill", 1, (*crashfs.FS).Kill, returned},
		{"power lost, nothing unsynced kept", 1, func(fs *crashfs.FS) { fs.Crash(crashfs.DropAll) }, synced},
	}
	for seed := range uint64(chances) {
		list = append(list, ending{fmt.Sprintf("power lost, chance %d", seed), seed, func(fs *crashfs.FS) { fs.Crash(crashfs.Random) }, synced})
	}
	return list
}

// A life that ends unclean, one that ends at each operation in turn, the
// recovery and the script included, and one that looks at what is left.
func TestNothingPromisedIsLostWhereverItStops(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			for at, more := 1, true; more && !t.Failed(); at++ {
				more = stopAt(t, e, at)
			}
		})
	}
}

// stopAt stops the second life at its operation number at. It returns false
// when there are not so many.
func stopAt(t *testing.T, e ending, at int) bool {
	fs := crashfs.New(e.seed*1000 + uint64(at))
	h := &history{attempted: make(map[uint64]string), deferred: make(map[uint64]int64)}
	n := newNode(fs.Mount())
	n.log.SegmentBytes = 1 << 10
	n.log.HotMessages = 20
	n.shared.OpenFiles = 3
	l, _ := n.open(t)
	h.start = l.End()
	if err := h.script(t, l); err != nil {
		t.Fatalf("first life: %v", err)
	}
	e.end(fs)
	kept := e.kept(h)
	h.tell(n, e.name == "kill", kept)
	h.risked = [2]uint64{kept, h.returned}

	ops, stopped := 0, false
	fs.Fail(func(crashfs.Op, string) error {
		if ops++; ops == at {
			stopped = true
			e.end(fs)
		}
		return nil
	})
	n.shared.FS = fs.Mount()
	if l, rec, err := n.tryOpen(); err == nil {
		h.skipped = append(h.skipped, rec.Skipped...)
		if l.End() < kept {
			t.Fatalf("the log goes on at %d, promised were all below %d", l.End(), kept)
		}
		if err = h.script(t, l); err == nil {
			err = l.Close()
		}
		if err == nil {
			h.synced = h.returned
		}
		if err != nil && !stopped {
			t.Fatalf("second life: %v", err)
		}
	}
	fs.Fail(nil)
	if !stopped {
		e.end(fs)
	}
	n.shared.FS = fs.Mount()
	h.tell(n, e.name == "kill", max(kept, e.kept(h)))
	n.wantSound(t)
	l, rec := n.open(t)
	h.skipped = append(h.skipped, rec.Skipped...)
	if len(rec.Findings) > 0 {
		t.Errorf("stopped at operation %d: %+v", at, rec)
	}
	before := h.check(t, l, max(kept, e.kept(h)))
	// What recovery left is safe after the next sync.
	if err := h.append(t, l, 2, true); err != nil {
		t.Fatalf("Append: %v", err)
	}
	mustSync(t, l)
	wantOwned(t, l)
	fs.Crash(crashfs.DropAll)
	n.shared.FS = fs.Mount()
	h.tell(n, false, h.returned)
	n.wantSound(t)
	l, rec = n.open(t)
	if len(rec.Findings) > 0 {
		t.Errorf("after a second loss of power: %+v", rec)
	}
	after := h.check(t, l, 0)
	for seq := range before {
		if after[seq] != before[seq] && seq >= h.floor {
			t.Errorf("message %d was lost by the second start", seq)
		}
	}
	if len(after) != len(before)+2 {
		t.Errorf("%d messages, before there were %d", len(after), len(before))
	}
	mustClose(t, l)
	if t.Failed() {
		t.Logf("stopped at operation %d of the second life", at)
	}
	return stopped
}

// tryOpen opens a log on a file system that may fail.
func (n *node) tryOpen() (*Log, Recovery, error) {
	shared := NewShared(n.shared)
	return Open(shared, n.log)
}
