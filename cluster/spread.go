package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"qmq/replica"
)

const (
	// calm is how long no leader must have changed until leaders are spread again, and how
	// long a shard waits that could not be moved.
	calm = 5 * time.Second
	// moveTime is how long a move of a leadership may take.
	moveTime = 2 * time.Second
	// near is how many entries a member may be behind that is to lead.
	near = 1024
)

// turn is the member whose turn it is to lead a shard: members take turns, in the
// order of their ids, unless somebody is preferred.
func (g *registry) turn(shard uint32) id {
	var voters []id
	for _, m := range g.Members {
		if !m.Joining && !m.Leaving {
			voters = append(voters, m.ID)
		}
	}
	if p := g.Preferred[shard]; slices.Contains(voters, p) {
		return p
	}
	if len(voters) == 0 {
		return 0
	}
	return voters[int(shard)%len(voters)]
}

// spread moves one leadership, where this node leads group 0, to the member whose turn it
// is.
func (w *watch) spread(now time.Duration) {
	if w.leaderOf(0) != w.r.member || !w.isCalm(now) {
		return
	}
	if n, from, to := w.astray(now); to != 0 {
		w.balance(n, func() error { return w.moveTo(n, from, id(to)) })
	}
}

// isCalm tells whether no leader has changed for a while.
func (w *watch) isCalm(now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return now-w.calmFrom >= calm
}

// mayTry tells whether a shard may be moved, for which it was not refused lately.
func (w *watch) mayTry(now time.Duration, n uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return now >= w.waits[n]
}

// astray is a shard that from leads, and to should: of those for which it was refused last the
// one that has waited longest, and group 0 last. to is 0 where there is none.
func (w *watch) astray(now time.Duration) (shard uint32, from, to uint64) {
	w.mu.Lock()
	leaders, waits := w.leaders, w.waits
	w.mu.Unlock()
	g := w.r.s.registry.Load()
	for n := uint32(Shards); n <= Shards; n-- { // down to 0
		if now < waits[n] || to != 0 && waits[n] >= waits[shard] {
			continue
		}
		if turn := w.turn(g, n, leaders[n]); leaders[n] != 0 && turn != leaders[n] && w.isThere(turn) {
			shard, from, to = n, leaders[n], turn
		}
	}
	return shard, from, to
}

// turn is the member that should lead a shard that a member leads now, 0 for nobody: whose turn
// it is. Where that one hides topics of the shard, it is as well where it is.
func (w *watch) turn(g *registry, n uint32, leader uint64) uint64 {
	if to := uint64(g.turn(n)); leader == 0 || !w.hides(to, n) {
		return to
	}
	return leader
}

// isThere tells whether a member is connected, or this one, and not about to leave.
func (w *watch) isThere(member uint64) bool {
	if member == w.r.member {
		return !w.r.s.draining.Load()
	}
	d, _ := w.diskOf(member)
	return !d.Draining && w.r.s.links.Connected(member)
}

// balance moves the leadership of a shard, unless another one is being moved.
func (w *watch) balance(n uint32, move func() error) {
	if !w.r.balancing.CompareAndSwap(false, true) {
		return
	}
	w.r.work(func() {
		err := move()
		w.r.balancing.Store(false)
		if err != nil && w.r.ctx.Err() == nil {
			w.r.s.o.Logger.Debug("a leadership was not moved", slog.Uint64("shard", uint64(n)), slog.Any("error", err))
		}
		w.moved(n, err == nil)
	})
}

// moveTo moves a leadership, and waits until this node has heard of it too: the change
// that it made itself is none after which it has to wait until all is calm.
func (w *watch) moveTo(shard uint32, from uint64, to id) error {
	ctx, cancel := context.WithTimeout(w.r.ctx, moveTime)
	defer cancel()
	err := insist(ctx, func(ctx context.Context) error { return w.r.s.move(ctx, shard, to) })
	if err != nil {
		return err
	}
	return w.awaitOther(ctx, shard, from)
}

// moved has the next move follow soon. A shard that could not be moved waits, and keeps no
// other one waiting.
func (w *watch) moved(n uint32, well bool) {
	if well {
		w.spreadSoon()
		return
	}
	now := w.r.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits[n] = now + calm
	w.soon.Store(true)
}

// spreadSoon has leaders spread without waiting until all is calm: a move went well.
func (w *watch) spreadSoon() {
	now := w.r.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calmFrom = now - calm
	w.soon.Store(true)
}

// spreadNow is spreadSoon for who asks for it: what was refused does not wait either.
func (w *watch) spreadNow() {
	w.mu.Lock()
	w.waits = [Shards + 1]time.Duration{}
	w.mu.Unlock()
	w.spreadSoon()
}

// moving asks for a leadership to be moved.
type moving struct {
	Shard uint32 `json:"shard"`
	To    id     `json:"to"`
}

