package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/replica/machine"
	"qmq/replica/serve"
	"qmq/state"
	"qmq/topic"
)

// A Set is the broker's broker.Replicas: the replicated topics, wherever they are led.

// Replicated is part of broker.Replicas.
func (s *Set) Replicated(name string) bool {
	if (*s.local.Load())[name] {
		return false
	}
	if g := s.registry.Load(); g != nil && g.Cluster != 0 {
		return g.replicates(name)
	}
	return matches(s.o.Patterns, name)
}

// leaderTimeout is how long clients wait for this node to be in its set.
const leaderTimeout = 5 * time.Second

// running is this node's part in its set, for which it waits a while; the error is for
// clients.
func (s *Set) running() (*run, error) {
	if r := s.run.Load(); r != nil {
		return r, r.takesPart()
	}
	late := time.NewTimer(leaderTimeout)
	defer late.Stop()
	for {
		s.mu.Lock()
		begun, failure, waiting := s.begun, s.failure, s.waiting
		s.mu.Unlock()
		if r := s.run.Load(); r != nil {
			return r, r.takesPart()
		}
		if failure != nil {
			return nil, errors.New("this node takes no part in its set: see its log")
		}
		select {
		case <-begun:
		case <-s.ctx.Done():
			return nil, channel.ErrExiting
		case <-late.C:
			if waiting != "" {
				return nil, errors.New("no set yet: waiting for " + waiting)
			}
			return nil, errNoSet
		}
	}
}

// Publisher is part of broker.Replicas.
func (s *Set) Publisher(name string, create bool) (broker.Publisher, error) {
	r, err := s.running()
	if err != nil {
		return nil, err
	}
	if create {
		if err := r.roomFor(name); err != nil {
			return nil, err
		}
	}
	r.show(name)
	if !create {
		if _, err := r.incarnation(name); errors.Is(err, broker.ErrNoTopic) {
			return nil, topic.ErrNoAutoCreate
		} else if err != nil {
			return nil, err
		}
	}
	return publisher{r, name}, nil
}

// takesPart refuses what a node is asked for that is no member any more: nobody would answer it.
func (r *run) takesPart() error {
	if r.watch.removed.Load() {
		return errRemoved
	}
	return nil
}

// publisher is a replicated topic's, which the first publish makes if need be: who
// publishes to several waits for all of them at once when there is no leader.
type publisher struct {
	r    *run
	name string
}

// Name is part of broker.Publisher.
func (p publisher) Name() string { return p.name }

// Stamp is part of broker.Publisher.
func (p publisher) Stamp() *topic.Stamp { return p.r.node.Stamp(p.name) }

// IDPrefix is part of broker.Numbered.
func (p publisher) IDPrefix() uint16 { return p.r.prefix }

// Publish is part of broker.Publisher. What is published shows the topic.
func (p publisher) Publish(b *diskqueue.Batch) error {
	if err := p.r.takesPart(); err != nil {
		return err
	}
	p.r.show(p.name)
	return p.r.insistOnName(p.name, func() error { return brokerError(p.r.node.Publish(p.name, b)) })
}

// Start is part of broker.Starter.
func (p publisher) Start(b *diskqueue.Batch) (wait func() error, ok bool) {
	if p.r.takesPart() != nil {
		return nil, false
	}
	p.r.show(p.name)
	fate, ok := p.r.node.Start(p.name, b)
	if !ok {
		return nil, false
	}
	return func() error { return brokerError(fate()) }, true
}

// Subscribe is part of broker.Replicas.
func (s *Set) Subscribe(name, channelName string, create bool, o broker.SubscribeOptions) (broker.Consumer, error) {
	r, err := s.running()
	if err != nil {
		return nil, err
	}
	if err := r.watch.health(); err != nil {
		return nil, err
	}
	if create {
		if err := r.roomFor(name); err != nil {
			return nil, err
		}
	}
	r.show(name)
	if create && !o.Tail && !r.knowsTopic(name) {
		if err := r.create(name); err != nil {
			return nil, err
		}
	}
	k, err := r.relay.Subscribe(name, channelName, create, o)
	if err != nil {
		return nil, err
	}
	r.awaitChannel(name, channelName, k.Incarnation())
	return k, nil
}

