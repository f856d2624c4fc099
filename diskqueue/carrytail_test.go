package diskqueue

import (
	"errors"
	"maps"
	"sync"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
)

// newLarge is a log of one full segment of 120 messages with a part of it owed.
func newLarge(t tester, fs *crashfs.FS) *carried {
	c := newCarriedOf(t, fs, 1<<20, 2600)
	c.log.EndSegment()
	mustSync(t, c.log)
	return c
}

// carryTail carries the end of the first segment that takes no more than most
// bytes, and forgets what it leaves out. ok is false when there is none.
func (c *carried) carryTail(nth uint64, most int64) (ok bool, err error) {
	c.choose(0, 1, nth)
	whole := c.numbers[0]
	tail, ok, err := c.log.FindTail(whole, c.keep, most)
	if !ok || err != nil {
		return false, err
	}
	c.numbers = []seqset.Range{{From: tail.From, To: whole.To}}
	c.keep = seqset.Difference(c.keep, []seqset.Range{{To: tail.From}})
	err = c.log.CarryTail(whole, tail, c.keep, func(gaps []seqset.Range) error {
		c.givenUp = seqset.Union(append(c.givenUp, gaps...))
		return nil
	})
	if err == nil {
		c.forget()
	}
	return true, err
}

func TestEndsOfASegmentAreCarriedOneByOne(t *testing.T) {
	fs := newCrash(1)
	c := newLarge(t, fs)
	path, was := c.log.list()[0].path, c.log.Bytes()
	steps := 0
	for {
		ok, err := c.carryTail(8, 7<<10)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		steps++
		c.want(t, nil)
		wantOwned(t, c.log)
		if b, err := fs.ReadFile(path); err != nil || int64(len(b)) != c.log.list()[0].size {
			t.Errorf("the file has %d bytes, %v; the segment %d", len(b), err, c.log.list()[0].size)
		}
	}
	if n := c.log.Bytes(); steps < 3 || n > was/2+int64(steps)*segmentHead {
		t.Errorf("%d bytes after %d steps, before there were %d", n, steps, was)
	}
	fs.Kill()
	wantNoFindings(t, c.reopen(t, fs))
	c.want(t, nil)
	mustClose(t, c.log)
	wantNoFindings(t, c.reopen(t, fs))
	c.want(t, nil)
	mustClose(t, c.log)
}

// The ends of a segment are carried, and what is left of it: that ends at each of
// its operations in turn, by a kill or a loss of power.
func TestNothingOwedIsLostWhereverACarryOfAnEndStops(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			for at, more := 1, true; more && !t.Failed(); at++ {
				more = stopTailAt(t, e, at)
			}
		})
	}
}

func stopTailAt(t *testing.T, e ending, at int) bool {
	fs := crashfs.New(e.seed*1000 + uint64(at))
	c := newLarge(t, fs)
	rest := maps.Clone(c.all)
	ops, stopped := 0, false
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpRead {
			return nil // as what comes next
		}
		if ops++; ops == at {
			stopped = true
			e.end(fs)
		}
		return nil
	})
	for range 3 {
		if _, err := c.carryTail(8, 7<<10); err != nil {
			break
		}
	}
	if !stopped {
		if c.choose(0, 1, 16); c.carry() == nil {
			c.forget()
		}
	}
	fs.Fail(nil)
	if !stopped {
		e.end(fs)
	}
	for seq := range rest { // given up to the journal, whether it went or not
		if seqset.Meets(c.givenUp, seqset.Range{From: seq, To: seq + 1}) {
			delete(c.all, seq)
			delete(c.due, seq)
		}
	}
	for range 2 { // what one start leaves, the next one finds
		wantNoFindings(t, c.reopen(t, fs))
		c.want(t, rest)
		fs.Crash(crashfs.DropAll)
	}
	if t.Failed() {
		t.Logf("stopped at operation %d", at)
	}
	return stopped
}

// What a process left that ended before it cut a segment does not stay on a
// disk that is full.
func TestStartCutsWhatACarrySegmentStandsFor(t *testing.T) {
	fs := newCrash(1)
	c := newLarge(t, fs)
	path := c.log.list()[0].path
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpTruncate {
			fs.Kill()
		}
		return nil
	})
	if ok, err := c.carryTail(8, 7<<10); !ok || err != nil {
		t.Fatal(ok, err)
	}
	fs.Fail(nil)
	wantNoFindings(t, c.reopen(t, fs))
	if b, err := fs.ReadFile(path); err != nil || int64(len(b)) != c.log.list()[0].size {
		t.Errorf("the file has %d bytes, %v; the segment %d", len(b), err, c.log.list()[0].size)
	}
	c.want(t, nil)
	mustClose(t, c.log)
}

