package machine

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// twins are two replicas with the same messages, the first of which has lost some.
func twins(t *testing.T) (bad, good *Machine, disk *crashfs.FS) {
	t.Helper()
	bad, disk = without(t, 1, "message 3 ", "message 30 ", "message 59 ")
	good, _ = without(t, 2)
	return bad, good, disk
}

// fill leaves a member with 60 messages and a checkpoint on a disk, stopped in good order.
func fill(t *testing.T, disk *crashfs.FS) {
	t.Helper()
	m := open(t, disk)
	feed(t, m, topology(createTopic("t"), createChannel(1, "c")))
	for n := range uint64(60) {
		feed(t, m, publish(1, 7, n+1, fmt.Sprintf("message %d %s", n, strings.Repeat("x", 200))))
	}
	_, err := m.Checkpoint()
	must(t, err)
	must(t, m.Close())
}

// without is a replica with 60 messages, whose disk has lost some.
func without(t *testing.T, seed uint64, bodies ...string) (*Machine, *crashfs.FS) {
	t.Helper()
	disk := newDisk(seed)
	fill(t, disk)
	spoil(t, disk, bodies...)
	return open(t, disk), disk
}

// spoil changes messages where they lie on a disk.
func spoil(t *testing.T, disk *crashfs.FS, bodies ...string) {
	t.Helper()
	for _, f := range disk.Files() {
		if path.Ext(f.Name) != ".seg" {
			continue
		}
		b, err := disk.ReadFile(f.Name)
		must(t, err)
		for _, body := range bodies {
			b = bytes.Replace(b, []byte(body), []byte("nothing"+body[7:]), 1)
		}
		must(t, disk.WriteFile(f.Name, b))
	}
}

// readable is how many messages can be read.
func readable(t *testing.T, m *Machine) (n int) {
	t.Helper()
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	r := v.Log.NewReader()
	defer r.Release()
	for seq := v.Log.Start(); seq < v.Next; seq++ {
		if _, err := r.Read(seq); err == nil {
			n++
		}
	}
	return n
}

func numbersOf(t *testing.T, m *Machine) seqset.Range {
	t.Helper()
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	return seqset.Range{From: v.State.Floor(), To: v.Next}
}

// mend has a replica mend all that it can, and returns what is left.
func mend(t *testing.T, m *Machine, sources ...Source) (left []seqset.Range) {
	t.Helper()
	_, left, err := m.Mend(1, []seqset.Range{numbersOf(t, m)}, sources...)
	must(t, err)
	return left
}

// wantMended fails if anything is left.
func wantMended(t *testing.T, m *Machine, sources ...Source) {
	t.Helper()
	if left := mend(t, m, sources...); len(left) > 0 {
		t.Fatalf("%v is left", left)
	}
}

// What one replica has lost it has again when another one gave it, also after a stop.
func TestLostMessagesAreThoseOfAnotherReplica(t *testing.T) {
	bad, good, disk := twins(t)
	if lost := readable(t, good) - readable(t, bad); lost != 3 {
		t.Fatalf("%d messages are lost", lost)
	}
	asked := 0
	wantMended(t, bad, func(from, to uint64) ([]byte, error) {
		asked++
		return good.Records(1, from, to, 1)
	})
	if asked != 3 {
		t.Errorf("%d messages were asked for", asked)
	}
	same(t, bad, good)
	disk.Crash(crashfs.DropAll)
	bad = open(t, disk)
	same(t, bad, good)
	must(t, bad.Close())
}

// sourceOf gives what another replica has, some bytes at a time.
func sourceOf(m *Machine, bytes int) Source {
	return func(from, to uint64) ([]byte, error) { return m.Records(1, from, to, bytes) }
}

