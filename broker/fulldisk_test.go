package broker

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
)

func reserved(o *Options) { o.JournalReserve = 64 << 10 }

// fill takes all room from the disk: for bytes, files and directories.
func fill(disk *crashfs.FS) {
	disk.Limit(disk.Used())
	disk.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpCreate || op == crashfs.OpMkdir {
			return syscall.ENOSPC
		}
		return nil
	})
}

func empty(disk *crashfs.FS) {
	disk.Limit(-1)
	disk.Fail(nil)
}

func TestNodeOnAFullDiskStartsAndCanBeDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, reserved)
		for _, name := range []string{"work", "junk", "waste"} {
			getChannel(t, b, name, "c")
			getChannel(t, b, name, "d")
			must(t, publish(getTopic(t, b, name), numbered(name, 10)...))
		}
		synctest.Wait() // until the reserve is there
		fill(disk)
		kill(disk, b)

		b = open(t, disk, reserved)
		if err := publish(getTopic(t, b, "work"), "refused"); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("publish: %v", err)
		}
		if err := b.Health(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("health: %v", err)
		}
		c := getChannel(t, b, "work", "c")
		k := subscribe(t, c, 100)
		ds := k.takeAll()
		k.answer(channel.Finish, 0, ds[:6]...)
		k.answer(channel.Requeue, 10*time.Minute, ds[6:]...)
		getChannel(t, b, "work", "new")
		must(t, getTopic(t, b, "work").DeleteChannel("d"))
		must(t, getTopic(t, b, "waste").EmptyChannel("c"))
		must(t, getTopic(t, b, "waste").Pause())
		must(t, b.DeleteTopic("junk"))
		time.Sleep(51 * time.Millisecond)
		synctest.Wait()
		kill(disk, b)

		b = open(t, disk, reserved)
		defer b.Close()
		if _, ok := b.Existing("junk"); ok {
			t.Error("the deleted topic is back")
		}
		if waste := getTopic(t, b, "waste"); !waste.Paused() {
			t.Error("the paused topic is not")
		}
		for name, want := range map[string]channel.Stats{"c": {Deferred: 4}, "new": {}} {
			c, ok := getTopic(t, b, "work").ExistingChannel(name)
			if !ok {
				t.Errorf("channel %s is gone", name)
				continue
			}
			if s := c.Stats(); s.Depth != want.Depth || s.Deferred != want.Deferred {
				t.Errorf("channel %s: depth %d, deferred %d; want %d, %d", name, s.Depth, s.Deferred, want.Depth, want.Deferred)
			}
		}
		if _, ok := getTopic(t, b, "work").ExistingChannel("d"); ok {
			t.Error("the deleted channel is back")
		}
		empty(disk)
		time.Sleep(30 * time.Second)
		must(t, b.Health())
		must(t, publish(getTopic(t, b, "work"), "taken"))
	})
}

func TestNodeOpensOnAFullDiskWithoutDirectories(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	getTopic(t, b, "t")
	must(t, b.Close())
	must(t, disk.RemoveAll(dataPath+"/recycled"))
	must(t, disk.RemoveAll(dataPath+"/topics"))
	fill(disk)
	b = open(t, disk)
	if _, err := b.Topic("u"); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dataPath) {
		t.Errorf("got %v", err)
	}
	if err := b.Health(); err == nil || !strings.Contains(err.Error(), "journal") {
		t.Errorf("health: %v", err)
	}
	empty(disk)
	must(t, b.Close())
}
