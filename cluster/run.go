package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/raftlog"
	"qmq/relay"
	"qmq/replica"
	shardentry "qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/replica/serve"
)

// run is a member's part in its set while it takes one: its log, its shards, and what
// is served of them.
type run struct {
	s      *Set
	member uint64
	began  time.Time // steady clock of the shards and the watch
	prefix uint16    // of the ids of messages; set by serve

	log       *raftlog.Log
	short     bool // the log's end was cut: shards ask the others before they take part
	group0    *group0
	machines  [Shards + 1]*machine.Machine              // 0: nil
	shards    [Shards + 1]atomic.Pointer[replica.Shard] // set by start
	events    [Shards + 1]*shardEvents
	node      *serve.Node
	relay     *relay.Relay
	names     *registrations
	elsewhere elsewhere
	watch     *watch
	room      *room

	checkpoints *replica.Checkpoints
	over        chan error  // of capacity 1: why this part cannot go on as it is
	logFull     atomic.Bool // the log waits for room
	// When it was told last that a shard has no checkpoint, by now; 0: never.
	uncheckpointed [Shards + 1]atomic.Int64

	ctx      context.Context // done when close begins
	cancel   context.CancelFunc
	working  sync.WaitGroup // goroutines of this package; grows under starting
	starting sync.Mutex     // guards closed
	closed   bool           // no goroutine begins any more
	moving   sync.Mutex     // held while leaderships are moved, one at a time
	// What of group 0's business is under way from here.
	changing                       [Shards + 1]atomic.Bool // of members, in each shard
	noting, balancing, introducing atomic.Bool
	wanting                        wanting
	moves                          moves
	offers                         snapshotOffers
	mender                         mender
	scrub                          scrub
}

// open opens what the data directory has of the set. errForgetful says that this
// member must not take part under its id.
func (s *Set) open() (*run, error) {
	i := s.who()
	r := &run{s: s, member: uint64(i.Member), began: time.Now(), over: make(chan error, 1)}
	r.mender.r, r.mender.soon = r, make(chan struct{}, 1)
	r.offers.pace.rate = s.o.SnapshotRate
	r.scrub.r, r.scrub.pace.rate = r, s.o.ScrubRate
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.openStores(&i); err != nil {
		r.closeStores()
		return nil, err
	}
	r.serve(&i)
	if i.Number == s.h.NodeID {
		s.o.Logger.Warn("the number of the set is this node's --node-id too: messages of local and replicated topics may have the same ids; give the node another one", slog.Int("number", i.Number))
	}
	return r, nil
}

// openStores opens the log and the machines.
func (r *run) openStores(i *identity) (err error) {
	if err := r.openLog(i); err != nil {
		return err
	}
	var begins *record
	if !i.Joined {
		begins = i.Record
	}
	if r.group0, err = openGroup0(r.s.h.Disk.FS(), filepath.Join(r.s.file.dir, "0"), begins, r.s.setRegistry); err != nil {
		return err
	}
	return eachShard(func(n uint32) (err error) {
		if n == 0 {
			return nil
		}
		r.machines[n], err = r.openMachine(n)
		return err
	})
}

// eachShard does something for all shards at once, since each waits for the disk.
func eachShard(do func(n uint32) error) error {
	var errs [Shards + 1]error
	var doing sync.WaitGroup
	for n := range errs {
		doing.Go(func() {
			if err := do(uint32(n)); err != nil {
				errs[n] = fmt.Errorf("shard %d: %w", n, err)
			}
		})
	}
	doing.Wait()
	return errors.Join(errs[:]...)
}

// openLog opens the node's log, and finds out whether it is all there.
func (r *run) openLog(i *identity) error {
	log, recovered, err := raftlog.Open(raftlog.Options{
		FS: r.s.h.Disk.FS(), Dir: filepath.Join(r.s.file.dir, walName), SegmentBytes: r.s.o.LogFileBytes, Cluster: uint64(i.Cluster), Node: r.member,
		Boot: r.s.o.BootID, NoSync: r.s.o.NoSync, Retain: r.s.o.LogBytes, Found: r.found,
		Took: func(d time.Duration) {
			r.s.counts.saves.Add(int64(d))
			r.offers.pace.saved(d)
		},
		Sum:    sumOfEntry,
		Logger: r.s.o.Logger,
	})
	if err != nil {
		return err
	}
	r.log, r.short = log, recovered.Short
	switch {
	case recovered.Forgetful():
		return fmt.Errorf("%w: %s", errForgetful, doubt(recovered))
	case recovered.New && i.Ran:
		return fmt.Errorf("%w: %s is gone", errForgetful, filepath.Join(r.s.file.dir, walName))
	case i.Ran:
		return nil
	}
	i.Ran = true
	return r.s.become(*i)
}

