package machine

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// framesFor is a snapshot for who has ends.
func framesFor(t tester, m *Machine, ends []End) (frames [][]byte) {
	t.Helper()
	return framesOf(t, m.Snapshot(ends))
}

// sealedFor is framesFor with sealed records.
func sealedFor(t tester, m *Machine, ends []End) [][]byte {
	t.Helper()
	s := m.Snapshot(ends)
	s.Sealed()
	return framesOf(t, s)
}

func framesOf(t tester, s *Snapshot) (frames [][]byte) {
	t.Helper()
	defer s.Close()
	for {
		frame, err := s.Next(nil)
		if errors.Is(err, io.EOF) {
			return frames
		}
		must(t, err)
		frames = append(frames, frame)
	}
}

// install stages frames and installs them. The memory of each is used for something else
// as soon as it was taken.
func install(m *Machine, frames [][]byte) error {
	s, err := m.Stage()
	if err != nil {
		return err
	}
	defer s.Close()
	var memory []byte
	for _, frame := range frames {
		memory = append(memory[:0], frame...)
		err := s.Put(memory)
		for i := range memory {
			memory[i] = 0xa5
		}
		if err != nil {
			return err
		}
	}
	return s.Install()
}

func TestSnapshotBringsWhatIsLacking(t *testing.T) {
	for seed := range uint64(60) {
		h := newHistory(t, seed, 120)
		for _, begun := range []int{0, 1, 40, 119, 120} {
			framesFor := framesFor
			if seed%2 == 1 {
				framesFor = sealedFor
			}
			disk := newDisk(seed)
			m := open(t, disk)
			early := *h
			early.entries = h.entries[:begun]
			must(t, early.applyAll(m, 30))
			must(t, install(m, framesFor(t, h.m, m.Ends())))
			same(t, m, h.m)
			disk.Crash(crashfs.DropAll)
			m = open(t, disk)
			same(t, m, h.m)
			more := newHistory(t, seed, 150)
			must(t, more.applyAll(m, 40))
			same(t, m, more.m)
			must(t, m.Close())
		}
	}
}

func TestSnapshotOfRecordsIsThoseThatAreLackingAlone(t *testing.T) {
	from, to := open(t, newDisk(1)), open(t, newDisk(2))
	body := string(make([]byte, 1000))
	for _, m := range []*Machine{from, to} {
		feed(t, m, topology(createTopic("t"), createChannel(1, "c")))
		for n := range uint64(50) {
			feed(t, m, publish(1, 7, n+1, body))
		}
	}
	feed(t, from, publish(1, 7, 51, body))
	size := len(slices.Concat(framesFor(t, from, to.Ends())...))
	if size > 1500 {
		t.Errorf("%d bytes for one message", size)
	}
	// Where the sender has nothing between, the receiver's messages are nobody's.
	for n := range uint64(50) {
		feed(t, from, publish(1, 7, 52+n, body))
	}
	feed(t, from, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 90, Cursor: 101}))
	must(t, install(to, framesFor(t, from, to.Ends())))
	same(t, to, from)
	v, err := to.Topic(1)
	must(t, err)
	defer v.Release()
	if start := v.Log.Start(); start < 80 {
		t.Errorf("the receiver still holds messages from %d on", start)
	}
}

// Whatever stops an installation leaves the old state or the new one.
func TestStopWithinAnInstallationLeavesOneStateOrTheOther(t *testing.T) {
	for seed := range uint64(2) {
		h := newHistory(t, seed+7, 120)
		early := *h
		early.entries = h.entries[:70]
		old := open(t, newDisk(9))
		must(t, early.applyAll(old, 1000))
		frames := sealedFor(t, h.m, old.Ends())
		for name, crash := range crashes {
			installed := false
			for at := 0; !installed; at++ {
				disk := newDisk(uint64(at))
				m := open(t, disk)
				must(t, early.applyAll(m, 20))
				_, err := m.Checkpoint()
				must(t, err)
				stopAt(disk, at, crash)
				if err := install(m, frames); err == nil {
					installed = true
				}
				disk.Fail(nil)
				disk.Kill()
				m = open(t, disk)
				index, _ := m.Applied()
				switch {
				case index == 120:
					same(t, m, h.m)
				case index != 70 || installed:
					t.Fatalf("%s at %d: opened at %d, installed: %v", name, at, index, installed)
				default:
					same(t, m, old)
					must(t, install(m, frames))
					same(t, m, h.m)
				}
			}
		}
	}
}

