package replica

import (
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// faults is what is wrong now. What a member's disk loses is never lost on more
// than a minority at once: damaged says of which slots.
type faults struct {
	damaged map[int]bool
	rotten  map[int]uint64 // slot: it is well again when it has applied so far
}

// afterFault plans the next one.
func (w *world) afterFault() {
	w.after(w.between(50*time.Millisecond, 1200*time.Millisecond), func() {
		if w.ending {
			return
		}
		w.repaired()
		w.fault(w.nodes[w.rng.IntN(w.slots)])
		w.afterFault()
	})
}

func (w *world) fault(n *simNode) {
	long := w.between(10*time.Millisecond, 2*time.Second)
	switch w.rng.IntN(16) {
	case 0, 1:
		w.kill(n, long)
	case 2, 3:
		w.power(n, long)
	case 4:
		w.everywhere(long)
	case 5, 6:
		w.log("disk of %d hangs for %v", n.id, long)
		n.hung = max(n.hung, w.now+long)
	case 7:
		w.fill(n, long)
	case 8, 9:
		w.isolate(n, long, w.rng.IntN(3))
	case 10:
		w.log("%d is paused for %v", n.id, long)
		n.pause(long)
	case 11, 12:
		w.rot(n, long)
	case 13:
		w.failDisk(n, long)
	case 14:
		for _, l := range w.nodes {
			if l.leads() {
				to := w.nodes[w.rng.IntN(w.slots)].id
				w.log("%d gives leadership to %d", l.id, to)
				l.do(func() { l.core.giveTo(to) })
			}
		}
	case 15:
		if w.mayDamage(n) {
			w.log("%d is wiped", n.id)
			w.damage(n)
			w.replace(n.slot)
		}
	}
}

// kill ends the process and starts it again.
func (w *world) kill(n *simNode, d time.Duration) {
	if n.core == nil {
		return
	}
	n.end()
	torn := n.log.kill() && w.chance(0.1)
	w.log("%d is killed, torn %v", n.id, torn)
	w.restart(n, d, torn)
}

// power takes a machine's power away. Where acknowledgements come before the
// sync that is damage: the member must not go on.
func (w *world) power(n *simNode, d time.Duration) {
	if n.core == nil || w.kernel && !w.mayDamage(n) {
		return
	}
	n.end()
	torn := n.log.power(w.rng) && w.chance(0.3)
	w.log("%d loses power, torn %v", n.id, torn)
	if !w.kernel {
		w.restart(n, d, torn)
		return
	}
	w.damage(n)
	if w.bugs.guardOff {
		w.restart(n, d, torn)
		return
	}
	w.replace(n.slot)
}

// everywhere ends all processes at once, or where that loses nothing all power.
func (w *world) everywhere(d time.Duration) {
	for _, n := range w.nodes {
		if w.kernel {
			w.kill(n, d)
		} else if len(w.faults.damaged) == 0 {
			w.power(n, d)
		}
	}
}

func (w *world) restart(n *simNode, d time.Duration, torn bool) {
	life := n.life
	w.after(d, func() {
		if n.life == life {
			n.start(nil, torn)
		}
	})
}

// fill has the disk take nothing for a while; the log is preallocated.
func (w *world) fill(n *simNode, d time.Duration) {
	if n.machine.isFull() {
		return
	}
	w.log("disk of %d is full for %v", n.id, d)
	n.machine.fill(true)
	n.fullSince = w.now
	w.after(d, func() { n.machine.fill(false) })
}

// isolate cuts the slot off: what it sends, what is sent to it, or both.
func (w *world) isolate(n *simNode, d time.Duration, way int) {
	w.log("%d is cut off for %v, way %d", n.id, d, way)
	var cuts [][2]int
	for other := range w.slots {
		if other == n.slot || w.chance(0.3) {
			continue
		}
		if way != 1 {
			cuts = append(cuts, [2]int{n.slot, other})
		}
		if way != 0 {
			cuts = append(cuts, [2]int{other, n.slot})
		}
	}
	for _, c := range cuts {
		w.net.cut[c] = true
	}
	w.after(d, func() {
		for _, c := range cuts {
			delete(w.net.cut, c)
		}
	})
}

// rot loses the last group of a log, though it was synced and acknowledged. It
// looks as a torn tail does.
func (w *world) rot(n *simNode, d time.Duration) {
	if n.core == nil || !w.mayDamage(n) || len(w.faults.rotten) > 0 {
		return
	}
	n.end()
	n.log.rot(w.rng)
	w.log("the tail of %d rots", n.id)
	w.damage(n)
	w.faults.rotten[n.slot] = uint64(len(w.truth.history)) + firstEntry - 1
	w.restart(n, min(d, 500*time.Millisecond), false)
}

// repaired looks which rotten logs are whole again.
func (w *world) repaired() {
	for slot := range w.slots {
		n := w.nodes[slot]
		if upto, rotten := w.faults.rotten[slot]; rotten && n.up() && n.machine.now().index >= upto && !n.core.hold.on {
			w.well(slot)
		}
	}
}

// failDisk has the syncs fail, and starts the process again later. Where
// acknowledgements come before the sync that is damage.
func (w *world) failDisk(n *simNode, d time.Duration) {
	if n.core == nil || n.failing || w.kernel && !w.mayDamage(n) {
		return
	}
	if w.kernel {
		w.damage(n)
	}
	w.log("syncs of %d fail", n.id)
	n.failing = true
	life := n.life
	w.after(d+time.Second, func() {
		switch {
		case n.life != life:
		case w.kernel:
			w.replace(n.slot)
		default:
			n.end()
			n.log.lostWrites()
			n.start(nil, false)
		}
	})
}

func (w *world) mayDamage(n *simNode) bool {
	return !w.faults.damaged[n.slot] && len(w.faults.damaged) < (w.slots-1)/2
}

func (w *world) damage(n *simNode) { w.faults.damaged[n.slot] = true }

func (w *world) well(slot int) {
	w.log("slot %d is well", slot)
	delete(w.faults.damaged, slot)
	delete(w.faults.rotten, slot)
}

// plan brings a new member in for one that must not come back, which counts as
// damaged until a majority has saved that it is none any more.
type plan struct {
	slot     int
	old, new uint64
	made     leadership // by whom
	upto     uint64     // when that has applied so far, a majority knows
}

// replace ends a slot's member and starts an empty one under a new id.
func (w *world) replace(slot int) {
	n := w.nodes[slot]
	n.end()
	delete(w.faults.rotten, slot)
	w.plans = slices.DeleteFunc(w.plans, func(p *plan) bool { return p.slot == slot })
	delete(w.ids, n.id)
	w.lastID++
	fresh := w.newNode(slot, w.lastID)
	w.plans = append(w.plans, &plan{slot: slot, old: n.id, new: fresh.id})
	w.log("%d comes for %d", fresh.id, n.id)
	w.after(w.between(10*time.Millisecond, 500*time.Millisecond), func() {
		if w.nodes[slot] == fresh {
			fresh.start(nil, false)
		}
	})
}

// operate drives the plans on, as the leader of group 0 does.
func (w *world) operate() {
	w.after(100*time.Millisecond, w.operate)
	for _, l := range w.nodes {
		if !l.leads() || l.paused > w.now {
			continue
		}
		for _, p := range slices.Clone(w.plans) {
			if cc := w.nextStep(l, p); cc != nil {
				l.do(func() { l.core.propose(&proposal{change: cc, done: func(any, error) {}}) })
				break
			}
		}
	}
}

// nextStep is what a plan needs next: add the new member as a learner; when it
// has caught up, promote it and remove the old one, at once.
func (w *world) nextStep(l *simNode, p *plan) *pb.ConfChangeV2 {
	st := l.core.status()
	m := st.Members
	if len(m.VotersOutgoing) > 0 {
		return nil
	}
	if slices.Contains(m.Voters, p.new) && !slices.Contains(m.Voters, p.old) {
		if by := (leadership{l.id, st.Term}); p.made != by {
			p.made, p.upto = by, st.Last
		}
		if st.Applied < p.upto || !st.Serving {
			return nil
		}
		w.plans = slices.DeleteFunc(w.plans, func(other *plan) bool { return other == p })
		w.well(p.slot)
		return nil
	}
	add := func(t pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
		return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(id)}
	}
	if w.bugs.removeFirst && slices.Contains(m.Voters, p.old) {
		return &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{add(pb.ConfChangeRemoveNode, p.old)}}
	}
	if !slices.Contains(m.Learners, p.new) {
		return &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{add(pb.ConfChangeAddLearnerNode, p.new)}}
	}
	for _, f := range st.Followers {
		if f.Member == p.new && f.Active && f.Match+5 >= st.Commit {
			return &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{
				add(pb.ConfChangeAddNode, p.new), add(pb.ConfChangeRemoveNode, p.old),
			}}
		}
	}
	return nil
}