// sumOfEntry is what the parts of an entry of a shard of topics say that its checksum is.
func sumOfEntry(shard uint32, data []byte) (sum uint32, ok bool) {
	if shard == 0 { // its entries are others
		return 0, false
	}
	return shardentry.Sum(data)
}

// doubt says in words what may be missing.
func doubt(recovered *raftlog.Recovered) string {
	if recovered.Doubt != "" {
		return recovered.Doubt
	}
	return fmt.Sprintf("%s (kept in %s)", recovered.Damaged[0], recovered.Kept)
}

func (r *run) openMachine(n uint32) (*machine.Machine, error) {
	o := machine.Options{
		Shard: n, Dir: r.s.o.Dir, Shared: r.s.h.Disk, SegmentBytes: r.s.h.SegmentBytes, HotMessages: r.s.h.HotMessages,
		Now: func() int64 { return time.Now().UnixNano() },
		Found: func(f machine.Finding) {
			r.s.o.Logger.Warn("a replicated topic's log is damaged here", damageOf(f)...)
			r.mender.found(n, f)
		},
		Logger: r.s.o.Logger,
	}
	m, err := machine.Open(o)
	if errors.Is(err, machine.ErrNoCheckpoint) {
		return nil, fmt.Errorf("%w: %w", errForgetful, err)
	}
	return m, err
}

// serve makes what serves topics, which does nothing before start.
func (r *run) serve(i *identity) {
	common := *r.s.h.Common
	r.prefix = uint16(i.Number)
	r.names = newRegistrations(r.s.h.Directory)
	common.RegisterChannel, common.UnregisterChannel = r.names.served, r.names.unserved
	o := serve.Options{
		Member: r.member, Epoch: i.Epoch, Remote: remote{r}, IDPrefix: r.prefix, Common: common,
		Logger:       r.s.o.Logger,
		Making:       r.createAsElsewhere,
		Refusable:    r.has(levelOfLimits),
		Retainable:   r.has(levelOfRetention),
		Deduplicable: r.has(levelOfDedup),
		Stampable:    r.has(levelOfStamps),
		Timeable:     r.has(levelOfTime),
		Repeatable:   r.has(levelOfReplays),
		Scarce:       func() bool { return r.room.anyScarce() },
		Names:        localNames{r},
	}
	for n := uint32(1); n <= Shards; n++ {
		o.Shards = append(o.Shards, serve.ShardOptions{Raft: proposer{r, n}, Machine: r.machines[n]})
	}
	r.node = serve.NewNode(o)
	r.relay = relay.New(relay.Options{
		Self: r.member, Shard: shardOf, Topics: served{r.node}, Lane: lane{r}, Clock: common.Channels.Clock,
		ClaimsWithin: r.s.o.ClaimsWithin, AwayWithin: r.s.o.AwayWithin, MaxMsgTimeout: common.Channels.MaxMsgTimeout,
	})
	r.watch = newWatch(r)
	r.group0.balance = r.watch.spreadNow
	r.room = &room{r: r}
}

// shardOf is the shard that a topic is in, 1 to Shards.
func shardOf(topic string) uint32 { return serve.ShardOf(topic, Shards) + 1 }

// now is the steady clock.
func (r *run) now() time.Duration { return time.Since(r.began) }

// start has the shards take part.
func (r *run) start() {
	i := r.s.who()
	_ = eachShard(func(n uint32) error { // the others go on without one that cannot
		if n > 0 {
			r.names.installed(n, r.machines[n])
			r.tellUnmet(r.machines[n])
		}
		r.events[n] = newShardEvents(r, n)
		s, err := replica.Open(r.shardOptions(n, &i))
		if err != nil {
			r.alarm(n, err)
			return err
		}
		r.shards[n].Store(s)
		return nil
	})
	r.checkpoints = replica.StartCheckpoints(replica.CheckpointOptions{
		Log: r.log, Shards: r.opened, Connected: r.s.links.Connected, Failed: r.noCheckpoint,
	})
	r.work(r.tick)
	r.work(r.watch.run)
	r.work(r.watch.catchUp)
	r.work(r.room.run)
	r.mender.start()
	if r.s.o.ScrubRate > 0 {
		r.work(r.scrub.run)
	}
}

