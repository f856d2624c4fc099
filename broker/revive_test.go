package broker

import (
	"path/filepath"
	"strings"
	"testing"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// bringToDisk syncs the segments of a topic, and their names, but not the journal.
func bringToDisk(t *testing.T, disk *crashfs.FS, dir string) {
	t.Helper()
	var fs vfs.FS = disk
	for _, file := range disk.Files() {
		if !strings.HasPrefix(file.Name, dir+"/") {
			continue
		}
		f, err := fs.Open(file.Name)
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
	}
	for d := dir; d != "/"; d = filepath.Dir(d) {
		must(t, fs.SyncDir(d))
	}
}

func TestTopicComesBackWhoseCreationWasLostWithThePower(t *testing.T) {
	disk := newDisk(t, 1)
	boot := "monday"
	adjust := func(o *Options) { o.BootID = boot }
	b := open(t, disk, adjust)
	must(t, publish(getTopic(t, b, "older"), "x"))
	must(t, b.Close())
	b = open(t, disk, adjust)
	tp := getTopic(t, b, "Orders")
	must(t, publish(tp, "1", "2"))
	bringToDisk(t, disk, b.logDir("Orders", tp.Incarnation()))
	disk.Crash(crashfs.DropAll)
	_ = b.Close() // its file system is gone
	boot = "tuesday"
	for range 2 {
		b = open(t, disk, adjust)
		wantKinds(t, b)
		again, ok := b.Existing("Orders")
		if !ok || again.Incarnation() != tp.Incarnation() {
			t.Fatal("the topic is not there")
		}
		wantDepth(t, again, 2)
		kill(disk, b)
	}
	b = open(t, disk, adjust)
	wantDrained(t, getChannel(t, b, "Orders", "c"), "1", "2")
	must(t, publish(getTopic(t, b, "Orders"), "3"))
	must(t, b.Close())
}

// Who put a directory there did not do so by losing power: what was found
// unknown stays so, whatever the machine does.
func TestUnknownDirectoryStaysUnknownWhenTheMachineEnds(t *testing.T) {
	disk := newDisk(t, 1)
	boot := "monday"
	adjust := func(o *Options) { o.BootID = boot }
	must(t, open(t, disk, adjust).Close())
	strange(t, disk, "orders", "1")
	for _, acknowledge := range []bool{false, true} {
		b := open(t, disk, adjust)
		wantKinds(t, b, UnknownDirectory)
		if acknowledge {
			_, err := b.AcknowledgeDamage(b.Damage().Last)
			must(t, err)
		}
		must(t, b.Close())
		boot += ", and another"
	}
	b := open(t, disk, adjust)
	if _, ok := b.Existing("orders"); ok {
		t.Error("it is served")
	}
	must(t, b.Close())
}