// Where each replica has lost something, and one of them gives what is of no use, a message
// that any of them has is there again.
func TestWhatIsLostHereAndThereIsPutTogether(t *testing.T) {
	bad, good, _ := twins(t)
	first, _ := without(t, 3, "message 30 ")
	second, _ := without(t, 4, "message 3 ", "message 59 ")
	third, _ := without(t, 5, "message 31 ", "message 57 ")
	junk := func(uint64, uint64) ([]byte, error) { return bytes.Repeat([]byte{255}, 500), nil }
	nothing := func(uint64, uint64) ([]byte, error) { return nil, nil }
	tooMuch := func(from, to uint64) ([]byte, error) { return good.Records(1, from, to+1, 1<<20) }
	wantMended(t, bad, junk, nothing, tooMuch, sourceOf(first, 1<<20), sourceOf(second, 1<<20))
	same(t, bad, good)
	wantMended(t, first, sourceOf(second, 1), sourceOf(third, 1<<20))
	wantMended(t, second, sourceOf(third, 1<<20), sourceOf(first, 1))
	wantMended(t, third, junk, sourceOf(second, 1<<20))
	for _, m := range []*Machine{first, second, third} {
		same(t, m, good)
		must(t, m.Close())
	}
	must(t, errors.Join(bad.Close(), good.Close()))
}

// Bytes that are no records, or not enough of them, mend nothing and break nothing.
func TestWhatAnotherReplicaGivesIsLookedAt(t *testing.T) {
	bad, good, _ := twins(t)
	numbers := numbersOf(t, bad)
	whole, err := good.Records(1, numbers.From, numbers.To, 1<<20)
	must(t, err)
	before := readable(t, bad)
	for name, answer := range map[string][]byte{
		"nothing": nil, "short": whole[:30], "cut": whole[:len(whole)-1], "zeros": make([]byte, 500), "ones": bytes.Repeat([]byte{255}, 500), "too much": whole,
	} {
		if left := mend(t, bad, func(uint64, uint64) ([]byte, error) { return answer, nil }); len(left) != 3 {
			t.Errorf("%s: %v is left", name, left)
		}
		if now := readable(t, bad); now != before {
			t.Errorf("%s: %d messages, before there were %d", name, now, before)
		}
	}
	if _, err := good.Records(2, 1, 2, 1); !errors.Is(err, ErrNoTopic) {
		t.Errorf("of no topic: %v", err)
	}
	if _, err := good.Records(1, numbers.To, 1<<63, 1); !errors.Is(err, diskqueue.ErrNotFound) {
		t.Errorf("behind the end: %v", err)
	}
	must(t, bad.Close())
}

// What all have lost keeps nothing else from being mended, wherever it lies: within a
// segment beside others, at its ends, in a segment that is gone. It is told, asked for
// again, and mended when somebody has it.
func TestWhatAllHaveLostKeepsNothingElseFromBeingMended(t *testing.T) {
	everywhere := []string{"message 5 ", "message 6 ", "message 21 "}
	for _, gone := range []bool{false, true} {
		all := append([]string{"message 3 ", "message 7 ", "message 8 ", "message 30 ", "message 59 "}, everywhere...)
		bad, disk := without(t, 1, all...)
		if gone { // the segments with some of them
			must(t, bad.Close())
			for _, name := range []string{"message 3 ", "message 21 "} {
				removeSegmentWith(t, disk, "nothing"+name[7:])
			}
			bad = open(t, disk)
		}
		second, _ := without(t, 2, append([]string{"message 2 ", "message 3 "}, everywhere...)...)
		third, _ := without(t, 3, append([]string{"message 30 ", "message 10 "}, everywhere...)...)
		unreached := func(uint64, uint64) ([]byte, error) { return nil, ErrUnreached }
		want := uint64(len(everywhere))
		sum := func(list []seqset.Range) (n uint64) {
			for _, r := range list {
				n += r.Len()
			}
			return n
		}
		if left := mend(t, bad, unreached); sum(left) < uint64(len(all)) {
			t.Errorf("gone %v: nobody is reached, and %v is left", gone, left)
		}
		for round := range 3 {
			left := mend(t, bad, unreached, sourceOf(second, 1), sourceOf(third, 1<<20))
			if sum(left) != want || readable(t, bad) != 60-int(want) {
				t.Fatalf("gone %v, round %d: %v is left, %d can be read", gone, round, left, readable(t, bad))
			}
			disk.Crash(crashfs.DropAll)
			var told []seqset.Range
			bad = open(t, disk, func(o *Options) { o.Found = func(f Finding) { told = append(told, f.Range) } })
			for _, missing := range bad.Missing() {
				told = append(told, missing.Numbers...)
			}
			if len(seqset.Difference(left, told)) > 0 {
				t.Errorf("gone %v, round %d: %v was told after a start, %v was left", gone, round, told, left)
			}
		}
		good, _ := without(t, 4)
		wantMended(t, bad, sourceOf(second, 1), sourceOf(good, 1<<20))
		same(t, bad, good)
	}
}

