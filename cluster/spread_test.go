package cluster

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/cluster/link"
	"qmq/internal/vfs"
	"qmq/replica"
)

// watchOf is the watch of member 1 of three, with no other one connected.
func watchOf(t *testing.T) *watch {
	t.Helper()
	s := New(Options{FS: vfs.OS, Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.cancel)
	s.links = link.New(s.linkOptions())
	s.registry.Store(&registry{Members: []*member{{ID: 1}, {ID: 2}, {ID: 3}}, Preferred: make(map[uint32]id)})
	r := &run{s: s, member: 1, began: time.Now(), names: newRegistrations(nil), ctx: t.Context()}
	r.watch = newWatch(r)
	return r.watch
}

// tellHidden has a member tell that it hides topics of these shards.
func (w *watch) tellHidden(t *testing.T, member uint64, shards ...uint32) {
	t.Helper()
	var bits uint64
	for _, n := range shards {
		bits |= 1 << n
	}
	if member == w.r.member {
		w.r.names.hiding.Store(bits)
		return
	}
	if err := w.told(member, diskFrame(replica.Disk{}, bits, nil)); err != nil {
		t.Error(err)
	}
}

// A shard whose turn a member has that hides topics of it is as well where it is.
func TestWhoHidesATopicIsPassedBy(t *testing.T) {
	w := watchOf(t)
	g := w.r.s.registry.Load()
	const n = 3 // it is the turn of member 1
	for name, c := range map[string]struct {
		hide   []uint64 // members that hide a topic of it
		leader uint64
		want   uint64
	}{
		"nobody hides any":           {nil, 2, 1},
		"whose turn it is":           {[]uint64{1}, 2, 2},
		"whose turn it is, unled":    {[]uint64{1}, 0, 1},
		"whose turn it is, leading":  {[]uint64{1}, 1, 1},
		"who leads":                  {[]uint64{2}, 2, 1},
		"both":                       {[]uint64{1, 2}, 2, 2},
		"all":                        {[]uint64{1, 2, 3}, 3, 3},
		"somebody else, who follows": {[]uint64{3}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for member := uint64(1); member <= 3; member++ {
				hides := []uint32{n + 1} // another shard, which says nothing of this one
				if slices.Contains(c.hide, member) {
					hides = append(hides, n)
				}
				w.tellHidden(t, member, hides...)
			}
			if got := w.turn(g, n, c.leader); got != c.want {
				t.Errorf("it is the turn of %d", got)
			}
		})
	}
	g.Preferred[n] = 2
	w.tellHidden(t, 2, n)
	if got := w.turn(g, n, 3); got != 3 {
		t.Errorf("a member that is preferred and hides a topic is passed by for %d", got)
	}
	w.tellHidden(t, 2)
	if got := w.turn(g, n, 3); got != 2 {
		t.Errorf("a member that is preferred is passed by for %d", got)
	}
}

// What a member tells of topics that it hides is told with how its disk is doing, and keeps
// nothing of that back.
func TestWhatAMemberHidesIsTold(t *testing.T) {
	w := watchOf(t)
	d := replica.Disk{Save: 1, Oldest: 2, Waiting: 3, Scarce: true}
	for _, bits := range []uint64{1 << 1, 1<<1 | 1<<Shards, 0} {
		if err := w.told(2, diskFrame(d, bits, []uint64{1, 3})); err != nil {
			t.Fatal(err)
		}
		for n := range uint32(Shards + 1) {
			if got, want := w.hides(2, n), bits&(1<<n) != 0; got != want {
				t.Errorf("it hides topics of shard %d: %v", n, got)
			}
		}
		if got, _ := w.diskOf(2); got.Save != d.Save || got.Oldest != d.Oldest || got.Waiting != d.Waiting || !got.Scarce {
			t.Errorf("its disk: %+v", got)
		}
		if h := w.reach.hears[2].since; len(h) != 2 {
			t.Errorf("it hears %v", h)
		}
	}
	short := diskFrame(d, 1, nil)
	if err := w.told(2, short[:diskBytes]); !errors.Is(err, errDiskFrame) {
		t.Errorf("a frame that ends where shards should be: %v", err)
	}
}

// A shard that cannot be moved waits, and keeps none of the others waiting.
func TestShardThatCannotBeMovedKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOf(t)
		g := w.r.s.registry.Load()
		for n := range uint32(Shards + 1) {
			g.Preferred[n] = 1
			w.leader(n, 2)
		}
		next := func() int {
			n, from, to := w.astray(w.r.now())
			if to == 0 {
				return -1
			}
			if from != 2 || to != 1 {
				t.Errorf("shard %d goes from %d to %d", n, from, to)
			}
			return int(n)
		}
		time.Sleep(time.Minute)
		for n := Shards; n >= 0; n-- {
			if got := next(); got != n {
				t.Errorf("shard %d follows where %d should", got, n)
			}
			if n == 1 {
				w.leader(1, 1) // it went well
				w.moved(1, true)
			} else {
				time.Sleep(100 * time.Millisecond) // it takes a while
				w.moved(uint32(n), false)
			}
			if !w.soon.Swap(false) {
				t.Error("the next one has to wait")
			}
		}
		if got := next(); got != -1 {
			t.Errorf("shard %d is tried again at once", got)
		}
		time.Sleep(calm)
		for n := Shards; n >= 0; n-- {
			if n == 1 {
				continue
			}
			if got := next(); got != n {
				t.Errorf("shard %d follows where %d should, which has waited longest", got, n)
			}
			time.Sleep(time.Second) // so long that the first might be tried again before the last
			w.moved(uint32(n), false)
		}
		w.spreadNow()
		if got := next(); got != Shards || !w.isCalm(w.r.now()) || !w.soon.Load() {
			t.Errorf("who asks for leaders to be spread waits; next is %d", got)
		}
	})
}
