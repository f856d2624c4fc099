package diskqueue

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// entry is a group of batches as a replica appends it again and again: the
// numbers from first on, of which some are long, deferred or of an MPUB.
type entry struct {
	first   uint64
	bodies  []string
	batches []*Batch
}

func (e *entry) end() uint64 { return e.first + uint64(len(e.bodies)) }

// numbered makes entries whose numbers start at first.
func numbered(first uint64, count int) (list []entry) {
	made := 0
	for i := range count {
		e := entry{first: first}
		for k := range i%3 + 1 {
			b, many := new(Batch), (i+k)%2 == 0
			if many {
				b.BeginMulti()
			}
			for range (i+k)%4 + 1 {
				size := 20 + made%90
				if made%7 == 3 {
					size = minLong + made
				}
				body := bodyOf(made, size)
				b.Add(&message.Meta{Timestamp: testTime, DeliverAt: int64(made % 3)}, body)
				e.bodies = append(e.bodies, string(body))
				made++
			}
			if many {
				b.EndMulti()
			}
			e.batches = append(e.batches, b)
		}
		list = append(list, e)
		first = e.end()
	}
	return list
}

// exact lets the log go on exactly where it ended.
func (n *node) exact(end uint64) *node {
	n.log.Next, n.log.End = nil, end
	return n
}

// TestEndKeepsFilesThatNobodyKnows: of another incarnation, or with a header that
// cannot be read, they may hold what was promised somewhere else.
func TestEndKeepsFilesThatNobodyKnows(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	l, _ := n.open(t)
	end := l.End() + 1
	mustAppend(t, l, single(bodyOf(0, 100)))
	mustClose(t, l)
	disk := newCrash(2)
	other := newNode(disk)
	other.log.Incarnation = 2
	o, _ := other.open(t)
	mustAppend(t, o, single(bodyOf(1, 100)))
	foreign, err := disk.ReadFile(o.list()[0].path)
	mustClose(t, o)
	if err != nil {
		t.Fatal(err)
	}
	strange := map[uint64][]byte{end + 5: bytes.Repeat([]byte("?"), 20<<10), end + 9: foreign}
	for base, content := range strange {
		if err := fs.WriteFile(segmentPath(testDir, base), content); err != nil {
			t.Fatal(err)
		}
	}
	l, _ = n.exact(end).open(t)
	mustClose(t, l)
	for base, content := range strange {
		if !slices.ContainsFunc(fs.Files(), func(f crashfs.Info) bool {
			kept, _ := fs.ReadFile(f.Name)
			return strings.HasPrefix(f.Name, segmentPath(testDir, base)+".") && bytes.Equal(kept, content)
		}) {
			t.Errorf("the file at %d is not kept", base)
		}
	}
	if l, _ = n.exact(end).open(t); l.End() != end {
		t.Errorf("the log ends at %d, want %d", l.End(), end)
	}
	mustClose(t, l)
}

