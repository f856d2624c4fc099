package machine

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/replica/entry"
)

// kindOf is the kind of a frame.
func kindOf(frame []byte) byte { return frame[frameHeader] }

// Records go as segments have them to who takes that, and to nobody else.
func TestRecordsGoSealedToWhoTakesThem(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")), publish(1, 7, 1, "a", "b"), publish(1, 7, 2, "c"))
	has := func(frames [][]byte, kind byte) bool {
		return slices.ContainsFunc(frames, func(f []byte) bool { return kindOf(f) == kind })
	}
	if frames := framesFor(t, m, nil); has(frames, frameSealed) || !has(frames, frameRecords) {
		t.Error("sealed, and nobody has asked")
	}
	frames := sealedFor(t, m, nil)
	if !has(frames, frameSealed) || has(frames, frameRecords) {
		t.Error("not sealed")
	}
	to := open(t, newDisk(2))
	must(t, install(to, frames))
	same(t, to, m)
}

// No bit of a frame of sealed records can change unnoticed, nor can its end be missing.
func TestDamagedSealedRecordsAreRefused(t *testing.T) {
	from := open(t, newDisk(1))
	feed(t, from, topology(createTopic("t")), publish(1, 7, 1, "one", "two"), publish(1, 7, 2, "three"))
	frames := sealedFor(t, from, nil)
	at := slices.IndexFunc(frames, func(f []byte) bool { return kindOf(f) == frameSealed })
	whole := frames[at]
	m := open(t, newDisk(2))
	refused := func(what string, place int, changed []byte) {
		t.Helper()
		list := slices.Clone(frames)
		list[at] = changed
		if err := install(m, list); err == nil {
			t.Fatalf("%s %d is not noticed", what, place)
		}
		if index, _ := m.Applied(); index != 0 {
			t.Fatalf("index %d", index)
		}
	}
	for i := range len(whole) * 8 {
		changed := bytes.Clone(whole)
		changed[i/8] ^= 1 << (i % 8)
		refused("bit", i, changed)
	}
	for n := range whole {
		refused("cut at", n, whole[:n])
	}
	must(t, install(m, frames))
	same(t, m, from)
}

// What cannot be read where a snapshot comes from is not there where it goes to, is told
// where it was found, and takes nothing else with it.
func TestDamageDoesNotTravelWithASnapshot(t *testing.T) {
	for _, framesFor := range []func(tester, *Machine, []End) [][]byte{framesFor, sealedFor} {
		disk := newDisk(1)
		found := 0
		from := open(t, disk, func(o *Options) {
			o.SegmentBytes = 1 << 20
			o.Found = func(Finding) { found++ }
		})
		feed(t, from, topology(createTopic("t")))
		for n := range uint64(20) {
			feed(t, from, publish(1, 7, n+1, strings.Repeat("x", 100)))
		}
		var segment string
		for _, f := range disk.Files() {
			if strings.HasSuffix(f.Name, ".seg") {
				segment = f.Name
			}
		}
		b, err := disk.ReadFile(segment)
		must(t, err)
		must(t, disk.FlipBit(segment, int64(len(b)-5*128-50)))
		to := open(t, newDisk(2))
		must(t, install(to, framesFor(t, from, nil)))
		if found != 1 {
			t.Errorf("told %d times", found)
		}
		v, err := to.Topic(1)
		must(t, err)
		r := v.Log.NewReader()
		good := 0
		for seq := v.Next - 20; seq < v.Next; seq++ {
			if m, err := r.Read(seq); err == nil && len(m.Body) == 100 {
				good++
			} else if seq != v.Next-6 {
				t.Errorf("message %d: %v", seq, err)
			}
		}
		r.Release()
		v.Release()
		if good != 19 {
			t.Errorf("%d of 19 messages", good)
		}
	}
}

// Much that is taken in is synced as it comes, not all in the end.
func TestSnapshotIsSyncedAsItComes(t *testing.T) {
	from := open(t, newDisk(1), func(o *Options) { o.SegmentBytes = 64 << 20 })
	feed(t, from, topology(createTopic("t")))
	body := strings.Repeat("x", 1<<20)
	for n := range uint64(2*syncStretch>>20 + 1) {
		feed(t, from, publish(1, 7, n+1, body))
	}
	for _, fails := range []bool{false, true} {
		disk := newDisk(2)
		to := open(t, disk, func(o *Options) { o.SegmentBytes = 64 << 20 })
		s, err := to.Stage()
		must(t, err)
		syncs := 0
		disk.Fail(func(op crashfs.Op, name string) error {
			if op != crashfs.OpSync {
				return nil
			}
			if syncs++; fails && syncs == 1 {
				return errFailing
			}
			return nil
		})
		for _, frame := range sealedFor(t, from, nil) {
			must(t, s.Put(frame))
		}
		if syncs != 2 {
			t.Errorf("%d syncs before all is there", syncs)
		}
		if err := s.Install(); (err != nil) != fails {
			t.Errorf("a sync fails: %v, installed: %v", fails, err)
		}
		s.Close()
		disk.Fail(nil)
		if fails {
			must(t, install(to, sealedFor(t, from, to.Ends())))
		}
		disk.Crash(crashfs.DropAll)
		same(t, open(t, disk, func(o *Options) { o.SegmentBytes = 64 << 20 }), from)
	}
}

// BenchmarkSnapshotOfRecords makes a snapshot of 256 MiB of messages of a kilobyte, and takes it
// in, frame by frame: with records in a form of their own, and as segments have them.
func BenchmarkSnapshotOfRecords(b *testing.B) {
	from := onDisk(b)
	applyNext(b, from, topology(createTopic("t")).AppendTo(nil))
	const size = 256 << 20
	batch := batchOf(slices.Repeat([]string{strings.Repeat("x", 1000)}, 200)...)
	for n := uint64(1); n*uint64(batch.Bytes()) < size; n++ {
		applyNext(b, from, (&entry.Entry{Parts: []entry.Part{{Topic: 1, Origin: entry.Origin{Member: 1, Epoch: 1, Number: n}, Batch: batch}}}).AppendTo(nil))
	}
	for name, framesFor := range map[string]func(tester, *Machine, []End) [][]byte{"records": framesFor, "sealed": sealedFor} {
		frames := framesFor(b, from, nil)
		b.Run("make/"+name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				framesFor(b, from, nil)
			}
		})
		b.Run("take/"+name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				must(b, install(onDisk(b), frames))
			}
		})
	}
}
