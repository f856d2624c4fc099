package broker

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// removeAll removes the files below dataPath whose names have a part in them.
func removeAll(t *testing.T, disk *crashfs.FS, part string) {
	t.Helper()
	n := 0
	for _, f := range disk.Files() {
		if strings.Contains(f.Name, part) {
			must(t, disk.Remove(f.Name))
			n++
		}
	}
	if n == 0 {
		t.Fatalf("no file has %q in its name", part)
	}
}

// What is OK'd into a file that somebody removes is told of with the next sync, is
// delivered, and later messages are stored in another file.
func TestRemovedSegmentIsNoticedWithTheNextSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, sameBoot)
		tp := getTopic(t, b, "t")
		c := getChannel(t, b, "t", "c")
		must(t, publish(tp, "1"))
		removeAll(t, disk, ".seg")
		must(t, publish(tp, "2"))
		<-time.After(2200 * time.Millisecond)
		if err := b.Health(); !errors.Is(err, vfs.ErrRemoved) {
			t.Errorf("health: %v", err)
		}
		if err := publish(tp, "refused"); !errors.Is(err, vfs.ErrRemoved) {
			t.Errorf("publish: %v", err)
		}
		if d := b.Damage(); len(d.Findings) != 1 || d.Findings[0].Kind != MissingRecords || d.Messages != 0 {
			t.Errorf("damage: %+v", d)
		}
		<-time.After(time.Second)
		must(t, b.Health())
		must(t, publish(tp, "3"))
		wantDrained(t, c, "1", "2", "3")
		kill(disk, b)
		b = open(t, disk, sameBoot)
		if d := b.Damage(); d.Messages != 2 {
			t.Errorf("after the kill: %+v", d)
		}
		wantDrained(t, getChannel(t, b, "t", "c"), "3")
		must(t, b.Close())
	})
}

func TestSyncedPublishIsRefusedWhoseSegmentWasRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, strict)
		tp := getTopic(t, b, "t")
		getChannel(t, b, "t", "c")
		must(t, publish(tp, "1"))
		removeAll(t, disk, ".seg")
		if err := publish(tp, "refused"); !errors.Is(err, vfs.ErrRemoved) {
			t.Errorf("publish: %v", err)
		}
		<-time.After(time.Second)
		must(t, publish(tp, "2"))
		kill(disk, b)
		b = open(t, disk, strict)
		wantDrained(t, getChannel(t, b, "t", "c"), "2")
		must(t, b.Close())
	})
}

// A directory that was removed is not made again under a running node: what was in it
// beside the log is gone too.
func TestRemovedDirectoryRefusesUntilTheNextStart(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			disk := newDisk(t, 1)
			b := open(t, disk, sameBoot)
			tp := getTopic(t, b, "t")
			getChannel(t, b, "t", "c")
			must(t, publish(tp, "1"))
			gone := filepath.Join(b.topicsDir(), topicDirs(t, disk)[0])
			if whole {
				gone = dataPath
			}
			must(t, disk.RemoveAll(gone))
			must(t, publish(tp, "2"))
			<-time.After(10 * time.Second)
			if err := publish(tp, "refused"); !errors.Is(err, vfs.ErrRemoved) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("publish: %v", err)
			}
			if err := b.Health(); !errors.Is(err, vfs.ErrRemoved) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("health: %v", err)
			}
			if _, err := disk.ReadDir(gone); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there again: %v", gone, err)
			}
			kill(disk, b)
			if whole {
				return
			}
			b = open(t, disk, sameBoot)
			if d := b.Damage(); d.Messages != 2 || d.Findings[0].Kind != DamageKind(diskqueue.Missing) {
				t.Errorf("damage: %+v", d)
			}
			must(t, publish(getTopic(t, b, "t"), "3"))
			wantDrained(t, getChannel(t, b, "t", "c"), "3")
			must(t, b.Close())
		})
	}
}

// What the journal says is said again in another file when somebody removes the one
// that it is written to.
func TestRemovedJournalIsWrittenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		getChannel(t, b, "t", "c")
		must(t, publish(getTopic(t, b, "t"), "1"))
		<-time.After(5 * time.Second)
		removeAll(t, disk, filepath.Join(dataPath, "journal"))
		getChannel(t, b, "t", "d")
		must(t, publish(getTopic(t, b, "t"), "2"))
		<-time.After(5 * time.Second)
		must(t, b.Health())
		kill(disk, b)
		b = open(t, disk)
		if d := b.Damage(); !d.None() {
			t.Errorf("damage: %+v", d)
		}
		wantDrained(t, getChannel(t, b, "t", "c"), "1", "2")
		wantDrained(t, getChannel(t, b, "t", "d"), "2")
		must(t, b.Close())
	})
}
