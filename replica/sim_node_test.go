package replica

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

const simTick = 30 * time.Millisecond

// simNode is a member with its disk, and what a node has beside its shard.
type simNode struct {
	w       *world
	slot    int
	id      uint64
	life    int // grows with every end
	core    *core
	log     simDisk
	machine simApplier
	shadow  logState // the log as the core knows it
	tick    time.Duration

	paused, hung time.Duration // until then
	waiting      []func()      // for the end of the pause
	flushing     bool
	failing      bool // the disk's syncs fail
	work         []*work
	step         int
	applying     bool

	producer  producer
	collector collector
	serving   *serving
	server    *simServer  // nil: topics are not served
	knows     atomic.Bool // that doubles are left out, and how parts say by what they were stamped
	watchdog  Watchdog
	times     saveTimes
	fullSince time.Duration
}

func (w *world) newNode(slot int, id uint64) *simNode {
	n := &simNode{w: w, slot: slot, id: id}
	if w.serves {
		disk := newSimWAL(w, id, func() bool { return n.failing })
		shard := newSimShard(disk)
		shard.breaks = w.breaks
		n.log, n.machine = disk, shard
	} else if w.whole {
		disk := newSimWAL(w, id, func() bool { return n.failing })
		n.log, n.machine = disk, &simTopics{fs: disk.fs, breaks: w.breaks}
	} else {
		n.log, n.machine = &simLog{bugs: w.bugs, keep: w.rng.Uint64N(20)}, newSimMachine(w.bugs)
	}
	n.tick = simTick + w.between(-simTick/20, simTick/20) // clocks differ
	w.nodes[slot], w.ids[id] = n, n
	return n
}

// start takes part, or finds out that it must not.
func (n *simNode) start(voters []uint64, torn bool) {
	w := n.w
	n.machine.restart()
	if torn {
		n.log.tear()
	}
	short, err := n.log.open()
	if err != nil {
		n.forgot(err)
		return
	}
	store, update, err := begin(n.log, checked{n}, voters)
	if err != nil {
		n.forgot(err)
		return
	}
	if update != nil {
		n.log.saved(*update)
	}
	hold := 0
	if short && !w.bugs.noHold {
		hold = int(10 * time.Second / simTick)
	}
	n.core, err = newCore(coreOptions{
		member: n.id, electionTicks: 10, heartbeatTicks: 2, holdTicks: hold,
		events: n, alarm: n.alarm, logger: quiet,
	}, store)
	if err != nil {
		w.fail("member %d cannot start: %v", n.id, err)
		return
	}
	n.shadow = n.log.state()
	w.log("member %d starts: first %d last %d applied %d term %d short %v", n.id, n.shadow.first(), n.shadow.last(), n.machine.now().index, n.core.term, short)
	n.later(w.between(0, n.tick), n.ticks)
	n.startClients()
}

// forgot is told when the member must not take part.
func (n *simNode) forgot(err error) {
	if !errors.Is(err, ErrForgetful) || !n.w.faults.damaged[n.slot] {
		n.w.fail("member %d is forgetful without a reason: %v", n.id, err)
		return
	}
	n.w.log("member %d is forgetful: %v", n.id, err)
	n.w.replace(n.slot)
}

func (n *simNode) alarm(err error) {
	n.w.log("member %d: %v", n.id, err)
	if errors.Is(err, ErrForgetful) {
		n.later(0, func() { n.forgot(err) })
	} else if !n.failing {
		n.w.fail("member %d takes no part any more: %v", n.id, err)
	}
}

// end is the end of the process; what was under way never happens.
func (n *simNode) end() {
	n.life++
	if n.server != nil {
		n.server.close()
		n.server = nil
	}
	n.core, n.serving = nil, nil
	n.work, n.step, n.applying, n.flushing, n.waiting = nil, 0, false, false, nil
	n.paused, n.failing = 0, false
	n.producer.unsure, n.collector = nil, collector{}
	n.knows.Store(n.knows.Load() && !n.forgets())
	n.times = saveTimes{}
}

// forgets says of one member that it does not keep what it heard of the set: before it hears
// again it does not know. All are never such.
func (n *simNode) forgets() bool { return n.slot == int(n.w.seed)%n.w.slots }