// However many messages in one piece all have lost, what is behind them, and between two such
// pieces, is mended, and they are not all asked for.
func TestLongPieceThatAllHaveLostEndsSomewhere(t *testing.T) {
	const all = 30_000
	disk := newDisk(1)
	good := open(t, newDisk(2))
	bad := open(t, disk)
	for _, m := range []*Machine{bad, good} {
		feed(t, m, topology(createTopic("t"), createChannel(1, "c")), publish(1, 7, 1, slices.Repeat([]string{"x"}, all)...))
		_, err := m.Checkpoint()
		must(t, err)
	}
	first := numbersOf(t, good).From
	must(t, bad.Close())
	for _, f := range disk.Files() {
		if ext := path.Ext(f.Name); ext == ".seg" || ext == ".idx" {
			must(t, disk.Mount().Remove(f.Name))
		}
	}
	for _, gone := range [][]seqset.Range{
		{{From: 0, To: all}},
		{{From: 0, To: 5_000}, {From: 29_000, To: all}},
		{{From: 0, To: 4_096}},
	} {
		for i := range gone {
			gone[i] = seqset.Range{From: gone[i].From + first, To: gone[i].To + first}
		}
		asked := 0
		left := mend(t, bad, func(from, to uint64) ([]byte, error) {
			if asked++; seqset.Meets(gone, seqset.Range{From: from, To: from + 1}) {
				return nil, errors.New("lost here too")
			}
			for _, r := range gone {
				if r.From > from {
					to = min(to, r.From)
				}
			}
			return good.Records(1, from, to, 1<<20)
		})
		if len(seqset.Difference(left, gone))+len(seqset.Difference(gone, left)) > 0 {
			t.Errorf("%v is lost everywhere, and %v is left", gone, left)
		}
		if asked > 2*maxMisses+200 {
			t.Errorf("%v is lost everywhere, and it was asked %d times", gone, asked)
		}
	}
	wantMended(t, bad, sourceOf(good, 1<<20))
	same(t, bad, good)
}

// What is lost here and there in a segment is written at a time, and meanwhile entries are
// applied: segments that they finish go when it is over.
func TestEntriesAreAppliedWhileASegmentIsWrittenAnew(t *testing.T) {
	bad, disk := without(t, 1, "message 40 ", "message 42 ")
	good, _ := without(t, 2)
	numbers := numbersOf(t, bad)
	written, applied := 0, make(chan struct{})
	disk.Fail(func(op crashfs.Op, name string) error {
		if op != crashfs.OpCreate || !strings.HasSuffix(name, ".carry.tmp") {
			return nil
		}
		if written++; written == 1 {
			go func() {
				defer close(applied)
				feed(t, bad, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: numbers.From + 20, Cursor: numbers.To}))
			}()
			select {
			case <-applied:
			case <-time.After(time.Minute):
				t.Error("an entry waits until a segment is mended")
			}
		}
		return nil
	})
	mended, left, err := bad.Mend(1, []seqset.Range{rangeOf(numbers.From+40, numbers.From+41), rangeOf(numbers.From+42, numbers.From+43)}, sourceOf(good, 1<<20))
	<-applied
	if err != nil || len(left) > 0 || mended != 2 || written != 1 {
		t.Errorf("%d are mended, %v is left, %d segments were begun, %v", mended, left, written, err)
	}
	if from := held(t, bad)[0].From; from == numbers.From {
		t.Error("what was finished meanwhile is kept")
	}
	must(t, errors.Join(bad.Close(), good.Close()))
}

// removeSegmentWith removes the segment that holds some bytes, and its index.
func removeSegmentWith(t *testing.T, disk *crashfs.FS, what string) {
	t.Helper()
	for _, f := range disk.Files() {
		b, err := disk.ReadFile(f.Name)
		if path.Ext(f.Name) != ".seg" || err != nil || !bytes.Contains(b, []byte(what)) {
			continue
		}
		must(t, disk.Mount().Remove(f.Name))
		must(t, disk.Mount().Remove(strings.TrimSuffix(f.Name, ".seg")+".idx"))
	}
}
