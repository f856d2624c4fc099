package machine

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// takeSome has m take in a snapshot of another machine that breaks off behind so many
// frames, and counts the messages that came.
func takeSome(m, from *Machine, sealed bool, frames int) (messages int, whole bool, err error) {
	s, err := m.Stage()
	if err != nil {
		return 0, false, err
	}
	defer s.Close()
	given := from.Snapshot(s.Ends())
	defer given.Close()
	if sealed {
		given.Sealed()
	}
	for ; ; frames-- {
		frame, err := given.Next(nil)
		switch {
		case errors.Is(err, io.EOF):
			return messages, true, s.Install()
		case err != nil:
			return messages, false, err
		case frames == 0:
			return messages, false, nil
		}
		messages += messagesIn(frame)
		if err := s.Put(frame); err != nil {
			return messages, false, err
		}
	}
}

// everyFrame are more than any snapshot has.
const everyFrame = 1 << 30

// takeAll is takeSome of one that does not break off.
func takeAll(t tester, m, from *Machine, sealed bool) (messages int) {
	t.Helper()
	messages, whole, err := takeSome(m, from, sealed, everyFrame)
	if must(t, err); !whole {
		t.Fatal("it broke off")
	}
	return messages
}

// stateFrames is how many frames of a snapshot come before its messages.
func stateFrames(t tester, m *Machine) int {
	t.Helper()
	return len(framesFor(t, m, m.Ends())) - 1
}

func messagesIn(frame []byte) int {
	var b diskqueue.Batch
	switch payload := frame[frameHeader:]; payload[0] {
	case frameRecords:
		r := numberReader{b: payload[1:]}
		r.next()
		r.next()
		if err := b.ParseRecords(r.b); err != nil {
			panic(err)
		}
	case frameSealed:
		h, _, _ := parseSealed(payload)
		return int(h.count)
	}
	return b.Len()
}