// hears has it know what another one does, which says so first of all.
func (n *simNode) hears(knows bool) {
	if knows {
		n.knows.Store(true)
	}
}

func (n *simNode) up() bool { return n.core != nil && !n.core.giving.stopped }

// later has something happen to the node in this life.
func (n *simNode) later(d time.Duration, f func()) {
	life := n.life
	n.w.after(d, func() {
		if n.life == life {
			n.do(f)
		}
	})
}

// do has it happen now, or when the pause is over.
func (n *simNode) do(f func()) {
	if n.paused > n.w.now {
		n.waiting = append(n.waiting, f)
		return
	}
	if n.core != nil {
		f()
		n.perform()
	}
}

// pause stops the process for a while.
func (n *simNode) pause(d time.Duration) {
	n.paused = n.w.now + d
	life := n.life
	n.w.after(d, func() {
		for n.life == life && len(n.waiting) > 0 && n.paused <= n.w.now {
			f := n.waiting[0]
			n.waiting = n.waiting[1:]
			n.do(f)
		}
	})
}

func (n *simNode) ticks() {
	n.buildIn(n.w.bugs)
	n.core.tick()
	if !n.core.hold.on || n.w.bugs.holdForgotten {
		n.log.whole()
	}
	n.watch()
	n.later(n.tick, n.ticks)
}

// buildIn has the core do what a faulty hold would.
func (n *simNode) buildIn(b bugs) {
	if b.termKept && n.core.hold.asking {
		n.core.hold.asking = false
		n.core.ask()
	}
	if b.holdTooShort && !n.core.hold.asking {
		n.core.hold.on = false
	}
}

// perform does what the core wants done.
func (n *simNode) perform() {
	for n.core != nil && n.w.err == nil {
		n.core.flush()
		out := n.core.take()
		if n.leads() {
			n.w.committed(n)
		}
		if len(out.saves)+len(out.work)+len(out.messages)+len(out.snapshots)+len(out.calls) == 0 && out.compact == 0 {
			return
		}
		for _, s := range out.saves {
			n.save(s)
		}
		for _, m := range out.messages {
			knows := n.knows.Load()
			n.w.send(n, m.GetTo(), func(to *simNode) {
				to.hears(knows)
				to.arrives(m)
			})
		}
		n.work = append(n.work, out.work...)
		n.apply()
		for _, m := range out.snapshots {
			n.offer(m)
		}
		if out.compact > 0 {
			n.log.Compact(out.compact)
		}
		for _, call := range out.calls {
			call()
		}
	}
}

func (n *simNode) arrives(m *pb.Message) {
	if err := n.core.step(m); errors.Is(err, ErrMessage) && m.GetType() != pb.MsgTimeoutNow && !errors.Is(err, ErrForgetful) {
		n.w.fail("member %d refuses an honest %v: %v", n.id, m.GetType(), err)
	}
}

func (n *simNode) save(s *save) {
	if w := n.w; w.contested && s.HardState.GetVote() != 0 && s.HardState.GetVote() != n.shadow.hard.GetVote() && w.chance(0.3) && !w.ending {
		life := n.life
		w.after(w.between(2*time.Millisecond, 10*time.Millisecond), func() {
			if n.life == life {
				w.kill(n, w.between(time.Millisecond, 10*time.Millisecond))
			}
		})
	}
	n.shadow = n.shadow.with(s.Update, bugs{})
	life := n.life
	n.times.begin(n.w.now)
	s.Done = func(err error) {
		if n.life == life {
			n.times.end(n.w.now, err)
			n.do(func() { n.core.saveDone(s, err) })
		}
	}
	n.log.Save(s.Update)
	n.log.flush(n)
}

// disk calls back when the disk has done something.
func (n *simNode) disk(f func()) {
	life := n.life
	d := n.w.between(100*time.Microsecond, 2*time.Millisecond)
	n.w.after(max(d, n.hung-n.w.now), func() {
		if n.life != life {
			return
		}
		if n.hung > n.w.now {
			n.disk(f)
			return
		}
		f()
	})
}

