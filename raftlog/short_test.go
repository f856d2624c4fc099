package raftlog

import (
	"errors"
	"testing"
)

// tornDisk has a log whose last update went bad.
func tornDisk(t *testing.T) (o Options) {
	t.Helper()
	disk := newDisk(t, 1)
	o = options(disk.Mount())
	l, r := mustOpen(t, o)
	if r.Short {
		t.Error("a new log is short")
	}
	mustSave(t, l, &Update{Shard: 1, HardState: hard(1, 2, 0), Entries: entries(1, 1, 2, 10)})
	mustSave(t, l, &Update{Shard: 1, Entries: entries(3, 1, 1, 10)})
	last := l.segments[len(l.segments)-1]
	must(t, disk.FlipBit(last.path, last.end-9))
	disk.Kill()
	o.FS = disk.Mount()
	return o
}

func TestCutLogIsShortAtEveryStartUntilItIsWhole(t *testing.T) {
	o := tornDisk(t)
	l, r := mustOpen(t, o)
	if r.Torn == nil || !r.Short || r.Forgetful() {
		t.Fatalf("found %+v", r)
	}
	mustSave(t, l, &Update{Shard: 1, Entries: entries(3, 2, 8, 1000)})
	l, r = mustOpen(t, o)
	if r.Torn != nil || !r.Short {
		t.Errorf("the next start found %+v", r)
	}
	must(t, l.Close())
	if l, r = mustOpen(t, o); !r.Clean || !r.Short {
		t.Errorf("after a clean end: %+v", r)
	}
	l.Whole()
	l.Flush()
	for range 2 { // the second one goes by what the first one noted
		if _, r = mustOpen(t, o); r.Short || r.Forgetful() {
			t.Errorf("whole, and then %+v", r)
		}
	}
}

func TestCheckTellsThatALogIsShort(t *testing.T) {
	o := tornDisk(t)
	mustOpen(t, o)
	rep, err := Check(o.FS, o.Dir)
	if must(t, err); !rep.Short || rep.Torn != nil {
		t.Errorf("found %+v", rep.Recovered)
	}
}

func TestWholeTakesNoDoubtBack(t *testing.T) {
	o := tornDisk(t)
	l, _ := mustOpen(t, o)
	l.inDoubt(l.segments[0], errors.New("a sync failed"))
	l.Whole()
	l.Flush()
	if _, r := mustOpen(t, o); r.Short || r.Doubt == "" {
		t.Errorf("found %+v", r)
	}
}