func TestAppendAtAddsWhatIsNotThereYet(t *testing.T) {
	const first = 100
	single := func(from, to int) *Batch {
		b := new(Batch)
		for i := from; i < to; i++ {
			b.Add(&message.Meta{Timestamp: testTime, DeliverAt: int64(i % 2)}, bodyOf(i, 50+i%2*minLong))
		}
		return b
	}
	multi := func(from, to int) *Batch {
		b := new(Batch)
		b.BeginMulti()
		for i := from; i < to; i++ {
			b.Add(&message.Meta{Timestamp: testTime}, bodyOf(i, 50))
		}
		b.EndMulti()
		return b
	}
	for _, c := range []struct {
		name    string
		at      int
		batches []*Batch
		added   int
		err     error
	}{
		{"all new", 10, []*Batch{single(10, 13), multi(13, 15)}, 5, nil},
		{"all there", 3, []*Batch{single(3, 6), multi(6, 10)}, 0, nil},
		{"one there, one new", 7, []*Batch{multi(7, 10), multi(10, 12)}, 2, nil},
		{"ends within a batch", 8, []*Batch{single(8, 13), multi(13, 15)}, 5, nil},
		{"ends with an empty batch", 9, []*Batch{single(9, 10), new(Batch), single(10, 11)}, 1, nil},
		{"nothing", 10, nil, 0, nil},
		{"below what is there", -50, []*Batch{single(0, 3)}, 0, nil},
		{"leaves a number out", 11, []*Batch{single(11, 12)}, 0, ErrGap},
		{"leaves a number out, with nothing", 11, nil, 0, ErrGap},
		{"ends within an MPUB", 9, []*Batch{multi(9, 12)}, 0, errPartOfMulti},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(vfs.NewMem()).cold()
			n.log.Next = func(uint64) uint64 { return first }
			l, _ := n.open(t)
			mustAppend(t, l, single(0, 10))
			done, err := l.AppendAt(uint64(first+c.at), c.batches)
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			want := Appended{First: first + 10, End: first + 10 + uint64(c.added)}
			if err == nil && (done.First != want.First || done.End != want.End) || l.End() != want.End {
				t.Fatalf("%+v is added, the log ends at %d, want %+v", done, l.End(), want)
			}
			for _, m := range done.Marks {
				if m.DeliverAt != int64((m.Seq-first)%2) || m.Seq < want.First {
					t.Errorf("mark %+v of what was added from %d on", m, want.First)
				}
			}
			r := l.NewReader()
			for i := range 10 + c.added {
				v, err := r.Read(first + uint64(i))
				if got := string(v.Body); err != nil || got[:12] != string(bodyOf(i, 50))[:12] {
					t.Fatalf("message %d is %.20q, %v", i, got, err)
				}
			}
			r.Release()
			wantOwned(t, l)
			mustClose(t, l)
		})
	}
}

func TestLogThatGoesOnBelowItsNumbersIsRefused(t *testing.T) {
	n := newNode(vfs.NewMem())
	l, _ := n.open(t)
	end := mustAppend(t, l, single([]byte("a"))).End
	mustClose(t, l)
	n.log.Next = func(seen uint64) uint64 {
		if seen != end {
			t.Errorf("above all is %d, want %d", seen, end)
		}
		return seen - 1
	}
	if _, _, err := n.tryOpen(); err == nil {
		t.Fatal("the log gives a number out twice")
	}
	l, _ = n.exact(0).open(t)
	if l.End() != end {
		t.Errorf("goes on at %d, want %d", l.End(), end)
	}
	mustClose(t, l)
}

// repeat appends entries from the number at on, syncing now and then, and
// returns up to where all was synced.
func repeat(l *Log, entries []entry, at, synced uint64) (uint64, error) {
	for i, e := range entries {
		if e.end() <= at {
			continue
		}
		if _, err := l.AppendAt(e.first, e.batches); err != nil {
			return synced, fmt.Errorf("at %d: %w", e.first, err)
		}
		if i%5 != 4 {
			continue
		}
		end, err := l.Sync()
		if err != nil {
			return synced, err
		}
		synced = end
	}
	return synced, nil
}

// checkpoint is the highest number, at most end, at which no MPUB is divided.
func checkpoint(entries []entry, end uint64) uint64 {
	known := entries[0].first
	for _, e := range entries {
		seq := e.first
		for _, b := range e.batches {
			for i := range b.Len() + 1 {
				whole := i == 0 || i == b.Len() || message.FlagsOf(b.buf)&message.FlagBatch == 0
				if at := seq + uint64(i); whole && at <= end {
					known = at
				}
			}
			seq += uint64(b.Len())
		}
	}
	return known
}

// A log of known numbers is stopped at each of its operations in turn, opened at
// an end that a checkpoint knows of, within what was synced, and given everything
// again.
func TestRepeatedAppendsLeaveEachMessageOnceWhereverItStopped(t *testing.T) {
	for _, e := range []ending{
		{name: "kill", end: func(fs *crashfs.FS) { fs.Kill() }},
		{name: "power loss", end: func(fs *crashfs.FS) { fs.Crash(crashfs.DropAll) }},
		{name: "power loss, random", end: func(fs *crashfs.FS) { fs.Crash(crashfs.Random) }},
	} {
		t.Run(e.name, func(t *testing.T) {
			for at, more := 1, true; more && !t.Failed(); at++ {
				more = repeatStoppedAt(t, e, at)
			}
		})
	}
}