// nothingLeft fails if anything is there for the next snapshot but what the machine has.
func nothingLeft(t tester, disk *crashfs.FS, m *Machine) {
	t.Helper()
	s, err := m.Stage()
	must(t, err)
	defer s.Close()
	by := func(a, b End) int { return compare(a.Topic, b.Topic) }
	got, want := slices.SortedFunc(slices.Values(s.Ends()), by), slices.SortedFunc(slices.Values(m.Ends()), by)
	if !slices.Equal(got, want) {
		t.Errorf("%v are there, of %v", got, want)
	}
	entries, err := disk.Mount().ReadDir(m.topicsDir())
	must(t, err)
	for _, e := range entries {
		if _, incarnation, _ := names.ParseDir(e.Name()); m.logs[incarnation] == nil {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// at is the history up to an index, applied to a machine with a disk of its own.
func (h *history) at(t tester, index, checkpoints int) (*Machine, *crashfs.FS) {
	t.Helper()
	early := *h
	early.entries = h.entries[:index]
	disk := newDisk(uint64(index))
	m := open(t, disk)
	must(t, early.applyAll(m, checkpoints))
	return m, disk
}

// Wherever a snapshot breaks off, the next one, of another node and a later index, brings
// what is behind that alone, and leads to the same.
func TestSnapshotGoesOnWhereTheOneBeforeBrokeOff(t *testing.T) {
	for seed := range uint64(6) {
		h := newHistory(t, seed, 120)
		first, _ := h.at(t, 80, 7)
		for _, begun := range []int{0, 1, 40} {
			for broken, whole := 0, false; !whole; broken++ {
				m, disk := h.at(t, begun, 30)
				var err error
				_, whole, err = takeSome(m, first, seed%2 == 0, broken)
				must(t, err)
				takeAll(t, m, h.m, seed%2 == 0)
				same(t, m, h.m)
				nothingLeft(t, disk, m)
				disk.Crash(crashfs.DropAll)
				m = open(t, disk)
				same(t, m, h.m)
				must(t, m.Close())
			}
		}
	}
}

// However often a snapshot breaks off, no message comes twice that was taken in.
func TestNothingOfASnapshotComesTwice(t *testing.T) {
	for seed := range uint64(20) {
		h := newHistory(t, seed, 150)
		sealed := seed%2 == 0
		once, _ := h.at(t, 20, 30)
		want := takeAll(t, once, h.m, sealed)
		m, _ := h.at(t, 20, 30)
		states := stateFrames(t, h.m)
		got, links := 0, 0
		for whole := false; !whole; links++ {
			var n int
			var err error
			n, whole, err = takeSome(m, h.m, sealed, states+1) // one frame of messages
			must(t, err)
			got += n
		}
		if same(t, m, h.m); got != want || links < 2 {
			t.Errorf("seed %d: %d messages came, of %d, in %d goes", seed, got, want, links)
		}
	}
}

func TestSnapshotThatBreaksOffAgainAndAgainIsWholeInTheEnd(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		h := newHistory(t, seed, 140)
		m, disk := h.at(t, rng.IntN(40), 30)
		crashed := false
		for index := 40; ; index = min(140, index+rng.IntN(15)) {
			giver, _ := h.at(t, index, 1+rng.IntN(30))
			_, whole, err := takeSome(m, giver, rng.IntN(2) == 0, 1+rng.IntN(40))
			if must(t, err); whole && index == 140 {
				break
			}
			if seed%2 == 0 && rng.IntN(10) == 0 {
				crashed = true
				disk.Crash(crashfs.DropAll)
				m = open(t, disk)
			}
		}
		same(t, m, h.m)
		if !crashed {
			nothingLeft(t, disk, m)
		}
	}
}

// What a snapshot has brought that broke off does not count, and is gone when entries are
// applied, or the machine is closed.
func TestWhatASnapshotHasLeftIsGoneWithTheNextEntry(t *testing.T) {
	h := newHistory(t, 5, 120)
	for broken, whole := 1, false; !whole; broken++ {
		for _, closed := range []bool{false, true} {
			m, disk := h.at(t, 60, 30)
			n, all, err := takeSome(m, h.m, true, broken)
			must(t, err)
			if whole = all; whole {
				break
			}
			if _, err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				_, noView := m.Topic(m.s.names["Topic.0"])
				s := m.Snapshot(nil)
				if _, notGiven := s.Next(nil); !errors.Is(notGiven, errInstalling) || !errors.Is(noView, errInstalling) {
					t.Fatalf("with what is left, a view: %v, a snapshot: %v", noView, notGiven)
				}
				s.Close()
			}
			if closed {
				must(t, m.Close())
				m = open(t, disk)
			} else {
				_, err := m.Apply(61, 1, h.entries[60])
				must(t, err)
			}
			nothingLeft(t, disk, m)
			must(t, h.applyAll(m, 30))
			same(t, m, h.m)
			disk.Crash(crashfs.DropAll)
			same(t, open(t, disk), h.m)
		}
	}
}

// What a giver had given up as nobody owed it may be owed in an older state: none is taken
// in on top of what a newer one has brought, and the next one begins anew.
func TestSnapshotOfAnOlderStateDoesNotGoOn(t *testing.T) {
	h := newHistory(t, 8, 120)
	older, _ := h.at(t, 80, 30)
	m, disk := h.at(t, 10, 30)
	n, whole, err := takeSome(m, h.m, true, stateFrames(t, h.m)+2)
	if must(t, err); n == 0 || whole {
		t.Fatalf("%d messages, whole: %v", n, whole)
	}
	if _, _, err := takeSome(m, older, true, everyFrame); !errors.Is(err, errDiverged) {
		t.Fatalf("an older state: %v", err)
	}
	nothingLeft(t, disk, m)
	takeAll(t, m, older, true)
	same(t, m, older)
	takeAll(t, m, h.m, true)
	same(t, m, h.m)
}

// What was deleted, emptied or finished while a snapshot was interrupted is not there in
// the end.
func TestTopicsThatGoWhileASnapshotIsInterrupted(t *testing.T) {
	from := open(t, newDisk(1))
	body := string(make([]byte, 1000))
	names := []string{"deleted", "emptied", "finished", "stays"}
	for i, name := range names {
		id := uint64(2*i + 1)
		feed(t, from, topology(createTopic(name)), topology(createChannel(id, "c")))
		for n := range uint64(30) {
			feed(t, from, publish(id, 7, n+1, body))
		}
	}
	disk := newDisk(2)
	m := open(t, disk)
	states := stateFrames(t, from)
	for _, tl := range from.logs {
		if extents := len(must2(tl.open(from, 0)).Extents()); extents < 5 {
			t.Fatalf("%d segments", extents)
		}
	}
	frames := len(sealedFor(t, from, nil)) - 2
	if n, whole, err := takeSome(m, from, true, frames); err != nil || whole || frames < states+20 {
		t.Fatalf("%d messages, whole: %v, %v", n, whole, err)
	}
	feed(t, from, topology(state.Entry{Op: state.DeleteTopic, Topic: 1}, state.Entry{Op: state.EmptyTopic, Topic: 3}))
	feed(t, from, changes(state.ChannelChanges{Topic: 5, Channel: 6, Version: 1, Floor: 31, Cursor: 31}))
	feed(t, from, topology(createTopic("deleted")))
	_, err := from.Checkpoint()
	must(t, err)
	if n := takeAll(t, m, from, true); n > 10 {
		t.Errorf("%d messages came again", n)
	}
	same(t, m, from)
	nothingLeft(t, disk, m)
	if got := slices.Sorted(maps.Keys(m.logs)); len(got) != 4 || got[0] == 1 {
		t.Errorf("topics %v", got)
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// After an error of the disk, or of what came, nothing is left for the next snapshot.
func TestNothingIsLeftOfASnapshotThatWasNotRight(t *testing.T) {
	h := newHistory(t, 3, 120)
	first, _ := h.at(t, 90, 30)
	for at, done := 0, false; !done; at++ {
		m, disk := h.at(t, 40, 20)
		if _, whole, err := takeSome(m, first, true, stateFrames(t, first)+3); err != nil || whole {
			t.Fatal(whole, err)
		}
		failing := at
		disk.Fail(func(op crashfs.Op, name string) error {
			if failing--; failing == -1 {
				return errFailing
			}
			return nil
		})
		_, whole, err := takeSome(m, h.m, true, everyFrame)
		done = failing >= 0
		disk.Fail(nil)
		if err == nil && whole {
			same(t, m, h.m)
			continue
		}
		nothingLeft(t, disk, m)
		takeAll(t, m, h.m, true)
		same(t, m, h.m)
	}
	m, disk := h.at(t, 40, 20)
	if _, whole, err := takeSome(m, first, true, stateFrames(t, first)+3); err != nil || whole {
		t.Fatal(whole, err)
	}
	if err := install(m, [][]byte{{1, 2, 3}}); err == nil {
		t.Error("taken in")
	}
	nothingLeft(t, disk, m)
}

// What could not be synced is not there for the next snapshot, which has it synced again.
func TestNothingIsLeftOfASnapshotThatCouldNotBeSynced(t *testing.T) {
	h := newHistory(t, 3, 120)
	m, disk := h.at(t, 10, 20)
	s, err := m.Stage()
	must(t, err)
	for _, frame := range sealedFor(t, h.m, s.Ends())[:stateFrames(t, h.m)+3] {
		must(t, s.Put(frame))
	}
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync {
			return errFailing
		}
		return nil
	})
	for _, tl := range s.logs {
		s.syncSome(tl.log, syncStretch)
	}
	disk.Fail(nil)
	s.Close()
	nothingLeft(t, disk, m)
	takeAll(t, m, h.m, true)
	same(t, m, h.m)
	disk.Crash(crashfs.DropAll)
	same(t, open(t, disk), h.m)
}

// Whatever stops what goes on with a snapshot that broke off leaves the old state or the new
// one.
func TestStopWithinAnInstallationThatGoesOn(t *testing.T) {
	h := newHistory(t, 7, 120)
	first, _ := h.at(t, 90, 30)
	old, _ := h.at(t, 30, 1000)
	for name, crash := range crashes {
		for at, installed := 0, false; !installed; at++ {
			m, disk := h.at(t, 30, 20)
			_, err := m.Checkpoint()
			must(t, err)
			if _, whole, err := takeSome(m, first, true, stateFrames(t, first)+3); err != nil || whole {
				t.Fatal(whole, err)
			}
			stopAt(disk, at, crash)
			_, installed, err = takeSome(m, h.m, true, everyFrame)
			installed = installed && err == nil
			disk.Fail(nil)
			disk.Kill()
			m = open(t, disk)
			index, _ := m.Applied()
			switch {
			case index == 120:
				same(t, m, h.m)
			case index != 30 || installed:
				t.Fatalf("%s at %d: opened at %d, installed: %v", name, at, index, installed)
			default:
				same(t, m, old)
				takeAll(t, m, h.m, true)
				same(t, m, h.m)
			}
		}
	}
}
