package diskqueue

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// carried is a log of some segments and what is owed of them.
type carried struct {
	node *node
	log  *Log

	all     map[uint64]string
	due     map[uint64]int64
	keep    []seqset.Range // of the segments that are carried
	numbers []seqset.Range // those segments
	givenUp []seqset.Range // what the journal was told
}

// newCarried fills a log with 120 messages, MPUBs and deferred ones among them.
func newCarried(t tester, fs *crashfs.FS) *carried { return newCarriedOf(t, fs, 2<<10, 60) }

func newCarriedOf(t tester, fs *crashfs.FS, segmentBytes int64, body int) *carried {
	n := newNode(fs.Mount()).cold()
	n.log.SegmentBytes, n.shared.CacheBytes = segmentBytes, 1
	c := &carried{node: n, all: make(map[uint64]string), due: make(map[uint64]int64)}
	c.log, _ = n.open(t)
	for i := range 40 {
		b := new(Batch)
		if i%3 == 0 {
			b.BeginMulti()
		}
		for k := range 3 {
			seq, body := c.log.End()+uint64(k), bodyOf(3*i+k, body+i)
			if c.all[seq] = string(body); k == 1 {
				b.Add(&message.Meta{Timestamp: testTime, DeliverAt: int64(1000 + i)}, body)
				c.due[seq] = int64(1000 + i)
			} else {
				b.Add(&message.Meta{Timestamp: testTime}, body)
			}
		}
		if i%3 == 0 {
			b.EndMulti()
		}
		mustAppend(t, c.log, b)
	}
	mustSync(t, c.log)
	return c
}

// choose picks full segments and every nth of their numbers.
func (c *carried) choose(from, to int, nth uint64) {
	c.numbers, c.keep = nil, nil
	for _, e := range c.log.Extents()[from:to] {
		c.numbers = append(c.numbers, e.Numbers)
		for seq := e.Numbers.From; seq < e.Numbers.To; seq++ {
			if _, ok := c.all[seq]; ok && seq%nth == 0 {
				c.keep = append(c.keep, seqset.Range{From: seq, To: seq + 1})
			}
		}
	}
	c.keep = seqset.Union(c.keep)
}

// carry carries what was chosen. What a crash may leave of it is known by then.
func (c *carried) carry() error {
	return c.log.Carry(c.numbers, c.keep, func(gaps []seqset.Range) error {
		c.givenUp = seqset.Union(append(c.givenUp, gaps...))
		return nil
	})
}

// forget drops what is not kept from what ought to be there.
func (c *carried) forget() {
	for _, n := range c.numbers {
		for _, gone := range seqset.Difference([]seqset.Range{n}, c.keep) {
			for seq := gone.From; seq < gone.To; seq++ {
				delete(c.all, seq)
				delete(c.due, seq)
			}
		}
	}
}

// reopen opens the log as a start does that knows what the journal was told.
func (c *carried) reopen(t tester, fs *crashfs.FS) Recovery {
	t.Helper()
	c.node.shared.FS = fs.Mount()
	start := uint64(0)
	for seq := range c.all {
		if start == 0 || seq < start {
			start = seq
		}
	}
	c.node.log.Known, c.node.log.Start, c.node.log.GivenUp = true, start, c.givenUp
	c.node.log.KnownEnd = slices.Max(slices.Collect(maps.Keys(c.all))) + 1
	var rec Recovery
	c.log, rec = c.node.open(t)
	return rec
}