// apply does the work on the machine, one entry after the other.
func (n *simNode) apply() {
	if n.applying || len(n.work) == 0 {
		return
	}
	n.applying = true
	n.disk(func() {
		n.do(func() {
			n.applying = false
			w := n.work[0]
			if w.offer != nil {
				n.work = n.work[1:]
				n.core.taken(w.offer.Take(context.Background()))
				n.apply()
				return
			}
			next, applied, err := w.run(checked{n}, n.step)
			n.step = next
			if err == nil {
				n.work, n.step = n.work[1:], 0
			}
			n.core.worked(w, applied, err == nil)
			if err != nil {
				n.later(100*time.Millisecond, n.apply)
				return
			}
			n.apply()
		})
	})
}

// checked is a member's machine, looked at after each entry.
type checked struct{ n *simNode }

func (c checked) Applied() (index, term uint64) { return c.n.machine.Applied() }
func (c checked) Members() *pb.ConfState        { return c.n.machine.Members() }
func (c checked) Checkpoint() (uint64, error)   { return c.n.machine.Checkpoint() }
func (c checked) Fatal(error) bool              { return false }

func (c checked) SetMembers(index, term uint64, members *pb.ConfState) error {
	if index >= firstEntry && c.n.machine.isFull() {
		return errDiskFull
	}
	repeated := index <= c.n.machine.now().index
	err := c.n.machine.SetMembers(index, term, members)
	if index >= firstEntry && !repeated {
		c.n.w.checkApplied(c.n, nil, nil)
	}
	return err
}

func (c checked) Apply(index, term uint64, data []byte) (any, error) {
	repeated := index <= c.n.machine.now().index
	out, err := c.n.machine.Apply(index, term, data)
	if err == nil && !repeated {
		if out == nil {
			data = nil
		}
		c.n.w.checkApplied(c.n, data, out)
	}
	return out, err
}

// checkpoint makes the machine durable and lets the log go.
func (n *simNode) checkpoint() {
	index, _ := n.machine.Applied()
	if !n.w.bugs.compactTooMuch {
		var err error
		if index, err = n.machine.Checkpoint(); err != nil {
			n.w.log("member %d makes no checkpoint: %v", n.id, err)
			return
		}
	}
	if n.w.kernel {
		n.log.syncAll()
	}
	n.core.checkpointed(index)
}

// watch lets the watchdog decide, as the node's would.
func (n *simNode) watch() {
	st := n.core.status()
	to, move := n.watchdog.Decide(n.w.now, n.health(), st, func(member uint64) (Disk, bool) {
		other := n.w.ids[member]
		if other == nil || other.core == nil {
			return Disk{}, false
		}
		return other.health(), true
	})
	if move {
		n.w.log("member %d: the watchdog moves leadership to %d", n.id, to)
		n.core.giveTo(to)
	}
}

func (n *simNode) health() Disk {
	took, _ := n.times.last()
	d := Disk{Told: n.w.now, Save: took, Oldest: n.times.oldest(n.w.now)}
	if n.machine.isFull() {
		d.Waiting = n.w.now - n.fullSince
	}
	return d
}

// Leader is an event of the shard.
func (n *simNode) Leader(member, term uint64) {
	n.w.log("member %d: %d leads in term %d", n.id, member, term)
	n.producer.leader = member
	if n.server != nil {
		n.server.leader(member, term)
	}
	if member == n.id {
		n.w.checkLeader(n, term)
		if n.w.bugs.serveTooSoon {
			n.serve(term)
		}
	}
	n.sendAgain()
}

// Led is an event of the shard.
func (n *simNode) Led(term uint64) {
	if n.server != nil {
		n.server.led(term)
	} else if !n.w.bugs.serveTooSoon {
		n.serve(term)
	}
}

// Deposed is an event of the shard.
func (n *simNode) Deposed() {
	n.serving = nil
	if n.server != nil {
		n.server.deposed()
	}
}

// Applied is an event of the shard.
func (n *simNode) Applied(a Applied) {
	if n.server != nil {
		n.server.applied(a)
		return
	}
	if out, ok := a.Outcome.(simOutcome); ok {
		n.fates(decodeSimEntry([]byte(n.w.truth.history[a.Index-firstEntry].data)), out)
	}
}

// Installed is an event of the shard.
func (n *simNode) Installed(index, term uint64) {
	if n.server != nil {
		n.server.installed(index, term)
		return
	}
	n.fatesOfState()
}

func (n *simNode) leads() bool { return n.up() && n.core.role == raft.StateLeader }
