package topic

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
)

// rewinds is a story with rewinds in it, up to where its process ends.
type rewinds struct {
	sent, emptied int // how many were OK'd: of the publishes, and of the emptyings
	rewound       int // how often
	done          int // finished since the last rewind, and told
}

// tell runs the story: m0 to m5 are finished, all of e0 to e2 is emptied; then it is rewound
// to the first, m0 to m2 are finished, and it is rewound again.
func (r *rewinds) tell(b *bench) error {
	c, err := b.Channel("c")
	if err != nil {
		return err
	}
	for _, body := range []string{"m0", "m1", "m2", "m3", "m4", "m5"} {
		if err := b.send(body); err != nil {
			return err
		}
		r.sent++
	}
	k := subscribe(b.t, c)
	finishAll(k, 100)
	if err := b.send("e0", "e1", "e2"); err != nil {
		return err
	}
	if err := b.EmptyChannel("c"); err != nil {
		return err
	}
	r.emptied++
	for range 2 {
		if _, err := b.Rewind("c", Whole); err != nil {
			return err
		}
		r.rewound++
		r.done = 0
		finishAll(k, 3)
		if err := b.journal.Flush(); err != nil {
			return err
		}
		r.done = 3
	}
	return nil
}

// finishAll finishes what there is, at most so much.
func finishAll(k *consumer, most int) {
	var ds deliveries
	k.Take(&ds, most)
	for _, d := range ds {
		k.Answer([]channel.Answer{{Op: channel.Finish, ID: d.id}})
	}
}

// TestRewindIsWholeOrNotAtAll wherever the process or the machine ends.
func TestRewindIsWholeOrNotAtAll(t *testing.T) {
	all := 0
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "data")
		must(t, b.Configure([]byte(`{"retention_time": "100h"}`)))
		disk.Fail(func(crashfs.Op, string) error { all++; return nil })
		must(t, new(rewinds).tell(b))
		disk.Fail(nil)
		b.close(t)
	})
	if all < 15 {
		t.Fatalf("%d operations", all)
	}
	for name, end := range map[string]func(*crashfs.FS){
		"killed": (*crashfs.FS).Kill, "power, nothing kept": func(c *crashfs.FS) { c.Crash(crashfs.DropAll) }, "power, some kept": func(c *crashfs.FS) { c.Crash(crashfs.Random) },
	} {
		for at := range all {
			synctest.Test(t, func(t *testing.T) { endAt(t, at, name, end) })
		}
	}
}

// endAt ends the process at an operation on files, and looks at what the next one has.
func endAt(t *testing.T, at int, name string, end func(*crashfs.FS)) {
	disk := crashfs.New(uint64(at))
	b := newBench(t, disk.Mount(), "data")
	if err := b.Configure([]byte(`{"retention_time": "100h"}`)); err != nil {
		t.Fatal(err)
	}
	n := at
	disk.Fail(func(crashfs.Op, string) error {
		if n--; n == -1 {
			end(disk)
		}
		return nil
	})
	var story rewinds
	err := story.tell(b)
	disk.Fail(nil)
	if err == nil {
		end(disk)
	}
	b.abandon()
	again := newBench(t, disk, "data")
	defer again.close(t)
	c, ok := again.ExistingChannel("c")
	if !ok {
		if story.sent > 0 && name == "killed" {
			t.Errorf("%s at %d: the channel is gone", name, at)
		}
		return
	}
	got := drain(t, c)
	if story.emptied > 0 && name == "killed" && slices.ContainsFunc(got, func(body string) bool { return body[0] == 'e' }) {
		t.Errorf("%s at %d: what was emptied is back: %q", name, at, got)
	}
	if story.rewound == 0 || name != "killed" {
		return
	}
	for i := story.done; i < story.sent; i++ {
		if !slices.Contains(got, fmt.Sprint("m", i)) {
			t.Errorf("%s at %d, after %d rewinds: %q lacks m%d", name, at, story.rewound, got, i)
		}
	}
}