var (
	errNoShardLeader = errors.New("has no leader: more than half of the set is not there, or an election is under way")
	errNotFit        = errors.New("it cannot lead just now")
)

// move has whoever leads a shard give leadership to a member.
func (s *Set) move(ctx context.Context, shard uint32, to id) error {
	r := s.run.Load()
	if r == nil {
		return errNoSet
	}
	if shard > Shards {
		return fmt.Errorf("there is no shard %d", shard)
	}
	switch leader := r.watch.leaderOf(shard); leader {
	case 0:
		return noLeader(shard)
	case uint64(to):
		return nil
	case r.member:
		return r.moveHere(ctx, moving{shard, to})
	default:
		return s.ask(leader, callMove, moving{shard, to}, nil)
	}
}

// moveFor moves a leadership for another member.
func (s *Set) moveFor(ctx context.Context, _ uint64, body []byte) (any, error) {
	var m moving
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	r := s.run.Load()
	if r == nil || m.Shard > Shards {
		return nil, errNoSet
	}
	return nil, r.moveHere(ctx, m)
}

// moveHere gives a leadership that this node has to a member, and waits until that has
// it. What channels have told is applied before: nothing is repeated.
func (r *run) moveHere(ctx context.Context, m moving) error {
	r.moving.Lock()
	defer r.moving.Unlock()
	s := r.shard(m.Shard)
	if s == nil {
		return errNoSet
	}
	st := s.Status()
	if st.Role != replica.Leader {
		return replica.ErrNotLeader
	}
	if m.To != 0 {
		if err := r.fit(&st, uint64(m.To)); err != nil {
			return err
		}
		if r.watch.hides(uint64(m.To), m.Shard) && !r.watch.hides(r.member, m.Shard) {
			return fmt.Errorf("%s %w: %w", r.s.addressOf(uint64(m.To)), errHides, errNotFit)
		}
	}
	return r.giveAway(ctx, m.Shard, s, m.To)
}

// fit tells why a member should not lead a shard now.
func (r *run) fit(st *replica.Status, to uint64) error {
	for _, f := range st.Followers {
		if f.Member != to {
			continue
		}
		d, known := r.watch.diskOf(to)
		switch {
		case d.Draining:
			return fmt.Errorf("%s is being drained", r.s.addressOf(to))
		case f.Learner, !f.Active, f.Snapshot, f.Match+near < st.Last:
			return fmt.Errorf("%s has not caught up: %w", r.s.addressOf(to), errNotFit)
		case !known || r.now()-d.Told > time.Second || d.Oldest > watchEvery*4 || d.Waiting > 0 || d.Low:
			return fmt.Errorf("the disk of %s is slow or full: %w", r.s.addressOf(to), errNotFit)
		case r.watch.hearsLess(to):
			return fmt.Errorf("%s has no connection to a member that this one is connected to: %w", r.s.addressOf(to), errNotFit)
		}
		return nil
	}
	return fmt.Errorf("%s is no member of the shard", r.s.addressOf(to))
}

func (r *run) giveAway(ctx context.Context, n uint32, s *replica.Shard, to id) error {
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	if n > 0 && r.hasCompany(s) {
		if err := r.node.Flush(ctx, n-1); err != nil {
			return err
		}
	}
	for {
		if !r.hasCompany(s) {
			return errAlone
		}
		s.TransferLeadership(uint64(to))
		again, cancel := context.WithTimeout(ctx, r.s.o.Election)
		err := r.watch.awaitOther(again, n, r.member)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// errAlone means that there is nobody to whom a leadership could be given, as on the member of
// a set that stops last.
var errAlone = errors.New("no other member is there")

// hasCompany tells whether this node is connected to another one that has the shard.
func (r *run) hasCompany(s *replica.Shard) bool {
	st := s.Status()
	return slices.ContainsFunc(st.Followers, func(f replica.Progress) bool { return r.s.links.Connected(f.Member) })
}

// SetDraining says whether this node is about to leave, for which it is not given the
// leaderships whose turn it has.
func (s *Set) SetDraining(on bool) { s.draining.Store(on) }

// Yield gives all leaderships of this node away, as far as there is somebody to take
// them, before it stops.
func (s *Set) Yield() {
	r := s.run.Load()
	if r == nil {
		return
	}
	r.moving.Lock()
	defer r.moving.Unlock()
	var giving sync.WaitGroup
	var mu sync.Mutex // guards left and why
	var left []uint32
	var why error
	for n, shard := range r.opened() {
		if shard.Status().Role == replica.Leader {
			giving.Go(func() {
				if err := r.giveAway(r.ctx, n, shard, 0); err != nil && !errors.Is(err, errAlone) {
					mu.Lock()
					left, why = append(left, n), err
					mu.Unlock()
				}
			})
		}
	}
	giving.Wait()
	if len(left) > 0 {
		slices.Sort(left)
		s.o.Logger.Warn("leaderships were not given away before the stop", slog.Any("shards", left), slog.Any("error", why))
	}
}
