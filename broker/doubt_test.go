package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// ended is a disk whose broker was killed long after it had paused a topic and a
// channel, unpaused others, and deleted two topics and a channel; the log of its
// last life says nothing else. It returns how much of that log is covered by
// metadata.json.
func ended(t *testing.T, checkpointed bool) (disk *crashfs.FS, covered int) {
	t.Helper()
	disk = newDisk(t, 1)
	b := open(t, disk, sameBoot, smallReserve)
	for _, name := range []string{"a", "awake", "gone"} {
		getChannel(t, b, name, "c")
		getChannel(t, b, name, "quiet")
		must(t, publish(getTopic(t, b, name), "1", "2"))
	}
	getChannel(t, b, "bare", "c")
	getChannel(t, b, "a", "gone")
	must(t, existing(b, "awake").Pause())
	if checkpointed {
		must(t, b.Close())
		b = open(t, disk, sameBoot, smallReserve)
	}
	<-time.After(5 * time.Second)
	must(t, existing(b, "a").Pause())
	must(t, existing(b, "a").PauseChannel("quiet"))
	must(t, existing(b, "awake").Unpause())
	must(t, existing(b, "a").DeleteChannel("gone"))
	must(t, b.DeleteTopic("gone"))
	must(t, b.DeleteTopic("bare"))
	<-time.After(5 * time.Second)
	synctest.Wait()
	kill(disk, b)
	m, err := dataDir{disk.Mount(), dataPath}.readMetadata()
	must(t, err)
	if !m.Synced || m.JournalEnd == 0 {
		t.Fatalf("metadata.json: %+v", m)
	}
	return disk, int(m.JournalEnd)
}

// smallReserve has each start write a file of a few kilobytes and not of many.
func smallReserve(o *Options) { o.SegmentBytes = 16 << 10 }

// copyOf is another disk with the files of one.
func copyOf(t *testing.T, disk *crashfs.FS) *crashfs.FS {
	t.Helper()
	c := newDisk(t, 1)
	for _, f := range disk.Files() {
		content, err := disk.ReadFile(f.Name)
		must(t, err)
		must(t, c.WriteFile(f.Name, content))
	}
	return c
}

// TestEveryCutOfTheJournalsEndIsNoticed cuts the newest log at each length that
// metadata.json knows to be too short.
func TestEveryCutOfTheJournalsEndIsNoticed(t *testing.T) {
	for _, checkpointed := range []bool{false, true} {
		for _, boot := range []string{"monday", "tuesday"} {
			t.Run(fmt.Sprintf("checkpointed %v, %s", checkpointed, boot), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					uncut, covered := ended(t, checkpointed)
					step := 1
					if testing.Short() || raced { // one cut takes the way of the next through the code
						step = 17
					}
					for keep := covered - 1; keep >= 0; keep -= step {
						disk := copyOf(t, uncut)
						cutNewestLog(t, disk, keep)
						wantCutNoticed(t, disk, boot)
						if t.Failed() {
							t.Fatalf("%d of %d bytes are kept", keep, covered)
						}
					}
				})
			})
		}
	}
}

func wantCutNoticed(t *testing.T, disk *crashfs.FS, boot string) {
	t.Helper()
	checked := check(t, disk, boot)
	if !slices.ContainsFunc(checked.Findings, func(f CheckedFinding) bool { return f.Kind == DamagedJournal }) {
		t.Errorf("the check finds %+v", checked.Findings)
	}
	for range 2 {
		b := open(t, disk, smallReserve, func(o *Options) { o.BootID = boot })
		if !slices.ContainsFunc(b.Damage().Findings, func(f Finding) bool { return f.Kind == DamagedJournal }) {
			t.Errorf("the start finds %+v", b.Damage())
		}
		for _, name := range []string{"gone", "bare"} {
			if _, ok := b.Existing(name); ok {
				t.Errorf("deleted topic %s is back", name)
			}
		}
		a, awake := existing(b, "a"), existing(b, "awake")
		if !a.Paused() || !existingChannel(b, "a", "quiet").Paused() || awake.Paused() {
			t.Errorf("paused: %v, %v, %v", a.Paused(), existingChannel(b, "a", "quiet").Paused(), awake.Paused())
		}
		if _, back := a.ExistingChannel("gone"); back && !slices.ContainsFunc(b.Damage().Findings, func(f Finding) bool { return f.Channel == "gone" }) {
			t.Errorf("a deleted channel is back, and nobody is told: %+v", b.Damage())
		}
		wantDrained(t, existingChannel(b, "awake", "c"), "1", "2")
		must(t, existing(b, "a").Unpause())
		wantDrained(t, existingChannel(b, "a", "c"), "1", "2")
		must(t, existing(b, "a").Pause())
		kill(disk, b)
	}
}

// A topic that has files is served although metadata.json does not name it:
// unknown is never deleted.
func TestTopicWhoseDeletionTheJournalLostIsServedAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, sameBoot)
		getChannel(t, b, "t", "c")
		must(t, publish(getTopic(t, b, "t"), "1"))
		<-time.After(5 * time.Second)
		dir := b.logDir("t", existing(b, "t").Incarnation())
		files := make(map[string][]byte)
		for _, f := range disk.Files() {
			if strings.HasPrefix(f.Name, dir+"/") {
				text, err := disk.ReadFile(f.Name)
				must(t, err)
				files[f.Name] = text
			}
		}
		must(t, b.DeleteTopic("t"))
		<-time.After(5 * time.Second)
		synctest.Wait()
		kill(disk, b)
		m, err := dataDir{disk.Mount(), dataPath}.readMetadata()
		must(t, err)
		must(t, disk.Mount().MkdirAll(dir))
		for name, text := range files { // as if the directory had kept its name
			must(t, disk.WriteFile(name, text))
		}
		cutNewestLog(t, disk, int(m.JournalEnd)-1)
		doubted := func(f Finding) bool { return f.Kind == DamagedJournal && f.Topic == "t" }
		if c := check(t, disk, "monday"); !slices.ContainsFunc(c.Findings, func(f CheckedFinding) bool { return doubted(Finding{Kind: f.Kind, Topic: f.Topic}) }) {
			t.Errorf("the check finds %+v", c.Findings)
		}
		b = open(t, disk, sameBoot)
		wantDrained(t, existingChannel(b, "t", "c"), "1")
		if !slices.ContainsFunc(b.Damage().Findings, doubted) {
			t.Errorf("the start finds %+v", b.Damage())
		}
		must(t, b.Close())
		b = open(t, disk, sameBoot)
		if _, ok := b.Existing("t"); !ok || !slices.ContainsFunc(b.Damage().Findings, doubted) {
			t.Errorf("there %v, damage %+v", ok, b.Damage())
		}
		must(t, b.Close())
	})
}
