package machine

import (
	"strings"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/replica/entry"
	"qmq/state"
)

// recycling has files of segments that were given up written over by the next ones.
func recycling(o *Options) {
	o.Shared = diskqueue.NewShared(diskqueue.SharedOptions{FS: o.Shared.FS(), Logger: o.Logger, RecycleDir: dataDir + "/recycled", RecycleFiles: 4})
}

// keepingUp are entries of a topic whose consumers have finished all but the last few
// messages, but for one that stays, and of which something is retained at the end.
func keepingUp() (entries []*entry.Entry) {
	entries = append(entries, topology(createTopic("t")), topology(createChannel(1, "c")))
	const lag, messages = 4, 70
	for n := uint64(1); n <= messages; n++ {
		entries = append(entries, publish(1, 7, n, string(append(make([]byte, 690), byte(n)))))
		if n <= lag {
			continue
		}
		floor := n - lag
		ch := state.ChannelChanges{Topic: 1, Channel: 2, Version: floor, Floor: floor, Cursor: floor + 2}
		ch.Open = []state.OpenMessage{{Seq: floor + 1, Attempts: 2, Due: int64(n % 2 * 1000)}} // in flight, or deferred
		entries = append(entries, changes(ch))
		if n == messages-10 {
			entries = append(entries, topology(state.Entry{Op: state.RetainFrom, Topic: 1, Start: floor}))
		}
	}
	return entries
}

// Segments that are given up before a checkpoint are never synced, and their files written
// over: whenever power is lost, what is owed or retained is there once all is applied again,
// and nothing that is found counts as damage.
func TestPowerIsLostWhereSpentSegmentsWereNeverSynced(t *testing.T) {
	entries := keepingUp()
	run := func(m *Machine) error {
		index, _ := m.Applied()
		for i := int(index); i < len(entries); i++ {
			if _, err := m.Apply(uint64(i+1), 1, entries[i].AppendTo(nil)); err != nil {
				return err
			}
			if (i+1)%23 == 0 {
				if _, err := m.Checkpoint(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	disk := newDisk(1)
	all, reused := 0, 0
	disk.Fail(func(op crashfs.Op, path string) error {
		if all++; op == crashfs.OpOpen && strings.HasPrefix(path, dataDir+"/recycled") {
			reused++
		}
		return nil
	})
	want := open(t, disk, recycling)
	must(t, run(want))
	if reused < 5 {
		t.Fatalf("%d files were written over", reused)
	}
	for name, crash := range crashes {
		for at := range all {
			disk := newDisk(uint64(at))
			stopAt(disk, at, crash)
			if m, err := tryOpen(disk, recycling); err == nil {
				_ = run(m) // until it is stopped
			}
			disk.Fail(nil)
			disk.Kill()
			m := open(t, disk, recycling, func(o *Options) {
				o.Found = func(f Finding) { t.Errorf("%s at operation %d: %v", name, at, f) }
			})
			must(t, run(m))
			same(t, m, want)
			if missing := m.Missing(); len(missing) > 0 {
				t.Fatalf("%s at operation %d: %+v are missing", name, at, missing)
			}
			crashedAgain(t, disk, m, want)
		}
	}
}

// crashedAgain wants that power takes nothing of what a checkpoint has.
func crashedAgain(t *testing.T, disk *crashfs.FS, m, want *Machine) {
	t.Helper()
	_, err := m.Checkpoint()
	must(t, err)
	disk.Crash(crashfs.Random)
	m = open(t, disk, recycling, func(o *Options) {
		o.Found = func(f Finding) { t.Errorf("behind a checkpoint: %v", f) }
	})
	same(t, m, want)
	must(t, m.Close())
}