// want checks that the log holds all, and of the rest only what may be there
// yet.
func (c *carried) want(t *testing.T, rest map[uint64]string) {
	t.Helper()
	r := c.log.NewReader()
	defer r.Release()
	void := seqset.Union(c.log.Gaps(c.log.Start(), c.log.End()))
	for seq := c.log.Start(); seq <= slices.Max(slices.Collect(maps.Keys(c.all))); seq++ {
		v, err := r.Read(seq)
		body, ok := c.all[seq]
		gap := seqset.Meets(void, seqset.Range{From: seq, To: seq + 1})
		switch {
		case ok && (err != nil || string(v.Body) != body || v.Seq != seq || gap):
			t.Errorf("message %d is %.20q, %v, in a gap: %v; want %.20q", seq, v.Body, err, gap, body)
		case !ok && err == nil && rest[seq] != string(v.Body):
			t.Errorf("message %d is %.20q, it was given up", seq, v.Body)
		case !ok && err != nil && (!errors.Is(err, ErrNotFound) || !gap):
			t.Errorf("message %d: %v, in a gap: %v", seq, err, gap)
		}
	}
	listed, err := c.log.Marks(0, c.log.End())
	if err != nil {
		t.Errorf("Delayed: %v", err)
	}
	due := maps.Clone(c.due)
	for _, d := range listed {
		if _, gone := rest[d.Seq]; due[d.Seq] != d.DeliverAt && !gone {
			t.Errorf("message %d is listed as due at %d, want %d", d.Seq, d.DeliverAt, due[d.Seq])
		}
		delete(due, d.Seq)
	}
	if len(due) > 0 {
		t.Errorf("%d deferred messages are not listed", len(due))
	}
}

func wantNoFindings(t *testing.T, rec Recovery) {
	t.Helper()
	if len(rec.Findings) > 0 || rec.Lost() > 0 {
		t.Errorf("a start finds %+v", rec.Findings)
	}
}

func TestCarryKeepsWhatIsOwedAndNothingElse(t *testing.T) {
	for _, index := range []string{"there", "gone", "damaged"} {
		for _, nth := range []uint64{1, 2, 7, 40} {
			t.Run(fmt.Sprintf("index %s, every %d.", index, nth), func(t *testing.T) {
				fs := newCrash(1)
				c := newCarried(t, fs)
				before := c.log.Bytes()
				c.choose(1, 5, nth)
				if err := c.carry(); err != nil {
					t.Fatal(err)
				}
				c.forget()
				c.want(t, nil)
				wantOwned(t, c.log)
				if n := c.log.Bytes(); nth > 2 && n >= before-3*(2<<10) {
					t.Errorf("%d bytes, before there were %d", n, before)
				}
				path := segmentPath(testDir, c.numbers[0].From)
				for _, f := range fs.Files() {
					stem := strings.TrimSuffix(f.Name, filepath.Ext(f.Name)) + segmentSuffix
					if strings.HasSuffix(f.Name, ".tmp") || stem > path && stem < segmentPath(testDir, c.numbers[len(c.numbers)-1].To) {
						t.Errorf("%s is left over", f.Name)
					}
				}
				mustClose(t, c.log)
				idx := strings.TrimSuffix(path, segmentSuffix) + indexSuffix
				switch index {
				case "gone":
					if err := fs.Remove(idx); err != nil {
						t.Fatal(err)
					}
				case "damaged":
					if err := fs.FlipBit(idx, 50); err != nil {
						t.Fatal(err)
					}
				}
				wantNoFindings(t, c.reopen(t, fs))
				c.want(t, nil)
				mustClose(t, c.log)
			})
		}
	}
}

func TestCarryGivesBackTheRoomOfWhatItStandsFor(t *testing.T) {
	c := newCarried(t, crashfs.New(1))
	defer mustClose(t, c.log)
	c.log.shared.DropSpare()
	c.choose(0, 4, 5)
	if err := c.carry(); err != nil {
		t.Fatal(err)
	}
	if c.log.shared.DropSpare() {
		t.Error("files of segments that were carried are kept: on a full disk that is no room")
	}
}

// Less and less is owed: carry segments are carried again, and merge.
func TestCarrySegmentIsCarriedAgain(t *testing.T) {
	fs := newCrash(1)
	c := newCarried(t, fs)
	for _, step := range []struct {
		from, to int
		nth      uint64
	}{{0, 2, 2}, {1, 4, 3}, {0, 2, 6}, {0, 3, 30}} {
		c.choose(step.from, step.to, step.nth)
		if err := c.carry(); err != nil {
			t.Fatal(err)
		}
		c.forget()
		c.want(t, nil)
		fs.Kill()
		wantNoFindings(t, c.reopen(t, fs))
		c.want(t, nil)
	}
	// In the end it goes as others do.
	c.node.log.GivenUp = nil
	gone := c.log.Detach([]seqset.Range{c.log.Extents()[0].Numbers})
	c.log.RemoveFiles(gone)
	if len(gone) != 1 || c.log.Start() < gone[0].Numbers.To {
		t.Errorf("%+v went", gone)
	}
	mustClose(t, c.log)
}