// Each operation of it fails in turn: everything that is owed is there, now and
// after a loss of power.
func TestCarryOfAnEndThatFailsLeavesWhatIsOwed(t *testing.T) {
	for at := 1; ; at++ {
		fs := newCrash(uint64(at))
		c := newLarge(t, fs)
		rest := maps.Clone(c.all)
		ops := 0
		fs.Fail(func(op crashfs.Op, _ string) error {
			if op == crashfs.OpRead {
				return nil
			}
			if ops++; ops == at {
				return syscall.EIO
			}
			return nil
		})
		_, err := c.carryTail(8, 7<<10)
		fs.Fail(nil)
		if err != nil && len(c.givenUp) > 0 {
			c.forget()
		}
		c.want(t, rest)
		wantOwned(t, c.log)
		mustSync(t, c.log)
		fs.Crash(crashfs.DropAll)
		wantNoFindings(t, c.reopen(t, fs))
		c.want(t, rest)
		mustClose(t, c.log)
		if t.Failed() {
			t.Fatalf("operation %d fails", at)
		}
		if ops < at {
			return
		}
	}
}

// once calls do before the first operation of that kind on that file.
func once(fs *crashfs.FS, op crashfs.Op, path string, do func()) {
	fs.Fail(func(o crashfs.Op, name string) error {
		if o == op && name == path {
			fs.Fail(nil)
			do()
		}
		return nil
	})
}

// The file of a segment is cut under a reader: what it does not find there is no
// damage.
func TestReaderOfAnEndThatIsCutFindsNoDamage(t *testing.T) {
	fs := newCrash(1)
	c := newLarge(t, fs)
	c.log.o.Found = func(f Finding) { t.Errorf("found %+v", f) }
	c.choose(0, 1, 8)
	whole := c.numbers[0]
	tail, ok, err := c.log.FindTail(whole, c.keep, 7<<10)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	once(fs, crashfs.OpRead, c.log.list()[0].path, func() {
		if err := c.log.CarryTail(whole, tail, nil, func([]seqset.Range) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	r := c.log.NewReader()
	defer r.Release()
	if v, err := r.Read(tail.From); !errors.Is(err, ErrNotFound) {
		t.Errorf("%d, %v", v.Seq, err)
	}
	if v, err := r.Read(tail.From - 1); err != nil || string(v.Body) != c.all[tail.From-1] {
		t.Errorf("%.20q, %v", v.Body, err)
	}
	mustClose(t, c.log)
}

func TestDeferredMessagesAreListedWhileAnEndIsCut(t *testing.T) {
	fs := newCrash(1)
	c := newLarge(t, fs)
	rest := maps.Clone(c.all)
	once(fs, crashfs.OpOpen, c.log.list()[0].indexPath(), func() {
		if ok, err := c.carryTail(8, 7<<10); !ok || err != nil {
			t.Error(ok, err)
		}
	})
	found, err := c.log.Marks(0, c.log.End())
	if err != nil {
		t.Error(err)
	}
	listed := make(map[uint64]int)
	for _, d := range found {
		listed[d.Seq]++
	}
	for seq := range rest {
		if _, ok := c.due[seq]; ok && listed[seq] != 1 || listed[seq] > 1 {
			t.Errorf("message %d is listed %d times", seq, listed[seq])
		}
	}
	mustClose(t, c.log)
}

func TestReadersGoOnWhileTheEndOfTheirSegmentIsCarried(t *testing.T) {
	fs := newCrash(1)
	c := newLarge(t, fs)
	c.choose(0, 1, 8)
	keep, due := c.keep, maps.Clone(c.due)
	var all sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		all.Go(func() {
			r := c.log.NewReader()
			defer r.Release()
			for {
				for _, k := range keep {
					if v, err := r.Read(k.From); err != nil || v.Seq != k.From {
						t.Errorf("message %d: %d, %v", k.From, v.Seq, err)
						return
					}
				}
				found, err := c.log.Marks(0, c.log.End())
				listed := make(map[uint64]bool)
				for _, d := range found {
					listed[d.Seq] = !listed[d.Seq] && due[d.Seq] == d.DeliverAt
				}
				for _, k := range keep {
					if _, ok := due[k.From]; err != nil || ok && !listed[k.From] {
						t.Errorf("message %d is not listed, or not once: %v", k.From, err)
						return
					}
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	for ok := true; ok; {
		var err error
		if ok, err = c.carryTail(8, 7<<10); err != nil {
			t.Error(err)
		}
	}
	close(over)
	all.Wait()
	if len(c.log.list()) < 4 {
		t.Errorf("%d segments", len(c.log.list()))
	}
	wantOwned(t, c.log)
	mustClose(t, c.log)
}

// A scan drops an MPUB that it does not find the end of, so none is cut through.
func TestNoMPUBIsCutThrough(t *testing.T) {
	within := 0
	for most := int64(2 << 10); most < 40<<10; most += 2 << 10 {
		fs := newCrash(1)
		c := newLarge(t, fs)
		s := c.log.list()[0]
		for _, e := range s.index {
			if e.rel%9 == 1 || e.rel%9 == 2 {
				within++
			}
		}
		if _, err := c.carryTail(8, most); err != nil {
			t.Fatal(err)
		}
		fs.Kill()
		if err := fs.Remove(s.indexPath()); err != nil {
			t.Fatal(err)
		}
		wantNoFindings(t, c.reopen(t, fs))
		c.want(t, nil)
		mustClose(t, c.log)
	}
	if within == 0 {
		t.Error("no part of a segment starts within an MPUB")
	}
}
