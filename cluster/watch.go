package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/cluster/link"
	"qmq/replica"
)

const (
	watchEvery = 50 * time.Millisecond
	// tellDisk is how often the others are told how this node's disk is doing, and how
	// often members are seen to.
	tellDisk = 200 * time.Millisecond
	// spreadEvery is how often it is looked whether leaders are where they should be.
	spreadEvery = time.Second
	// missedAfter is how long a member that has started knows no leader until it says for
	// whom it waits.
	missedAfter = time.Second
	// cutOffAfter is how long a node knows no leader until it sends its clients away.
	cutOffAfter = 5 * time.Second
)

// watch looks after what no single shard can see: whether this node's disk hangs while
// others' do not, whether leaders are spread, whether the members are who they should
// be, and whether this node is cut off.
type watch struct {
	r    *run
	dogs [Shards + 1]replica.Watchdog // the goroutine's
	// pulse is the goroutine's, too, and so is met: a leader was known since the start, or it
	// was said for whom this member waits.
	pulse pulse
	met   bool
	// soon has leaders spread at its next look.
	soon atomic.Bool
	// caughtUp says that this member has applied what was committed when it came.
	caughtUp atomic.Bool

	mu       sync.Mutex // guards what follows
	leaders  [Shards + 1]uint64
	changed  chan struct{} // closed when one of leaders changes
	calmFrom time.Duration // when a leader changed last
	// waits is until when each shard waits, as it could not be moved.
	waits    [Shards + 1]time.Duration
	lostAt   time.Duration // since when group 0 has no leader that is known
	disks    map[uint64]replica.Disk
	hiding   map[uint64]uint64 // by member, a bit for each shard of which it hides topics
	reach    reach
	failures [Shards + 1]error
	cutOff   bool
	parted   bool // this node is no member any more, and has sent its clients away

	removed atomic.Bool // this node is no member any more
}

func newWatch(r *run) *watch {
	return &watch{r: r, changed: make(chan struct{}), disks: make(map[uint64]replica.Disk), hiding: make(map[uint64]uint64), reach: newReach()}
}

