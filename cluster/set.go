package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/cluster/link"
)

// Set is a node's membership in a set. Start comes first; all methods may be called
// concurrently, and before the node is in a set, too.
type Set struct {
	o    Options
	h    Host
	file identityFile
	// The files that make room on a full disk: reserve to apply what is agreed on,
	// startReserve for a start to note that it has begun.
	reserve, startReserve *reserve

	links *link.Links
	ready chan struct{} // closed when links are there

	local    atomic.Pointer[map[string]bool] // topics of this node alone, as of its start
	registry atomic.Pointer[registry]
	run      atomic.Pointer[run] // nil while the node is in no set
	level    atomic.Uint32       // the highest feature level that is known to be in use; written with storing held
	allTold  atomic.Uint32       // the feature level of which all members that were connected have said that it is in use

	draining atomic.Bool // the node is about to leave

	leased atomic.Pointer[Leased] // nil: nobody consumes over HTTP yet
	counts counts

	// founding is held while it is decided which set this node is in.
	founding sync.Mutex
	// storing is held while this node's identity is changed; it is taken after founding.
	storing sync.Mutex

	mu       sync.Mutex // guards what follows
	identity *identity
	failure  error         // why the node takes no part, and will not before it is started again
	waiting  string        // for whom, while it is in no set
	begun    chan struct{} // closed, and replaced, when run or failure is set

	// linking guards up, and is held while a run is told of links.
	linking sync.Mutex
	up      map[uint64]bool // members that are connected
	met     sync.Map        // addresses (string) of those that were since the start, by id (uint64)

	ctx    context.Context // done when Stop begins
	cancel context.CancelFunc
	living sync.WaitGroup
}

// errStopped is what is told to those who ask when it is over.
var errStopped = errors.New("the node is stopping")

// New is a member that does nothing before Start.
func New(o Options) *Set {
	if o.LogFileBytes == 0 {
		o.LogFileBytes = logFileBytes
	}
	s := &Set{o: o, file: identityFile{fs: o.FS, dir: filepath.Join(o.Dir, "raft")}, ready: make(chan struct{}), begun: make(chan struct{}), up: make(map[uint64]bool)}
	s.local.Store(&map[string]bool{})
	s.reserve, s.startReserve = s.newReserve(reserveName, s.reserveBytes()), s.newReserve(startName, startBytes)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start begins to take part, in the set that the node is in, or in one that it begins
// or joins in the background. The error is that it cannot, for good.
func (s *Set) Start(h Host) error {
	s.h = h
	local := make(map[string]bool, len(h.Local))
	for _, name := range h.Local {
		local[name] = true
	}
	s.local.Store(&local)
	i, err := s.file.open()
	if noRoom(err) && (s.startReserve.give() || s.reserve.give()) {
		i, err = s.file.open()
	}
	if err != nil {
		return err
	}
	if err := s.startReserve.keep(); err != nil {
		s.o.Logger.Warn("there is no room for the reserve for a start on a full disk", slog.Any("error", err))
	}
	s.identity = i
	var r *run
	if i.Cluster != 0 {
		s.level.Store(i.Level)
		if r, err = s.open(); errors.Is(err, errForgetful) {
			err = s.forget(err.Error())
		}
		if err != nil {
			return err
		}
	}
	s.links = link.New(s.linkOptions())
	s.handle()
	close(s.ready)
	if r != nil {
		s.begin(r)
	}
	s.links.Start(s.peers())
	s.living.Go(func() { s.live(r) })
	return nil
}

// live is the life of the member: in no set, in one, and, where its part cannot go on
// as it is, in none again until it is opened anew.
func (s *Set) live(r *run) {
	for {
		if r == nil {
			if r = s.findSet(); r == nil {
				return
			}
			s.begin(r)
		}
		var why error
		select {
		case <-s.ctx.Done():
		case why = <-r.over:
		}
		s.run.Store(nil)
		r.close()
		if s.ctx.Err() != nil {
			return
		}
		if err := s.retry(why); err != nil {
			s.fail(err)
			return
		}
		r = nil
	}
}

// begin takes part with what was opened.
func (s *Set) begin(r *run) {
	s.linking.Lock()
	s.run.Store(r)
	for member := range s.up {
		r.linkUp(member)
	}
	s.linking.Unlock()
	r.start()
	s.tellBegun()
}

// Stop ends the member's part. Leadership should have been given away before, with
// Yield.
func (s *Set) Stop() {
	s.cancel()
	s.living.Wait()
	select {
	case <-s.ready:
		s.links.Close()
	default:
		s.o.Listener.Close()
	}
}

// fail notes why the node takes no part.
func (s *Set) fail(err error) {
	s.o.Logger.Error("this node takes no part in its set", slog.Any("error", err))
	s.mu.Lock()
	s.failure = err
	s.mu.Unlock()
	s.tellBegun()
}

// tellBegun wakes those who wait for this node to take part.
func (s *Set) tellBegun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.begun)
	s.begun = make(chan struct{})
}