func repeatStoppedAt(t *testing.T, e ending, at int) (stopped bool) {
	const first = 5000
	entries := numbered(first, 30)
	end := entries[len(entries)-1].end()
	fs := crashfs.New(uint64(at))
	n := newNode(fs.Mount())
	n.log.SegmentBytes, n.log.HotMessages = 8<<10, 10
	n.log.Next = func(seen uint64) uint64 { return max(seen, first) }
	n.log.Known, n.log.Start = true, first
	ops := 0
	fs.Fail(func(crashfs.Op, string) error {
		if ops++; ops == at {
			stopped = true
			e.end(fs)
		}
		return nil
	})
	n.shared.FS = fs.Mount()
	synced := uint64(first)
	if l, _, err := n.tryOpen(); err == nil {
		if synced, err = repeat(l, entries, first, synced); err != nil && !stopped {
			t.Fatal(err)
		}
	}
	fs.Fail(nil)
	if !stopped {
		e.end(fs)
	}
	for life := range 2 {
		n.shared.FS = fs.Mount()
		known := checkpoint(entries, synced-uint64(at%7))
		n.exact(known).log.KnownEnd = known
		n.wantSound(t)
		l, rec := n.open(t)
		if len(rec.Findings) > 0 || l.End() != known {
			t.Errorf("stopped at operation %d: %+v, ends at %d, that is to be %d", at, rec, l.End(), known)
		}
		var err error
		if synced, err = repeat(l, entries, 0, synced); err != nil {
			t.Fatalf("stopped at operation %d: %v", at, err)
		}
		wantEntries(t, l, entries)
		if l.End() != end {
			t.Errorf("ends at %d, want %d", l.End(), end)
		}
		wantOwned(t, l)
		if life == 0 { // what the second start made is safe too
			mustSync(t, l)
			synced = l.End()
			e.end(fs)
		} else {
			mustClose(t, l)
		}
	}
	if t.Failed() {
		t.Logf("stopped at operation %d", at)
	}
	return stopped
}

func wantEntries(t *testing.T, l *Log, entries []entry) {
	t.Helper()
	r := l.NewReader()
	defer r.Release()
	made := 0
	for _, e := range entries {
		for i, body := range e.bodies {
			v, err := r.Read(e.first + uint64(i))
			if err != nil || string(v.Body) != body {
				t.Fatalf("message %d is %.20q, %v, want %.20q", e.first+uint64(i), v.Body, err, body)
			}
			if m, ok := v.Mark(); ok != (made%3 > 0) || ok && m.DeliverAt != int64(made%3) {
				t.Fatalf("message %d has the mark %+v, %v", v.Seq, m, ok)
			}
			made++
		}
	}
}

// What is kept above the end that is known is kept by a carry segment alone.
func TestCarrySegmentIsKeptAboveTheEndThatIsKnown(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	n.log.Next = func(seen uint64) uint64 { return max(seen, 1000) }
	l, _ := n.open(t)
	entries := numbered(1000, 12)
	if _, err := repeat(l, entries, 0, 0); err != nil {
		t.Fatal(err)
	}
	mustSync(t, l)
	full := l.Extents()[1].Numbers
	carryAll(t, l, full)
	fs.Kill()
	n.shared.FS = fs.Mount()
	l, _ = n.exact(full.From + 1).open(t)
	if l.End() != full.To {
		t.Fatalf("ends at %d, the carry segment does at %d", l.End(), full.To)
	}
	if _, err := repeat(l, entries, 0, 0); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, l, entries)
	mustClose(t, l)
}

func carryAll(t *testing.T, l *Log, numbers seqset.Range) {
	t.Helper()
	list := []seqset.Range{numbers}
	if err := l.Carry(list, list, func([]seqset.Range) error { return nil }); err != nil {
		t.Fatal(err)
	}
}
