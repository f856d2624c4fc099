package broker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"qmq/internal/names"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// What deletions left may be much, and its removal slow.
func TestStartWaitsForNoRemovalOfWhatDeletionsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		must(t, publish(getTopic(t, b, "t"), "1"))
		must(t, b.Close())
		for i := range 10 {
			must(t, disk.WriteFile(fmt.Sprintf("%s/topics/.deleted-old-%016x/x.seg", dataPath, i+1), []byte("x")))
		}
		free := make(chan struct{})
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpRemove && strings.Contains(name, names.DeletedPrefix) {
				<-free
			}
			return nil
		})
		b = open(t, disk)
		wantDrained(t, getChannel(t, b, "t", "c"), "1")
		close(free)
		synctest.Wait()
		if dirs := topicDirs(t, disk); len(dirs) != 1 {
			t.Errorf("%q", dirs)
		}
		must(t, b.Close())
	})
}

// A deletion that is journalled counts whatever its directory is called.
func TestDeletionThatIsJournalledAloneIsFinished(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	must(t, publish(tp, "1"))
	must(t, b.journal.CommitDurable(state.Entry{Op: state.DeleteTopic, Topic: tp.Incarnation()}))
	kill(disk, b)
	b = open(t, disk)
	b.background.Wait()
	if dirs := topicDirs(t, disk); len(dirs) != 0 {
		t.Errorf("%q", dirs)
	}
	wantKinds(t, b)
	must(t, b.Close())
}