// who is this member's identity now.
func (s *Set) who() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.identity
}

// become makes i this member's identity, for good.
func (s *Set) become(i identity) error {
	s.storing.Lock()
	defer s.storing.Unlock()
	return s.store(i, s.level.Load())
}

// store is become, with the feature level that the set uses, for a caller that holds s.storing.
func (s *Set) store(i identity, level uint32) error {
	if i.Level = 0; i.Cluster != 0 { // what another set used says nothing
		i.Level = level
	}
	if err := s.file.store(&i); err != nil {
		return err
	}
	s.mu.Lock()
	s.identity = &i
	s.mu.Unlock()
	return nil
}

func (s *Set) linkOptions() link.Options {
	return link.Options{
		Address: s.o.Address, Listener: s.o.Listener, Dial: s.o.Dial, Hello: s.hello,
		Secrets: s.o.Secrets, Server: s.o.Server, Client: s.o.Client,
		Alive: max(4*s.o.Election, 500*time.Millisecond), MaxFrame: s.o.MaxFrame,
		Meet: s.meet, Up: s.linkUp, Down: s.linkDown, Logger: s.o.Logger,
	}
}

// hello is what this member says of itself to the others.
func (s *Set) hello() link.Hello {
	i := s.who()
	h := link.Hello{
		Member: uint64(i.Member), Epoch: i.Epoch, Cluster: uint64(i.Cluster), Address: s.o.Address, Peers: s.o.Peers,
		Level: Level, Number: s.o.Number, Election: s.o.Election, Sync: "always",
	}
	if s.o.NoSync {
		h.Sync = "kernel"
	}
	if i.Cluster != 0 {
		h.Active = s.level.Load()
	}
	return h
}

// meet takes what a member says before anything is sent to it. Who was not told by this member
// which features are in use, for it did not know, is told now.
func (s *Set) meet(h link.Hello) {
	if s.uses(h.Active) {
		s.links.Renew(errTold)
	}
}

var errTold = errors.New("this node has heard which features the set uses")

func (s *Set) linkUp(p link.Peer) {
	s.linking.Lock()
	defer s.linking.Unlock()
	s.up[p.Hello.Member] = true
	if p.Hello.Address != "" {
		s.met.Store(p.Hello.Member, p.Hello.Address)
	}
	if r := s.run.Load(); r != nil {
		r.linkUp(p.Hello.Member)
	}
}

func (s *Set) linkDown(p link.Peer, _ error) {
	s.linking.Lock()
	defer s.linking.Unlock()
	delete(s.up, p.Hello.Member)
	if r := s.run.Load(); r != nil {
		r.linkDown(p.Hello.Member)
	}
}

// connected are the members that are connected, sorted.
func (s *Set) connected() []uint64 {
	s.linking.Lock()
	defer s.linking.Unlock()
	return slices.Sorted(maps.Keys(s.up))
}

