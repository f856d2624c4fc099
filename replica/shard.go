package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Options are what a shard needs. Log, Machine, Send, Events, Now and Logger
// must be there.
type Options struct {
	Member uint64   // this member's id, never used before by anybody else
	Voters []uint64 // the first members of a new set; empty for one who joins

	Log       Log
	Machine   Machine
	Send      func([]*pb.Message) // must not wait; may lose them
	Snapshots Snapshots           // nil: who is behind the log stays behind
	Events    Events
	Alarm     func(error) // the shard takes no part any more, or its machine waits; may be nil

	ElectionTicks  int // without a leader, until one is elected (up to twice that); 0: 10
	HeartbeatTicks int // between a leader's signs of life; 0: 2
	// HoldTicks is 0, or when a torn tail was cut from the member's log for how
	// long it waits for a voter that does not say how far its log is, about
	// 10 s. The member takes no part until each has said so or was waited for.
	HoldTicks int
	// Forgetful says that the log may lack what this member acknowledged. It is
	// refused: such a member comes back under another id.
	Forgetful bool

	Now    func() time.Duration // a steady clock
	Logger *slog.Logger
}

// Shard is one member's share in one shard. All methods may be called
// concurrently.
type Shard struct {
	o      Options
	core   *core // of the loop's goroutine alone
	events queue[func(*core)]
	work   queue[*work]
	times  saveTimes

	later     *time.Timer // tells what the core has postponed
	postponed bool        // it is running; of the loop's goroutine alone

	telling sync.Mutex    // guards status, for moments
	status  Status        // as of the last event
	commit  atomic.Uint64 // as Status has it, before anybody is told of it

	stalled     atomic.Pointer[stall]
	checkpoints sync.Mutex // one checkpoint at a time; held across the machine's
	stopping    context.Context
	stop        context.CancelFunc
	running     sync.WaitGroup
}

// stall is why the machine cannot apply, and since when.
type stall struct {
	err   error
	since time.Duration
}

// Open makes the log and the machine agree, which may wait for the log, and
// takes part from then on. An error that wraps ErrForgetful says that the member
// must not: it has to join again under another id.
func Open(o Options) (*Shard, error) {
	if o.Forgetful {
		return nil, ErrForgetful
	}
	if o.ElectionTicks == 0 {
		o.ElectionTicks = 10
	}
	if o.HeartbeatTicks == 0 {
		o.HeartbeatTicks = 2
	}
	s := &Shard{o: o}
	s.stopping, s.stop = context.WithCancel(context.Background())
	store, update, err := begin(o.Log, o.Machine, o.Voters)
	if err != nil {
		return nil, err
	}
	if update != nil {
		if err := saveNow(o.Log, *update); err != nil {
			return nil, err
		}
	}
	s.core, err = newCore(coreOptions{
		member: o.Member, electionTicks: o.ElectionTicks, heartbeatTicks: o.HeartbeatTicks, holdTicks: o.HoldTicks,
		events: o.Events, alarm: s.alarm, logger: o.Logger,
	}, store)
	if err != nil {
		return nil, err
	}
	s.events.init(maxQueuedBytes)
	s.work.init(0)
	s.later = time.AfterFunc(time.Hour, func() { s.post(0, s.tellNow) })
	s.later.Stop()
	s.tell()
	s.running.Go(s.loop)
	s.running.Go(s.applyLoop)
	return s, nil
}

// saveNow saves and waits.
func saveNow(log Log, u Update) error {
	done := make(chan error, 1)
	u.Done = func(err error) { done <- err }
	log.Save(u)
	return <-done
}

// Tick tells that a tick has passed; all shards of a node tick together.
func (s *Shard) Tick() { s.post(0, (*core).tick) }

// Step takes a message of a peer, which must not be changed any more. It does
// not wait: where too much is queued the message is lost, as it might have been
// on the way.
func (s *Shard) Step(m *pb.Message) {
	size := 0
	for _, e := range m.GetEntries() {
		size += len(e.GetData())
	}
	s.events.put(func(c *core) { c.step(m) }, size+messageBytes)
}

// Propose wants an entry applied. done is called once, on the shard's goroutine:
// with the machine's outcome when it is applied on this member, or with an error
// that says what became of it. Proposals come into the log in the order of the
// calls. It does not wait. data must not be changed before done is called, and is
// not used any more from then on.
func (s *Shard) Propose(data []byte, done func(outcome any, err error)) {
	s.proposal(&proposal{data: data, done: done})
}

// ProposeOwn is Propose for an entry that nobody waits for but who proposes it, and behind
// which others are likely: that it is agreed on the followers hear of with the next one, or
// a few milliseconds later.
func (s *Shard) ProposeOwn(data []byte, done func(outcome any, err error)) {
	s.proposal(&proposal{data: data, own: true, done: done})
}

// ProposeMembers wants a change of the members applied, as Propose does. One
// that raft cannot make, or not while another is under way, fails with
// ErrRefused.
func (s *Shard) ProposeMembers(change *pb.ConfChangeV2, done func(err error)) {
	s.proposal(&proposal{change: change, done: func(_ any, err error) { done(err) }})
}

func (s *Shard) proposal(p *proposal) {
	if !s.post(0, func(c *core) { c.propose(p) }) {
		p.done(nil, ErrStopped)
	}
}

// TransferLeadership gives leadership to a member, or to the best follower if
// that is 0. It does nothing where this member does not lead or there is none.
func (s *Shard) TransferLeadership(to uint64) { s.post(0, func(c *core) { c.giveTo(to) }) }

// Unreachable tells that a message to the member was lost for sure.
func (s *Shard) Unreachable(member uint64) { s.post(0, func(c *core) { c.unreachable(member) }) }

// LogFailed tells that nothing can be saved any more: the member gives leadership up,
// and takes no part from then on.
func (s *Shard) LogFailed(err error) {
	s.post(0, func(c *core) { c.guard(func() { c.logFailed(err) }) })
}

// Receive takes a snapshot that the leader offers, unless the member takes one
// already.
func (s *Shard) Receive(o Offer) {
	if !s.post(0, func(c *core) { c.receive(o) }) {
		o.Decline()
	}
}

// SnapshotSent tells that the member has taken the snapshot that was offered, or
// will not.
func (s *Shard) SnapshotSent(member uint64, ok bool) {
	s.post(0, func(c *core) { c.snapshotSent(member, ok) })
}

// Checkpoint makes the machine's state durable and lets the log go up to there.
// It waits for the disk.
func (s *Shard) Checkpoint() error {
	s.checkpoints.Lock()
	defer s.checkpoints.Unlock()
	index, err := s.o.Machine.Checkpoint()
	if err != nil {
		return err
	}
	s.post(0, func(c *core) { c.checkpointed(index) })
	return nil
}

// Stop ends the member's part and waits for the shard's goroutines. Proposals
// that wait fail with ErrStopped. The log and the machine are the owner's. It is
// called once, and not by a callback.
func (s *Shard) Stop() {
	s.post(0, func(c *core) { c.stop(nil) })
	s.stop()
	s.events.close()
	s.work.close()
	s.running.Wait()
	s.later.Stop()
}

// post queues an event that must not be lost; false after Stop.
func (s *Shard) post(size int, event func(*core)) bool { return s.events.put(event, size) }

// alarm tells the owner and the log.
func (s *Shard) alarm(err error) {
	s.o.Logger.Error("a replica takes no part any more", "member", s.o.Member, "forgetful", errors.Is(err, ErrForgetful), "error", err)
	if s.o.Alarm != nil {
		s.o.Alarm(err)
	}
}