// awaitChannel waits until this member, which is not the one that serves it, knows a
// channel: who subscribed here expects to find it here.
func (r *run) awaitChannel(name, channelName string, incarnation uint64) {
	m := r.machines[shardOf(name)]
	r.node.Await(r.ctx, name, func() bool {
		if names.IsEphemeral(channelName) { // others do not know of it
			there, _ := m.Incarnation(name)
			return there == incarnation
		}
		return m.HasChannel(name, incarnation)
	})
}

// Change is part of broker.Replicas.
func (s *Set) Change(c broker.Change) error {
	r, err := s.running()
	if err != nil {
		return err
	}
	if c.Local {
		return s.keepLocal(r, c.Topic)
	}
	switch c.Op {
	case state.CreateTopic:
		if err := r.roomFor(c.Topic); err != nil {
			return err
		}
		return r.create(c.Topic)
	case state.ConfigureTopic, state.ConfigureChannel:
		if err := s.maySet(r.ctx); err != nil {
			return err
		}
	}
	if c.From+c.Until != "" && !s.knows(r.ctx, levelOfRetention) {
		return errNoReplay
	}
	return r.change(c)
}

// create makes a topic that the set does not have, with the channels that the directories know.
func (r *run) create(name string) error {
	return r.insistOnName(name, func() error {
		if err := r.createAsElsewhere(name); err != nil {
			return err
		}
		return r.change(broker.Change{Op: state.CreateTopic, Topic: name})
	})
}

// errNoReplay refuses what members of an older version could not apply.
var errNoReplay = errors.New("replay of replicated topics needs all members of the set to run a version that knows it, and to have said so, as they do when they start; q cluster members shows which")

// roomFor tells why there may not be a topic of a name; nil: there may, or there is one.
func (r *run) roomFor(name string) error {
	limit := r.s.h.MaxTopics
	if limit == 0 {
		return nil
	}
	if _, there := r.machines[shardOf(name)].Incarnation(name); there {
		return nil
	}
	all := 0
	for n := 1; n <= Shards; n++ {
		all += len(r.machines[n].Topics())
	}
	if all < limit {
		return nil
	}
	return &topic.LimitError{What: "replicated topics", Max: limit, Option: "--max-topics"}
}

// Channel is part of broker.Replicas.
func (s *Set) Channel(name, channelName string) (broker.Messages, error) {
	r, err := s.running()
	if err != nil {
		return nil, err
	}
	if _, err = r.node.Channel(name, channelName); serve.NotLeader(err) {
		err = r.channelElsewhere(name, channelName)
	}
	if err != nil {
		return nil, brokerError(err)
	}
	return &messages{r, shardOf(name), name, channelName}, nil
}

// Look is part of broker.Replicas: every member has the log. It waits for what others have
// OK'd; without a leader it shows what this member has.
func (s *Set) Look(name string) (l *topic.Look, release func(), err error) {
	r, err := s.running()
	if err != nil {
		return nil, nil, err
	}
	incarnation, err := r.incarnation(name)
	if err != nil {
		return nil, nil, err
	}
	r.awaitOKd(shardOf(name))
	view, err := r.machines[shardOf(name)].Topic(incarnation)
	if errors.Is(err, machine.ErrNoTopic) {
		return nil, nil, broker.ErrNoTopic
	}
	if err != nil {
		return nil, nil, err
	}
	return topic.NewLook(view.Log, r.prefix, fanOutOf(view), view.Next, view.State.Voids, owedBy(view.State)), view.Release, nil
}

// awaitOKd waits until this member has applied what others have OK'd in a shard, for as long as
// clients wait for a leader.
func (r *run) awaitOKd(n uint32) {
	if r.watch.isCutOff() {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, leaderTimeout)
	defer cancel()
	_ = r.s.catchUp(ctx, n)
}