// handle gives what comes from other members to whom it concerns.
func (s *Set) handle() {
	s.links.HandleKept(kindRaft, s.receiveRaft)
	frames := map[byte]func(r *run, from uint64, frame []byte) error{
		kindParts:   func(r *run, from uint64, frame []byte) error { return r.node.ReceiveParts(from, frame) },
		kindNotices: func(r *run, from uint64, frame []byte) error { return r.node.ReceiveNotice(from, frame) },
		kindRelay:   func(r *run, from uint64, frame []byte) error { return r.relay.Receive(from, frame) },
		kindDisk:    func(r *run, from uint64, frame []byte) error { return r.watch.told(from, frame) },
	}
	for kind, h := range frames {
		s.links.Handle(kind, func(from uint64, frame []byte) {
			if r := s.run.Load(); r != nil {
				if err := h(r, from, frame); err != nil {
					s.links.Drop(from, fmt.Errorf("a frame of kind %d makes no sense: %w", kind, err))
				}
			}
		})
	}
	s.handleCalls()
}

// setRegistry takes up a new registry.
func (s *Set) setRegistry(g *registry) {
	s.uses(g.Level)
	before := s.registry.Swap(g)
	s.takeAdopted(g)
	if len(g.Members) == 0 {
		return // nothing is known yet
	}
	select {
	case <-s.ready:
	default:
		return // Start gives links their peers
	}
	s.links.SetPeers(s.peers())
	if before != nil {
		s.tellChanges(before, g)
	}
}

// peers are the addresses of the other members, as far as they are known, and of those
// that this node was started with.
func (s *Set) peers() []string {
	list := slices.Clone(s.o.Peers)
	if g := s.registry.Load(); g != nil {
		list = append(list, g.addresses()...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// takeAdopted notes which names are not local any more.
func (s *Set) takeAdopted(g *registry) {
	was := *s.local.Load()
	if !slices.ContainsFunc(g.Adopted, func(name string) bool { return was[name] }) {
		return
	}
	local := maps.Clone(was)
	for _, name := range g.Adopted {
		if local[name] {
			delete(local, name)
			s.o.Logger.Info("a topic is replicated from now on", slog.String("topic", name))
		}
	}
	s.local.Store(&local)
}

var errNoMember = errors.New("it is no member any more")

// tellChanges logs what changed in who the members are, and begins anew with who is none any
// more.
func (s *Set) tellChanges(before, now *registry) {
	attributes := func(m *member) []any {
		list := []any{slog.String("member", show(m.ID)), slog.String("address", m.Address)}
		if m.Replaces != 0 {
			list = append(list, slog.String("replaces", show(m.Replaces)))
		}
		return list
	}
	for _, m := range now.Members {
		switch was := before.member(m.ID); {
		case was == nil && !m.Joining: // of a snapshot, which tells of all
			s.o.Logger.Info("a member of the set", attributes(m)...)
		case was == nil:
			s.o.Logger.Info("a member joins the set, without a vote until it has caught up", attributes(m)...)
		case was.Joining && !m.Joining:
			s.o.Logger.Info("a member has a vote now", attributes(m)...)
		case !was.Leaving && m.Leaving:
			s.o.Logger.Info("a member is to leave the set", attributes(m)...)
		case was.Address != m.Address:
			s.o.Logger.Info("a member has another address", attributes(m)...)
		}
	}
	for _, m := range before.Members {
		if now.member(m.ID) == nil {
			s.o.Logger.Info("a member is none any more", attributes(m)...)
			// It may not have heard that. When it is connected again, it asks (linkUp).
			s.links.Drop(uint64(m.ID), errNoMember)
		}
	}
	if before.Level != now.Level {
		s.o.Logger.Info("the set uses a feature level from now on", slog.Uint64("level", uint64(now.Level)))
	}
}