func TestReadersGoOnWhileTheirSegmentsAreCarried(t *testing.T) {
	fs := newCrash(1)
	c := newCarried(t, fs)
	c.node.shared.OpenFiles = 2
	c.choose(0, 5, 5)
	var all sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		all.Go(func() {
			r := c.log.NewReader()
			defer r.Release()
			for {
				for _, k := range c.keep {
					if v, err := r.Read(k.From); err != nil || string(v.Body) != c.all[k.From] {
						t.Errorf("message %d: %.20q, %v", k.From, v.Body, err)
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
	for _, step := range []int{5, 1, 1} {
		var numbers []seqset.Range
		for _, e := range c.log.Extents()[:step] {
			numbers = append(numbers, e.Numbers)
		}
		c.numbers = numbers
		if err := c.carry(); err != nil {
			t.Error(err)
		}
	}
	close(over)
	all.Wait()
	wantOwned(t, c.log)
	mustClose(t, c.log)
}

// A carry that ends at each of its operations in turn, by a kill or a loss of
// power, loses nothing that is owed, and nothing is called damage.
func TestNothingOwedIsLostWhereverACarryStops(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			for at, more := 1, true; more && !t.Failed(); at++ {
				more = stopCarryAt(t, e, at)
			}
		})
	}
}

func stopCarryAt(t *testing.T, e ending, at int) bool {
	fs := crashfs.New(e.seed*1000 + uint64(at))
	c := newCarried(t, fs)
	rest := maps.Clone(c.all)
	ops, stopped := 0, false
	c.choose(0, 2, 3)
	fs.Fail(func(crashfs.Op, string) error {
		if ops++; ops == at {
			stopped = true
			e.end(fs)
		}
		return nil
	})
	if c.carry() == nil { // and one that is carried again, with others
		c.forget()
		c.choose(0, 3, 9)
		if c.carry() == nil {
			c.forget()
		}
	}
	fs.Fail(nil)
	if !stopped {
		e.end(fs)
	}
	keep := maps.Clone(c.all)
	for seq := range keep { // given up to the journal, whether it went or not
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

// Each operation of a carry fails in turn: everything that is owed is there, now
// and after a restart.
func TestCarryThatFailsLeavesWhatIsOwed(t *testing.T) {
	for at := 1; ; at++ {
		fs := newCrash(uint64(at))
		c := newCarried(t, fs)
		rest := maps.Clone(c.all)
		c.choose(0, 4, 3)
		ops := 0
		fs.Fail(func(op crashfs.Op, _ string) error {
			if ops++; ops == at {
				return syscall.EIO
			}
			return nil
		})
		err := c.carry()
		fs.Fail(nil)
		if len(c.givenUp) > 0 || err == nil {
			c.forget()
		}
		c.want(t, rest)
		wantOwned(t, c.log)
		for i := range 10 { // and it works on
			mustAppend(t, c.log, single(bodyOf(i, 300)))
		}
		if err != nil {
			if err := c.carry(); err != nil {
				t.Errorf("operation %d failed, and so does the next carry: %v", at, err)
			}
			c.forget()
			c.want(t, nil)
		}
		fs.Kill()
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

// One flipped bit anywhere in a carry segment costs the record that it is in,
// and is told; in the header it costs nothing.
func TestDamageInACarrySegmentIsCountedExactly(t *testing.T) {
	for _, withIndex := range []bool{true, false} {
		t.Run(fmt.Sprint("index ", withIndex), func(t *testing.T) {
			fs := newCrash(1)
			c := newCarried(t, fs)
			c.choose(0, 5, 4)
			if err := c.carry(); err != nil {
				t.Fatal(err)
			}
			c.forget()
			s := c.log.list()[0]
			path, size, held := s.path, s.size, int(s.held())
			mustClose(t, c.log)
			if !withIndex {
				fs.Remove(s.indexPath())
			}
			for off := int64(0); off < size; off += 13 {
				if off >= headerSize && off < secondHeader {
					continue // nothing is there
				}
				if err := fs.FlipBit(path, off); err != nil {
					t.Fatal(err)
				}
				rec := c.reopen(t, fs)
				found := contents(t, c.log)
				lost := 0
				for seq, body := range c.all {
					if found[seq] == "" {
						lost++
					} else if found[seq] != body {
						t.Errorf("message %d is %.20q", seq, found[seq])
					}
				}
				want := 0
				if off >= segmentHead {
					want = 1
				}
				if told := rec.Lost(); lost != want || !withIndex && told != uint64(want) {
					t.Errorf("offset %d: %d of %d records are lost, %d are said to be", off, lost, held, told)
				}
				if off < segmentHead && len(rec.Findings) == 0 {
					t.Errorf("offset %d: nothing is said", off)
				}
				c.log.Discard()
				fs.FlipBit(path, off)
				for _, f := range fs.Files() {
					if strings.HasSuffix(f.Name, damagedSuffix) {
						fs.Remove(f.Name)
					}
				}
			}
		})
	}
}

func TestCarrySegmentCutShortLosesItsEndOnly(t *testing.T) {
	fs := newCrash(1)
	c := newCarried(t, fs)
	c.choose(0, 5, 4)
	if err := c.carry(); err != nil {
		t.Fatal(err)
	}
	c.forget()
	s := c.log.list()[0]
	path, size, held := s.path, s.size, uint64(s.held())
	mustClose(t, c.log)
	whole, err := fs.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []int64{size - 1, size - 200, segmentHead + 1, segmentHead} {
		if err := fs.WriteFile(path, whole[:left]); err != nil {
			t.Fatal(err)
		}
		rec := c.reopen(t, fs)
		there := uint64(c.log.list()[0].held())
		if rec.Lost() != held-there || left < size && there == held {
			t.Errorf("%d bytes of %d: %d of %d records are there, %d are said to be lost", left, size, there, held, rec.Lost())
		}
		c.log.Discard()
	}
}

// An older version reads no carry segment, and what it says of one is clear.
func TestSegmentOfAFormatToComeIsLeftAlone(t *testing.T) {
	h := segmentHeader{version: carryVersion + 1, incarnation: 1, base: 5, salt: 1}
	if _, err := decodeSegmentHeader(h.encode()); !errors.Is(err, errNewerSegment) {
		t.Errorf("%v", err)
	}
}

func TestCarryInMemoryKeepsTheAccounts(t *testing.T) {
	n := newNode(newCrash(1))
	disk := NewShared(n.shared)
	mem := disk.InMemory(newCrash(2))
	n.log.Dir = "/t"
	l, _, err := Open(mem, n.log)
	if err != nil {
		t.Fatal(err)
	}
	b := single()
	for i := range 100 {
		*b = *single(bodyOf(i, 200))
		if !l.Hold(int64(b.Bytes())) {
			t.Fatal("no room")
		}
		mustAppend(t, l, b)
	}
	l.TrimHot(l.End())
	all := l.Extents()
	var numbers []seqset.Range
	for _, e := range all[:len(all)-1] {
		numbers = append(numbers, e.Numbers)
	}
	keep := []seqset.Range{{From: numbers[1].From, To: numbers[1].From + 2}}
	if err := l.Carry(numbers, keep, func([]seqset.Range) error { return nil }); err != nil {
		t.Fatal(err)
	}
	records := int64(0)
	for _, s := range l.list() {
		records += s.records()
	}
	if used := disk.hot.used.Load(); used != records {
		t.Errorf("%d bytes are counted, %d are there", used, records)
	}
	l.Discard()
	if used := disk.hot.used.Load(); used != 0 {
		t.Errorf("%d bytes are taken by nothing", used)
	}
}