// An installation that fails is tried again, or thrown away, and then the old state
// goes on as if nothing had been.
func TestFailedInstallationIsTriedAgainOrThrownAway(t *testing.T) {
	h := newHistory(t, 3, 120)
	early := *h
	early.entries = h.entries[:70]
	frames := sealedFor(t, h.m, nil)
	for _, again := range []bool{true, false} {
		done := false
		for at := 0; !done; at++ {
			disk := newDisk(uint64(at))
			m := open(t, disk)
			must(t, early.applyAll(m, 20))
			s, err := m.Stage()
			must(t, err)
			if _, err := m.Apply(71, 1, nil); !errors.Is(err, errInstalling) {
				t.Fatalf("applied within an installation: %v", err)
			}
			if _, err := m.Topic(1); !errors.Is(err, errInstalling) {
				t.Fatalf("a view within an installation: %v", err)
			}
			put := func() (err error) {
				for _, frame := range frames {
					err = errors.Join(err, s.Put(frame))
				}
				return err
			}
			failing := at
			disk.Fail(func(op crashfs.Op, name string) error {
				if failing--; failing == -1 && op != crashfs.OpSync && op != crashfs.OpSyncDir {
					return errFailing
				}
				return nil
			})
			err = put()
			if err == nil {
				if err = s.Install(); err != nil && again {
					err = s.Install()
				}
			}
			done = err == nil && failing >= 0
			disk.Fail(nil)
			if s.Close(); err == nil {
				same(t, m, h.m)
				continue
			}
			must(t, h.applyAll(m, 30))
			same(t, m, h.m)
			disk.Crash(crashfs.DropAll)
			m = open(t, disk)
			must(t, h.applyAll(m, 30))
			same(t, m, h.m)
		}
	}
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	h := newHistory(t, 3, 60)
	frames := framesFor(t, h.m, nil)
	m := open(t, newDisk(1))
	flipped := slices.Clone(frames)
	flipped[len(frames)/2] = bytes.Clone(frames[len(frames)/2])
	flipped[len(frames)/2][9] ^= 1
	for name, list := range map[string][][]byte{
		"nothing":        nil,
		"a flipped bit":  flipped,
		"no end":         frames[:len(frames)-1],
		"no beginning":   frames[1:],
		"one left out":   append(slices.Clone(frames[:len(frames)-2]), frames[len(frames)-1]),
		"more behind":    append(slices.Clone(frames), frames[1]),
		"an empty frame": {{}},
	} {
		if err := install(m, list); err == nil {
			t.Errorf("%s: installed", name)
		}
		if index, _ := m.Applied(); index != 0 || len(m.Topics()) > 0 {
			t.Fatalf("%s: index %d", name, index)
		}
	}
	must(t, install(m, frames))
	same(t, m, h.m)
	if err := install(m, framesFor(t, open(t, newDisk(5)), nil)); !errors.Is(err, errDiverged) {
		t.Errorf("an older snapshot: %v", err)
	}
	same(t, m, h.m)
}

func TestNothingIsStagedWhileALogIsInUse(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")))
	v, err := m.Topic(1)
	must(t, err)
	if _, err := m.Stage(); !errors.Is(err, errInUse) {
		t.Error(err)
	}
	v.Release()
	s, err := m.Stage()
	must(t, err)
	if _, err := m.Stage(); !errors.Is(err, errInstalling) {
		t.Error(err)
	}
	other := m.Snapshot(nil)
	if _, err := other.Next(nil); !errors.Is(err, errInstalling) {
		t.Error(err)
	}
	other.Close()
	s.Close()
	feed(t, m, publish(1, 7, 1, "a"))
}

// What is applied while a snapshot is on its way is not in it.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	h := newHistory(t, 11, 100)
	want := open(t, newDisk(1))
	early := *h
	early.entries = h.entries[:60]
	must(t, early.applyAll(want, 1000))
	from := open(t, newDisk(2))
	must(t, early.applyAll(from, 1000))
	s := from.Snapshot(nil)
	var frames [][]byte
	for {
		frame, err := s.Next(nil)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		frames = append(frames, frame)
		must(t, h.applyAll(from, 1000)) // behind the first frame
	}
	s.Close()
	m := open(t, newDisk(3))
	must(t, install(m, frames))
	if got, want := encoded(m), encoded(want); !bytes.Equal(got, want) {
		t.Error("the state is another")
	}
	must(t, h.applyAll(m, 1000)) // what was reclaimed meanwhile nobody needs by then
	same(t, m, h.m)
	same(t, from, h.m)
}

// The checkpoint of an installation that failed with its very last operation may
// be what the next start finds: it is taken back, or nothing goes on here.
func TestCheckpointOfAFailedInstallationIsTakenBack(t *testing.T) {
	h := newHistory(t, 3, 120)
	early := *h
	early.entries = h.entries[:70]
	for _, removable := range []bool{true, false} {
		disk := newDisk(1)
		m := open(t, disk)
		must(t, early.applyAll(m, 20))
		_, err := m.Checkpoint()
		must(t, err)
		s, err := m.Stage()
		must(t, err)
		for _, frame := range framesFor(t, h.m, m.Ends()) {
			must(t, s.Put(frame))
		}
		renamed := false
		disk.Fail(func(op crashfs.Op, name string) error {
			renamed = renamed || op == crashfs.OpRename
			if renamed && (op == crashfs.OpSyncDir || op == crashfs.OpRemove && !removable) {
				renamed = op == crashfs.OpRemove
				return errFailing
			}
			return nil
		})
		if err := s.Install(); !errors.Is(err, errFailing) {
			t.Fatal(err)
		}
		renamed = !removable
		s.Close()
		disk.Fail(nil)
		_, err = m.Apply(71, 1, h.entries[70])
		if removable {
			must(t, err)
		} else if !errors.Is(err, errUnsure) || !(Raft{m}).Fatal(err) {
			t.Fatal(err)
		}
		disk.Kill()
		m = open(t, disk)
		if index, _ := m.Applied(); index != 70 && removable || index != 120 && !removable {
			t.Errorf("opened at %d, the checkpoint can be removed: %v", index, removable)
		}
		must(t, h.applyAll(m, 1000))
		same(t, m, h.m)
	}
}

func TestFrozenStateStaysAsItIs(t *testing.T) {
	bytesOf := func(f *frozen) (b []byte) {
		for payload := range f.frames(3) {
			b = appendFrame(b, 0, payload)
		}
		return b
	}
	for seed := range uint64(60) {
		h := newHistory(t, seed, 20)
		var states []*frozen
		var want [][]byte
		for range 10 {
			f := h.m.s.freeze()
			states, want = append(states, f), append(want, bytesOf(f))
			for range 20 {
				h.add(t)
			}
		}
		for i, f := range states {
			if !bytes.Equal(bytesOf(f), want[i]) {
				t.Fatalf("seed %d: what was frozen after %d entries has changed", seed, 20+20*i)
			}
		}
	}
}