// fanOutOf is where the fan-out position of a topic is: it follows the end where there are
// channels, unless the topic is paused. What the state says of it is older.
func fanOutOf(v *machine.View) uint64 {
	if v.State.Paused || len(v.State.Channels) == 0 {
		return min(v.State.FanOut, v.Next)
	}
	return v.Next
}

// owedBy says of a message whether the topic or a channel of it still owes it, as far as
// this member has applied.
func owedBy(t *state.Topic) func(seq uint64) bool {
	return func(seq uint64) bool {
		if len(t.Channels) == 0 {
			return seq >= t.FanOut
		}
		for _, c := range t.Channels {
			if c.Acked == nil || !c.Acked.Contains(seq) {
				return true
			}
		}
		return false
	}
}

// Names is part of broker.Replicas.
func (s *Set) Names() (list []string) {
	r := s.run.Load()
	if r == nil {
		return nil
	}
	for n := uint32(1); n <= Shards; n++ {
		list = append(list, r.visible(n)...)
	}
	slices.Sort(list)
	return list
}

// Topic is part of broker.Replicas.
func (s *Set) Topic(name string) (t broker.Replica, ok bool) {
	r := s.run.Load()
	if r == nil {
		return t, false
	}
	n := shardOf(name)
	m := r.machines[n]
	incarnation, ok := m.Incarnation(name)
	if !ok || r.names.isHidden(topicID{n, incarnation}) {
		return t, false
	}
	view, err := m.Topic(incarnation)
	if err != nil {
		return t, false
	}
	st := view.State
	view.Release()
	t = broker.Replica{Name: name, Shard: n, Paused: st.Paused, Settings: st.Settings, IDBytes: m.Doubles(incarnation).Bytes}
	for _, c := range st.Channels {
		t.Channels = append(t.Channels, broker.ReplicaChannel{
			Name: c.Name, Paused: c.Paused, Settings: c.Settings, Until: c.Until, Rewound: c.Rewound, Leaves: c.Leaves,
			Done: c.Until > 0 && c.Acked != nil && c.Acked.Floor() >= c.Until, Consumers: r.relay.Consumers(name, c.Name),
		})
	}
	if shard := r.shard(n); shard != nil {
		now := shard.Status()
		t.Term, t.Applied, t.Lag = now.Term, now.Applied, now.Commit-min(now.Commit, now.Applied)
		if now.Leader != 0 {
			t.Leader = s.addressOf(now.Leader)
		}
		if now.Serving {
			t.Served, _ = r.node.Topic(name, false)
		}
	}
	r.addEphemeral(&t)
	slices.SortFunc(t.Channels, func(a, b broker.ReplicaChannel) int { return compareNames(a.Name, b.Name) })
	return t, true
}

// addEphemeral adds the channels of a topic that are the leader's alone: where it is served
// all of them, elsewhere those that clients of this node consume.
func (r *run) addEphemeral(t *broker.Replica) {
	paused := make(map[string]bool)
	for _, name := range r.relay.Channels(t.Name) {
		if names.IsEphemeral(name) {
			paused[name] = false // as far as it is known here
		}
	}
	if t.Served != nil {
		for _, c := range t.Served.Channels() {
			if names.IsEphemeral(c.Name()) {
				paused[c.Name()] = c.Stats().Paused
			}
		}
	}
	for name, is := range paused {
		t.Channels = append(t.Channels, broker.ReplicaChannel{Name: name, Paused: is, Consumers: r.relay.Consumers(t.Name, name)})
	}
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Health is part of broker.Replicas.
func (s *Set) Health() error {
	r := s.run.Load()
	if r == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.failure
	}
	return r.watch.health()
}

// brokerError makes errors of replica/serve those of the broker.
func brokerError(err error) error {
	switch {
	case errors.Is(err, serve.ErrNoTopic):
		return broker.ErrNoTopic
	case errors.Is(err, serve.ErrClosed):
		return channel.ErrExiting
	case errors.Is(err, context.Canceled):
		return channel.ErrExiting
	}
	return err
}

var _ broker.Replicas = (*Set)(nil)
