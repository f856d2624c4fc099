package cluster

import (
	"context"

	"qmq/cluster/link"
	"qmq/relay"
	"qmq/replica"
	"qmq/replica/serve"
	"qmq/topic"
)

// What replica/serve and relay are given of the shards, of one another and of the other
// members.

// proposer is a shard for replica/serve, which is made before it.
type proposer struct {
	r *run
	n uint32
}

// Propose is part of serve.Raft.
func (p proposer) Propose(data []byte, done func(outcome any, err error)) {
	if s := p.r.shard(p.n); s != nil {
		s.Propose(data, done)
		return
	}
	go done(nil, replica.ErrNotLeader)
}

// ProposeOwn is part of serve.Raft.
func (p proposer) ProposeOwn(data []byte, done func(outcome any, err error)) {
	if s := p.r.shard(p.n); s != nil {
		s.ProposeOwn(data, done)
		return
	}
	go done(nil, replica.ErrNotLeader)
}

// remote is the other members for replica/serve.
type remote struct{ r *run }

// SendParts is part of serve.Remote.
func (m remote) SendParts(to uint64, frame []byte) bool {
	queued := m.r.s.links.Send(to, link.Bulk, kindParts, frame)
	m.r.s.counts.count(sentPublishes, queued, frame)
	return queued
}

// SendNotice is part of serve.Remote.
func (m remote) SendNotice(to uint64, frame []byte) bool {
	return m.r.s.links.Send(to, link.Control, kindNotices, frame)
}

// Peers is part of serve.Remote.
func (m remote) Peers() []uint64 { return m.r.s.connected() }

// Call is part of serve.Remote.
func (m remote) Call(ctx context.Context, to uint64, request []byte) ([]byte, error) {
	return m.r.s.links.Call(ctx, to, callServe, request)
}

// served is the topics that this member leads, for relay.
type served struct{ *serve.Node }

// Topic is part of relay.Topics: a member that does not lead, or not yet, is no end of
// a consumer.
func (t served) Topic(name string, create bool) (*topic.Topic, error) {
	found, err := t.Node.Topic(name, create)
	if serve.NotLeader(err) {
		return nil, relay.ErrNotLeader
	}
	return found, err
}

// lane is the other members for relay.
type lane struct{ r *run }

// Send is part of relay.Lane.
func (l lane) Send(to uint64, frame []byte) bool {
	queued := l.r.s.links.Push(to, link.Bulk, kindRelay, frame)
	l.r.s.counts.count(sentDeliveries, queued, frame)
	return queued
}
