package cluster

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"qmq/replica"
)

// A leader that does not hear a member which another one hears had better not lead: what
// is published through that member, and its consumers, would wait for as long as the two
// are cut off from one another. So members tell which others they hear, and leadership
// goes to who hears more. While all hear the same, as when one of them is gone for all,
// nobody moves anything.

const (
	// heardWithin is how lately something has come of a member that one hears. Members
	// say something every tellDisk at least.
	heardWithin = 2 * tellDisk
	// lostAfter is how long nothing has come of a member that one no longer hears: more
	// than others may still tell that they hear one that has gone.
	lostAfter = time.Second
	// toldWithin is how old what a member told of whom it hears may be.
	toldWithin = lostAfter - heardWithin
)

// reach is which members hear one another. It has no lock and no clock.
type reach struct {
	heard map[uint64]time.Duration // when each member was heard here last
	// by member, whom it hears
	hears map[uint64]hearing
}

// hearing is whom a member hears.
type hearing struct {
	at    time.Duration            // when it told
	since map[uint64]time.Duration // by member, since when it has told so each time
}

func newReach() reach {
	return reach{heard: make(map[uint64]time.Duration), hears: make(map[uint64]hearing)}
}

// told takes what a member tells of whom it hears.
func (r *reach) told(now time.Duration, from uint64, hears []uint64) {
	before := r.hears[from]
	h := hearing{now, make(map[uint64]time.Duration, len(hears))}
	for _, member := range hears {
		since, again := before.since[member]
		if !again || now-before.at > toldWithin {
			since = now
		}
		h.since[member] = since
	}
	r.hears[from] = h
}

// here is how many members one hears who is among them.
func (r *reach) here(now time.Duration, own uint64, members []uint64) (n int) {
	for _, member := range members {
		if at, known := r.heard[member]; member == own || known && now-at < lostAfter {
			n++
		}
	}
	return n
}

// of is how many members another one hears, itself included, and has heard for as long
// as it takes to miss them here.
func (r *reach) of(now time.Duration, member, own uint64, members []uint64) (n int) {
	h := r.hears[member]
	if now-h.at > toldWithin || !slices.Contains(members, member) {
		return 0
	}
	for _, m := range members {
		since, heard := h.since[m]
		if at, known := r.heard[m]; m == member || heard && (now-since >= lostAfter || m == own || known && now-at < lostAfter) {
			n++
		}
	}
	return n
}

// isHeard tells whether a member is heard, here or, as they tell, by others.
func (r *reach) isHeard(now time.Duration, member uint64) bool {
	if at, known := r.heard[member]; known && now-at < lostAfter {
		return true
	}
	for from, h := range r.hears {
		if _, heard := h.since[member]; heard && from != member && now-h.at <= toldWithin {
			return true
		}
	}
	return false
}

func (w *watch) isHeard(now time.Duration, member uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reach.isHeard(now, member)
}

// listen notes who is heard.
func (w *watch) listen(now time.Duration) {
	silence := w.r.s.links.Silence()
	w.mu.Lock()
	defer w.mu.Unlock()
	for member, silent := range silence {
		w.reach.heard[member] = now - silent
	}
}

// hears are the members that are heard here.
func (w *watch) hears(now time.Duration) (list []uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for member, at := range w.reach.heard {
		if now-at <= heardWithin {
			list = append(list, member)
		}
	}
	slices.Sort(list)
	return list
}

// members are those of the set.
func (g *registry) members() (list []uint64) {
	for _, m := range g.Members {
		list = append(list, uint64(m.ID))
	}
	return list
}

// compareReach is how many members are heard here, and how many another one hears.
func (w *watch) compareReach(now time.Duration, other uint64) (here, there int) {
	members := w.r.s.registry.Load().members()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reach.here(now, w.r.member, members), w.reach.of(now, other, w.r.member, members)
}

// hearsLess tells whether another member hears fewer than this one.
func (w *watch) hearsLess(other uint64) bool {
	here, there := w.compareReach(w.r.now(), other)
	return there < here
}

// giveToWhoHearsMore gives what this member leads to one that hears more of the others,
// if there is one.
func (w *watch) giveToWhoHearsMore(now time.Duration) {
	var to uint64
	most := 0
	for _, other := range w.r.s.registry.Load().members() {
		if here, there := w.compareReach(now, other); other != w.r.member && there > max(here, most) {
			to, most = other, there
		}
	}
	if to == 0 || !w.r.balancing.CompareAndSwap(false, true) {
		return
	}
	begun := w.r.work(func() {
		defer w.r.balancing.Store(false)
		w.giveAll(to)
	})
	if !begun {
		w.r.balancing.Store(false)
	}
}

// giveAll gives all leaderships of this node to a member, as far as it can take them.
func (w *watch) giveAll(to uint64) {
	r := w.r
	r.moving.Lock()
	defer r.moving.Unlock()
	var giving sync.WaitGroup
	for n, s := range r.opened() {
		st := s.Status()
		if st.Role != replica.Leader {
			continue
		}
		giving.Go(func() {
			err := r.fit(&st, to)
			if err == nil {
				err = r.giveAway(r.ctx, n, s, id(to))
			}
			attributes := []any{slog.Uint64("shard", uint64(n)), slog.String("to", r.s.addressOf(to))}
			if err != nil {
				r.s.o.Logger.Debug("a leadership was not given to who is connected to more members", append(attributes, slog.Any("error", err))...)
				return
			}
			r.s.o.Logger.Warn("leadership is given to a member that is connected to one that this one is not", attributes...)
		})
	}
	giving.Wait()
}