// leader is told who leads a shard.
func (w *watch) leader(n uint32, member uint64) {
	now := w.r.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n == 0 && member == 0 && w.leaders[0] != 0 {
		w.lostAt = now
	}
	if w.leaders[n] != member {
		w.leaders[n], w.calmFrom = member, now
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// leaderOf is who leads a shard, as far as this node knows; 0: nobody.
func (w *watch) leaderOf(n uint32) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaders[n]
}

// awaitOther waits until another member than not leads a shard.
func (w *watch) awaitOther(ctx context.Context, n uint32, not uint64) error {
	for {
		w.mu.Lock()
		leader, changed := w.leaders[n], w.changed
		w.mu.Unlock()
		if leader != not && leader != 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// failed is told of a shard that takes no part any more.
func (w *watch) failed(n uint32, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures[n] = err
	w.healthChanged()
}

// healthChanged tells the node that health may say something else.
func (w *watch) healthChanged() {
	if f := w.r.s.h.HealthChanged; f != nil {
		f()
	}
}

// run is the watch's goroutine.
func (w *watch) run() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var told, spread time.Duration
	low, draining, hiding := false, false, uint64(0)
	for {
		select {
		case <-w.r.ctx.Done():
			return
		case <-ticker.C:
		}
		now := w.r.now()
		w.pulse.look(now)
		own := w.disk(now, &w.pulse)
		w.listen(now)
		w.guard(now, own)
		hides := w.r.names.hiding.Load()
		if now-told >= tellDisk || own.Low != low || own.Draining != draining || hides != hiding {
			told, low, draining, hiding = now, own.Low, own.Draining, hides
			w.tell(own, hides)
			w.r.reconcile()
			w.tellMissing(now)
			w.judgeCut(now)
			w.giveToWhoHearsMore(now)
		}
		if now-spread >= spreadEvery {
			spread = now
			w.r.introduce()
			w.r.moveAdopted()
			w.place(now)
		} else if w.soon.Swap(false) {
			w.place(now)
		}
	}
}

// place has leaders where they should be.
func (w *watch) place(now time.Duration) {
	w.giveHidden(now)
	w.spread(now)
}

// disk is how this node's disk is doing, as far as the process had the CPU to notice, as a
// pulse knows.
func (w *watch) disk(now time.Duration, p *pulse) (d replica.Disk) {
	d.Told, d.Low, d.Draining = now, w.r.room.low.Load(), w.r.s.draining.Load()
	d.Scarce = w.r.room.scarce()
	var newest time.Duration
	for _, s := range w.r.opened() {
		d.Oldest = max(d.Oldest, p.had(w.ageAt(now, s), now))
		if took, at := s.LastSave(); at >= newest {
			d.Save, newest = p.had(took, at), at
		}
		if waiting, err := s.Stalled(); err != nil {
			d.Waiting = max(d.Waiting, waiting)
		}
	}
	return d
}

// ageAt is how long the oldest save of a shard that is not done had taken at that time: the
// caller may have waited for the CPU since.
func (w *watch) ageAt(now time.Duration, s *replica.Shard) time.Duration {
	age := s.OldestSave()
	return max(0, age-(w.r.now()-now))
}

// guard moves leadership away while this node's disk hangs.
func (w *watch) guard(now time.Duration, own replica.Disk) {
	for n, s := range w.r.opened() {
		to, move := w.dogs[n].Decide(now, own, s.Status(), w.diskOf)
		if !move {
			continue
		}
		w.r.s.o.Logger.Warn("the disk is slow or full: leadership is given away", slog.Uint64("shard", uint64(n)), slog.String("to", w.r.s.addressOf(to)),
			slog.Duration("sync", own.Oldest), slog.Duration("apply", own.Waiting))
		s.TransferLeadership(to)
	}
}

func (w *watch) diskOf(member uint64) (d replica.Disk, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok = w.disks[member]
	return d, ok
}

// A frame of kindDisk is three times in nanoseconds, u64: how long the last save took,
// for how long the oldest one that is not done has been under way, and for how long
// nothing could be applied; a byte with the bits that follow; with diskHides a bit for each
// shard of which the sender hides topics, u64; and the members that it hears, u64 each. A
// member that does not know of diskHides takes those bits for one more of these, whom it does
// not know either.
const diskBytes = 3*8 + 1

const (
	diskLow      = 1 << iota // there is little room
	diskDraining             // the node is about to leave
	diskScarce               // what is only retained has to give way
	diskHides                // topics are hidden
)

// tell tells the others how this node's disk is doing, and of which shards it hides topics.
func (w *watch) tell(d replica.Disk, hiding uint64) {
	frame := diskFrame(d, hiding, w.hears(d.Told))
	for _, member := range w.r.s.connected() {
		w.r.s.links.Send(member, link.Control, kindDisk, frame)
	}
}

func diskFrame(d replica.Disk, hiding uint64, hears []uint64) []byte {
	frame := make([]byte, 0, diskBytes)
	for _, span := range []time.Duration{d.Save, d.Oldest, d.Waiting} {
		frame = binary.LittleEndian.AppendUint64(frame, uint64(span))
	}
	bits := byte(0)
	if d.Low {
		bits |= diskLow
	}
	if d.Draining {
		bits |= diskDraining
	}
	if d.Scarce {
		bits |= diskScarce
	}
	if hiding != 0 {
		bits |= diskHides
	}
	frame = append(frame, bits)
	if hiding != 0 {
		frame = binary.LittleEndian.AppendUint64(frame, hiding)
	}
	for _, member := range hears {
		frame = binary.LittleEndian.AppendUint64(frame, member)
	}
	return frame
}

var errDiskFrame = errors.New("a notice about a disk has another length")

// told takes what another member tells.
func (w *watch) told(from uint64, frame []byte) error {
	if len(frame) < diskBytes || (len(frame)-diskBytes)%8 != 0 {
		return errDiskFrame
	}
	rest, hiding := frame[diskBytes:], uint64(0)
	if frame[24]&diskHides != 0 {
		if len(rest) == 0 {
			return errDiskFrame
		}
		hiding, rest = binary.LittleEndian.Uint64(rest), rest[8:]
	}
	span := func(at int) time.Duration { return time.Duration(binary.LittleEndian.Uint64(frame[at:])) }
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.r.now()
	w.disks[from] = replica.Disk{Told: now, Save: span(0), Oldest: span(8), Waiting: span(16),
		Low: frame[24]&diskLow != 0, Draining: frame[24]&diskDraining != 0, Scarce: frame[24]&diskScarce != 0}
	w.hiding[from] = hiding
	var hears []uint64
	for ; len(rest) > 0; rest = rest[8:] {
		hears = append(hears, binary.LittleEndian.Uint64(rest))
	}
	w.reach.told(now, from, hears)
	return nil
}

// tellMissing says once after the start for whom this member waits, if more than half of the set
// is not there.
func (w *watch) tellMissing(now time.Duration) {
	if w.met = w.met || w.leaderOf(0) != 0; w.met || now < missedAfter {
		return
	}
	g, own := w.r.s.registry.Load(), id(w.r.member)
	if g.member(own) == nil {
		return // it has just joined, and knows nobody
	}
	if list := missing(w.r.s.memberStatus(own, g)); list != "" {
		w.met = true
		w.r.s.o.Logger.Info("waiting for a majority of the set", slog.String("for", list))
	}
}

// missing are the members with a vote that are not connected, if too few are, and why they are
// not.
func missing(members []MemberStatus) string {
	var gone []seen
	voters := 0
	for _, m := range members {
		if m.Joining {
			continue
		}
		voters++
		if !m.Connected {
			gone = append(gone, seen{address: m.Address, failure: m.Failure})
		}
	}
	if 2*len(gone) < voters {
		return ""
	}
	return waitFor(gone)
}

// judgeCut sends clients away from a node that is cut off or no member any more, and lets
// them come else.
func (w *watch) judgeCut(now time.Duration) {
	own := w.r.s.registry.Load().member(id(w.r.member))
	if w.isOut(own) {
		w.wasRemoved()
	}
	w.mu.Lock()
	known := w.leaders[0] != 0
	removed := w.removed.Load()
	parts := removed && !w.parted
	cut := !removed && !known && now-w.lostAt >= cutOffAfter
	changed := cut != w.cutOff
	w.cutOff = cut
	w.parted = removed
	w.mu.Unlock()
	if changed {
		w.healthChanged()
	}
	// Clients that are sent away ask the directories at once.
	w.r.names.list(!cut && !removed && (known || w.r.names.isListed()) && own != nil && !own.Joining && w.caughtUp.Load())
	if changed && cut {
		w.r.s.o.Logger.Error("this node is cut off from its set: it sends the clients of replicated topics away", slog.Duration("for", cutOffAfter))
	} else if changed && !removed {
		w.r.s.o.Logger.Info("this node is not cut off from its set any more")
	}
	if changed && cut || parts {
		w.r.relay.SendAway()
	}
}

// isOut tells whether this node was a member with a vote and has heard that it is in no shard
// any more. One that leaves need not have heard it of all: nobody waits for it. One that another
// takes the place of is needed in each shard until that one has caught up there.
func (w *watch) isOut(own *member) bool {
	if own == nil || own.Joining {
		return false
	}
	for n := range uint32(len(w.r.shards)) {
		s := w.r.shard(n)
		if s == nil {
			if n == 0 {
				return false
			}
			continue
		}
		there := everybody(s.Status().Members)
		if len(there) == 0 || slices.Contains(there, w.r.member) {
			return false
		}
		if own.Leaving {
			return true // of group 0 it is enough
		}
	}
	return true
}

// wasRemoved notes that this node is no member any more.
func (w *watch) wasRemoved() {
	if !w.removed.Swap(true) {
		w.healthChanged()
		w.r.s.o.Logger.Error(errRemoved.Error())
	}
}

var errRemoved = errors.New("this node is no member of its set any more: stop it; should it be one again, add its address and start it without the directories raft and replicated")

// health is why this node does not serve replicated topics; nil: it does.
func (w *watch) health() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, err := range w.failures {
		if err != nil {
			return fmt.Errorf("shard %d takes no part: %w", n, err)
		}
	}
	if w.removed.Load() {
		return errRemoved
	}
	if w.cutOff {
		return errors.New("cut off from the other members of the set")
	}
	return nil
}

func (w *watch) isCutOff() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cutOff
}

func (w *watch) failureOf(n uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures[n]
}