// tellUnmet tells, before anything else is applied, what was set of topics and this node cannot
// meet, as one that has less memory than the others.
func (r *run) tellUnmet(m *machine.Machine) {
	for name, id := range m.Topics() {
		r.s.h.Common.TellReplicaUnmet(name, m.Settings(id))
	}
}

// Ticks of shards: a leader tells that it lives with every second one.
const (
	electionTicks  = 10
	heartbeatTicks = 2
	// longSilence is how long a member whose log had a torn end waits for others that do
	// not say how far they are.
	longSilence = 10 * time.Second
)

func (r *run) shardOptions(n uint32, i *identity) replica.Options {
	o := replica.Options{
		Member: r.member, Log: replica.LogOf(r.log, n), Machine: r.group0,
		Snapshots: offerer{r, n}, Events: r.events[n], ElectionTicks: electionTicks, HeartbeatTicks: heartbeatTicks,
		Alarm: func(err error) { r.alarm(n, err) }, Now: r.now,
		Logger: r.s.o.Logger.With(slog.Uint64("shard", uint64(n))),
	}
	o.Send = func(messages []*pb.Message) { r.send(n, messages) }
	if n > 0 {
		o.Machine = replica.MachineOf(r.machines[n])
	}
	if !i.Joined {
		o.Voters = i.Record.ids()
	}
	if r.short {
		o.HoldTicks = int(longSilence / r.tickEvery())
	}
	return o
}

func (r *run) tickEvery() time.Duration { return r.s.o.Election / electionTicks }

// tick tells all shards of the time.
func (r *run) tick() {
	ticker := time.NewTicker(r.tickEvery())
	defer ticker.Stop()
	short := r.short
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
		}
		for n := range r.shards {
			if s := r.shards[n].Load(); s != nil {
				s.Tick()
			}
		}
		if short && r.whole() {
			r.log.Whole()
			short = false
		}
	}
}

// whole tells whether every shard knows that its log lacks nothing.
func (r *run) whole() bool {
	for n := range r.shards {
		if s := r.shards[n].Load(); s == nil || s.Status().Held {
			return false
		}
	}
	return true
}

// opened are the shards that take part.
func (r *run) opened() map[uint32]*replica.Shard {
	all := make(map[uint32]*replica.Shard)
	for n := range r.shards {
		if s := r.shards[n].Load(); s != nil {
			all[uint32(n)] = s
		}
	}
	return all
}

// work does something in a goroutine of its own, which close waits for; false: it does
// not any more.
func (r *run) work(do func()) bool {
	r.starting.Lock()
	defer r.starting.Unlock()
	if !r.closed {
		r.working.Go(do)
	}
	return !r.closed
}

func (r *run) linkUp(member uint64) {
	r.relay.Up(member)
	r.mender.hurry()
	r.node.LinkChanged(member)
	r.work(func() {
		st := new(stand)
		if err := r.s.ask(member, callStand, nil, st); err == nil && st.Gone && st.Cluster == r.s.who().Cluster {
			r.watch.wasRemoved()
		}
	})
}

func (r *run) linkDown(member uint64) {
	r.relay.Down(member)
	r.node.LinkChanged(member)
}

// close ends everything: first what brings work, then the shards, then what was served
// of them, then what they rest on.
func (r *run) close() {
	r.cancel()
	r.starting.Lock()
	r.closed = true
	r.starting.Unlock()
	r.working.Wait()
	if r.checkpoints != nil {
		r.checkpoints.Stop()
	}
	var stopping sync.WaitGroup
	for n := range r.shards {
		if s := r.shards[n].Load(); s != nil {
			stopping.Go(func() {
				if err := s.Checkpoint(); err != nil {
					r.s.o.Logger.Warn("no checkpoint of a shard at the end", slog.Int("shard", n), slog.Any("error", err))
				}
				s.Stop()
			})
		}
	}
	stopping.Wait()
	for _, e := range r.events {
		if e != nil {
			e.end()
		}
	}
	r.node.Close()
	r.relay.Close()
	r.names.close()
	r.offers.wait()
	r.closeStores()
}

// closeStores closes the log and the machines.
func (r *run) closeStores() {
	r.cancel()
	for n, m := range r.machines {
		if m != nil {
			if err := m.Close(); err != nil {
				r.s.o.Logger.Error("the logs of a shard were not closed in good order", slog.Int("shard", n), slog.Any("error", err))
			}
		}
	}
	if r.log != nil {
		if err := r.log.Close(); err != nil {
			r.s.o.Logger.Error("the log of the set was not closed in good order", slog.Any("error", err))
		}
	}
}
