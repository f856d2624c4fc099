package diskqueue

import (
	"slices"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// replicatedNode opens logs as those of replicated topics: where the caller says.
func replicatedNode(disk *crashfs.FS, end uint64) *node {
	n := newNode(disk.Mount()).cold()
	n.log.End = end
	n.log.Next = func(uint64) uint64 { return end }
	return n
}

func TestJumpLeavesNumbersOutForGood(t *testing.T) {
	for name, crash := range map[string]func(*crashfs.FS){
		"killed":    (*crashfs.FS).Kill,
		"power cut": func(c *crashfs.FS) { c.Crash(crashfs.DropAll) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := newCrash(1)
			l, _ := replicatedNode(disk, 10).open(t)
			l.KeepHot(100)
			jump := func(to uint64) {
				t.Helper()
				if err := l.Jump(to); err != nil || l.End() != to {
					t.Fatalf("%v, end %d", err, l.End())
				}
			}
			jump(10)
			mustAppend(t, l, single([]byte("10"), []byte("11")))
			jump(20)
			jump(30)
			mustAppend(t, l, single([]byte("30")))
			if err := l.Jump(30); err == nil {
				t.Fatal("the log went back")
			}
			if err := l.Jump(message.MaxSeq + 1); err == nil {
				t.Fatal("the log goes on at a number that no message can have")
			}
			mustSync(t, l)
			jump(40)
			voids := []seqset.Range{{From: 0, To: 10}, {From: 12, To: 30}, {From: 31, To: 40}}
			check := func(l *Log) {
				t.Helper()
				if got := contents(t, l); len(got) != 3 || got[10] != "10" || got[11] != "11" || got[30] != "30" {
					t.Errorf("%v", got)
				}
				if !slices.Equal(l.Voids(), voids) || l.End() != 40 {
					t.Errorf("voids %v, end %d", l.Voids(), l.End())
				}
			}
			check(l)
			crash(disk)
			l, rec := replicatedNode(disk, 40).open(t)
			if check(l); len(rec.Findings) > 0 {
				t.Errorf("%+v", rec.Findings)
			}
			if got := mustAppend(t, l, single([]byte("40"))); got.First != 40 {
				t.Errorf("%+v", got)
			}
			mustClose(t, l)
		})
	}
}

func TestHotTailIsSwitchedOnAndOff(t *testing.T) {
	l, _ := newNode(newCrash(1).Mount()).cold().open(t)
	hot := func(want int) {
		t.Helper()
		got := 0
		for seq := range contents(t, l) {
			if seq >= l.HotStart() {
				got++
			}
		}
		if used := l.shared.hot.used.Load(); got != want || (used > 0) != (want > 0) {
			t.Errorf("%d messages in memory, %d bytes; want %d", got, used, want)
		}
	}
	add := func() { mustAppend(t, l, single([]byte("a"), []byte("b"))) }
	add()
	hot(0)
	l.KeepHot(1000)
	add()
	add()
	hot(4)
	l.KeepHot(0)
	hot(0)
	add()
	hot(0)
	l.KeepHot(1000)
	add()
	hot(2)
	mustClose(t, l)
}

func TestRangesOfRecordsAreReadAndAppendedElsewhere(t *testing.T) {
	from, _ := replicatedNode(newCrash(1), 5).open(t)
	add := func(batches ...*Batch) { mustAppend(t, from, batches...) }
	add(single([]byte("a"), []byte("b")), multi([]byte("c"), []byte("d"), []byte("e")))
	if err := from.Jump(50); err != nil {
		t.Fatal(err)
	}
	late := single([]byte("f"))
	late.Add(&message.Meta{Timestamp: 1, DeliverAt: 9}, bodyOf(1, 2*minLong))
	add(late)
	for _, bytes := range []int{1, 100, 1 << 20} {
		to, _ := replicatedNode(newCrash(2), 6).open(t)
		r := from.NewReader()
		for at := uint64(6); at < from.End(); {
			b, first, next, err := r.ReadBatch(at, from.End(), bytes)
			if err != nil || next <= at || b.Len() == 0 {
				t.Fatalf("at %d: %v, next %d, %d messages", at, err, next, b.Len())
			}
			parsed := new(Batch)
			if err := parsed.ParseRecords(b.AppendRecords(nil)); err != nil {
				t.Fatal(err)
			}
			if to.End() < first {
				if err := to.Jump(first); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := to.AppendAt(first, []*Batch{parsed}); err != nil {
				t.Fatal(err)
			}
			at = next
		}
		r.Release()
		want, got := contents(t, from), contents(t, to)
		if delete(want, 5); len(got) != len(want) || to.End() != from.End() {
			t.Errorf("%v, want %v; end %d", got, want, to.End())
		}
		for seq, body := range want {
			if got[seq] != body {
				t.Errorf("%d is %q", seq, got[seq])
			}
		}
		if marks, err := to.Marks(0, 100); err != nil || len(marks) != 1 || marks[0] != (message.Mark{Seq: 51, DeliverAt: 9}) {
			t.Errorf("marks %v, %v", marks, err)
		}
		mustClose(t, to)
	}
	mustClose(t, from)
}

func TestRestOfADamagedMPUBIsCopiedAsOne(t *testing.T) {
	disk := newCrash(1)
	n := replicatedNode(disk, 5)
	l, _ := n.open(t)
	mustAppend(t, l, multi([]byte("a"), []byte("b"), []byte("damaged"), []byte("d"), []byte("e")))
	at := int64(segmentHead + 2*(message.HeaderSize+1) + message.HeaderSize)
	if err := disk.FlipBit(segmentPath(testDir, 5), at); err != nil {
		t.Fatal(err)
	}
	r := l.NewReader()
	defer r.Release()
	var got []string
	for at := uint64(5); at < l.End(); {
		b, first, next, err := r.ReadBatch(at, l.End(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if b.Len() > 0 {
			if err := new(Batch).ParseRecords(b.AppendRecords(nil)); err != nil {
				t.Error(err)
			}
			for i := range b.Len() {
				v, err := l.NewReader().Read(first + uint64(i))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(v.Body))
			}
		}
		at = next
	}
	if !slices.Equal(got, []string{"a", "b", "d", "e"}) {
		t.Errorf("%q", got)
	}
	mustClose(t, l)
}

func TestAFailedSyncIsRemembered(t *testing.T) {
	disk := newCrash(1)
	l, _ := replicatedNode(disk, 5).open(t)
	mustAppend(t, l, single([]byte("a")))
	mustSync(t, l)
	mustAppend(t, l, single([]byte("b")))
	failNext(disk, 1, crashfs.OpSync)
	if _, err := l.Sync(); err == nil {
		t.Fatal("synced")
	}
	mustAppend(t, l, single([]byte("c")))
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if l.SyncFailed(6) || !l.SyncFailed(7) || !l.SyncFailed(l.End()) {
		t.Errorf("failed below 6: %v, below 7: %v", l.SyncFailed(6), l.SyncFailed(7))
	}
	l, _ = replicatedNode(disk, 6).open(t)
	mustAppend(t, l, single([]byte("b"), []byte("c")))
	mustSync(t, l)
	if l.SyncFailed(l.End()) {
		t.Error("opened anew, it is not synced")
	}
	mustClose(t, l)
}
