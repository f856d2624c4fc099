package journal

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/crc32c"
	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// wantInLogAndCheckpoint kills the process and checks what its journal says,
// out of the log and then out of a checkpoint.
func wantInLogAndCheckpoint(t *testing.T, fsys *crashfs.FS, j *Journal, check func(from string, st *Found), adjust ...func(*Options)) {
	t.Helper()
	fsys.Kill()
	_ = j.Close() // its file system is gone
	for _, from := range []string{"log", "checkpoint"} {
		j, st := openJournal(t, fsys, adjust...)
		check(from, st)
		must(t, j.Close())
	}
}

func TestGivenUpNumbersMerge(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	must(t, j.Commit(createTopic(1, "t")))
	for _, v := range []seqset.Range{{From: 100, To: 150}, {From: 300, To: 400}, {From: 150, To: 200}} {
		must(t, j.CommitDurable(state.Entry{Op: state.GiveUp, Topic: 1, Void: v}, state.Entry{Op: state.GiveUp, Topic: 9, Void: v}))
	}
	must(t, j.Commit(state.Entry{Op: state.GiveUp, Topic: 1, Void: seqset.Range{To: 250}}))
	wantInLogAndCheckpoint(t, fsys, j, func(from string, st *Found) {
		want := []seqset.Range{{From: 0, To: 250}, {From: 300, To: 400}}
		if got := st.State.Topics[1]; !slices.Equal(got.GivenUp, want) || got.Start != 100 || got.FanOut != 100 {
			t.Errorf("%s: %+v, want given up %v from 100 on", from, got, want)
		}
	})
}

func TestUnlearntTopicIsRemembered(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	must(t, j.Commit(
		state.Entry{Op: state.CreateTopic, Topic: 1, Name: "a", FanOut: 1, Unlearnt: true},
		state.Entry{Op: state.CreateTopic, Topic: 2, Name: "b", FanOut: 1, Unlearnt: true},
		createTopic(3, "c")))
	must(t, j.Commit(state.Entry{Op: state.LearnTopic, Topic: 2}))
	wantInLogAndCheckpoint(t, fsys, j, func(from string, st *Found) {
		for id, want := range map[uint64]bool{1: true, 2: false, 3: false} {
			if got := st.State.Topics[id].Unlearnt; got != want {
				t.Errorf("%s: topic %d unlearnt: %v, want %v", from, id, got, want)
			}
		}
	})
}

func TestAcknowledgementsOfDamageAreRemembered(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	for _, name := range []string{"a", "b", "ü"} {
		must(t, j.Commit(state.Entry{Op: state.AckDamage, Name: name}))
	}
	must(t, j.Commit(state.Entry{Op: state.ForgetDamage, Name: "b"}))
	wantInLogAndCheckpoint(t, fsys, j, func(from string, st *Found) {
		if len(st.State.Acknowledged) != 2 || !st.State.Acknowledged["a"] || !st.State.Acknowledged["ü"] {
			t.Errorf("%s: %v", from, st.State.Acknowledged)
		}
	})
}

func TestDeletionsAreTold(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	must(t, j.Commit(createTopic(1, "t"), createChannel(1, 2, "c")))
	must(t, j.Commit(state.Entry{Op: state.DeleteChannel, Topic: 1, Channel: 2}, state.Entry{Op: state.DeleteTopic, Topic: 1}))
	must(t, j.Commit(state.Entry{Op: state.DeleteTopic, Topic: 7})) // whose creation was lost
	fsys.Kill()
	_ = j.Close()
	j, st := openJournal(t, fsys)
	defer j.Close()
	if !maps.Equal(st.State.Deleted, map[uint64]bool{1: true, 7: true}) || !maps.Equal(st.State.DeletedChannels, map[uint64]bool{2: true}) {
		t.Errorf("topics %v, channels %v", st.State.Deleted, st.State.DeletedChannels)
	}
}

func booted(id string) func(*Options) { return func(o *Options) { o.BootID = id } }

func TestNotedEndsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), booted("monday"))
		must(t, j.Commit(createTopic(1, "t")))
		j.NoteEnd(1, 120, 150)
		j.NoteEnd(1, 110, 170) // out of order
		j.NoteEnd(9, 1, 1)     // a topic that is gone
		elapse(51 * time.Millisecond)
		wantInLogAndCheckpoint(t, fsys, j, func(from string, st *Found) {
			if got := st.State.Topics[1]; !st.SameBoot || got.SyncedEnd != 120 || got.WrittenEnd != 170 {
				t.Errorf("%s: same boot %v, %+v", from, st.SameBoot, got)
			}
		}, booted("monday"))
	})
}

func TestWhatWasOnlyWrittenIsForgottenWithTheBootOfTheMachine(t *testing.T) {
	fsys := crashfs.New(1)
	note := func(boot string, synced, written uint64) {
		j, _ := openJournal(t, fsys.Mount(), booted(boot))
		j.NoteEnd(1, synced, written)
		must(t, j.Flush())
		fsys.Kill()
		_ = j.Close()
	}
	want := func(boot string, same bool, synced, written uint64) {
		t.Helper()
		j, st := openJournal(t, fsys.Mount(), booted(boot))
		if got := st.State.Topics[1]; st.SameBoot != same || got.SyncedEnd != synced || got.WrittenEnd != written {
			t.Errorf("boot %q: same %v, synced %d, written %d; want %v, %d, %d",
				boot, st.SameBoot, got.SyncedEnd, got.WrittenEnd, same, synced, written)
		}
		fsys.Kill()
		_ = j.Close()
	}
	j, _ := openJournal(t, fsys.Mount(), booted("monday"))
	must(t, j.Commit(createTopic(1, "t")))
	must(t, j.Close())
	note("monday", 120, 150)
	want("monday", true, 120, 150)
	want("tuesday", false, 120, 120)
	want("tuesday", true, 120, 120) // what monday's logs say of it is still read
	note("tuesday", 0, 140)
	want("tuesday", true, 120, 140)
	want("", false, 120, 120)
	want("", false, 120, 120) // nobody knows
}

// writtenByVersion1 turns a file into one that version 1 would have written.
func writtenByVersion1(t *testing.T, fsys *crashfs.FS, name string) {
	t.Helper()
	b, err := fsys.ReadFile(name)
	must(t, err)
	salt, _, err := parseHeader(b)
	must(t, err)
	old := slices.Clone(b[:headerSize])
	binary.LittleEndian.PutUint32(old[8:], 1)
	binary.LittleEndian.PutUint32(old[16:], crc32c.Sum(old[:16]))
	scan(b, salt, func(off int, payload []byte) {
		if state.KindOf(payload) != kindFirst {
			old = appendFrame(old, salt, payload)
		}
	})
	must(t, fsys.WriteFile(name, old))
}

func TestJournalOfVersion1IsRead(t *testing.T) {
	fsys, s := writtenLog(t)
	writtenByVersion1(t, fsys, logName(1))
	for range 2 {
		j, st := openJournal(t, fsys.Mount(), booted("monday"))
		wantChannel(t, st, s)
		if st.Incomplete || st.LostBytes != 0 || st.SameBoot && st.State.Topics[1].SyncedEnd != 0 {
			t.Errorf("got %+v", st)
		}
		if start := st.State.Topics[1].Start; start != 0 {
			t.Errorf("start %d: what was given up since then was not journalled", start)
		}
		fsys.Kill()
		_ = j.Close()
	}
}
