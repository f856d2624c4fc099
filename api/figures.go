package api

import (
	"iter"
	"slices"
	"strings"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/quantile"
	"qmq/lease"
	"qmq/protocol"
	"qmq/server"
	"qmq/topic"
)

// Figures tells how a node, its topics, channels and clients are doing. /stats
// shows it and statsd is sent it. Its methods may be called concurrently; each
// topic is asked when its turn comes, so that no two are of the same moment.
type Figures struct {
	broker      *broker.Broker
	sessions    *server.TCP
	leases      *lease.Leases // nil: there are none
	percentiles []float64
}

// NewFigures are the figures of b and of the sessions of t. Percentiles, of (0, 1],
// are the parts of the messages that they say how fast they were done; see
// broker.Options.LatencyWindow.
func NewFigures(b *broker.Broker, t *server.TCP, percentiles []float64) *Figures {
	return &Figures{broker: b, sessions: t, percentiles: percentiles}
}

// Filter is what a caller wants to see of the figures.
type Filter struct {
	Topic, Channel string // empty for all
	Clients        bool   // of the channels
	Settings       bool   // of topics and channels
}

// Topics are the figures of the topics that pass the filter, gathered one after
// the other; known is false when it names an unknown topic. Topics without the
// wanted channel are left out.
func (f *Figures) Topics(filter Filter) (figures iter.Seq[TopicFigures], known bool) {
	topics := f.all()
	if filter.Topic != "" {
		t, ok := f.one(filter.Topic)
		if !ok {
			return slices.Values[[]TopicFigures](nil), false
		}
		topics = []named{t}
	}
	return func(yield func(TopicFigures) bool) {
		for _, t := range topics {
			figures, ok := f.ofNamed(t, filter)
			if ok && !yield(figures) {
				return
			}
		}
	}, true
}

// named is a topic: a local one, or the name of one that is replicated.
type named struct {
	name  string
	local *topic.Topic
}

// all are the topics of the node, sorted by name.
func (f *Figures) all() []named {
	local, replicated := f.broker.Topics(), f.broker.ReplicaNames()
	list := make([]named, 0, len(local)+len(replicated))
	for _, t := range local {
		list = append(list, named{t.Name(), t})
	}
	for _, name := range replicated {
		list = append(list, named{name: name})
	}
	if len(replicated) > 0 {
		slices.SortFunc(list, func(a, b named) int { return strings.Compare(a.name, b.name) })
	}
	return list
}

// one is the topic of that name.
func (f *Figures) one(name string) (t named, ok bool) {
	if local, ok := f.broker.Existing(name); ok {
		return named{name, local}, true
	}
	_, ok = f.broker.Replica(name)
	return named{name: name}, ok
}

// ofNamed are the figures of a topic; ok is false when the filter leaves it out, or
// it is gone.
func (f *Figures) ofNamed(t named, filter Filter) (figures TopicFigures, ok bool) {
	if t.local == nil {
		return f.ofReplica(t.name, filter)
	}
	channels := t.local.Channels()
	if filter.Channel != "" {
		c, ok := t.local.ExistingChannel(filter.Channel)
		if !ok {
			return figures, false
		}
		channels = []*channel.Channel{c}
	}
	figures = f.ofTopic(t.local, channels, filter.Clients)
	if filter.Settings {
		figures.addSettings(t.local)
	}
	return figures, true
}

// Producers are the connections that have published, to the filtered topic if
// there is one.
func (f *Figures) Producers(filter Filter) iter.Seq[ClientFigures] {
	return func(yield func(ClientFigures) bool) {
		for c := range f.sessions.Clients() {
			figures := ofClient(&c)
			if filter.Topic != "" {
				figures.PubCounts = slices.DeleteFunc(figures.PubCounts, func(p PubCount) bool { return p.Topic != filter.Topic })
			}
			if len(figures.PubCounts) > 0 && !yield(figures) {
				return
			}
		}
	}
}

func (f *Figures) ofTopic(t *topic.Topic, channels []*channel.Channel, clients bool) TopicFigures {
	s := t.Stats()
	figures := TopicFigures{
		Name:         t.Name(),
		Channels:     make([]ChannelFigures, 0, len(channels)),
		Depth:        s.Depth,
		BackendDepth: s.BackendDepth,
		MessageCount: s.MessageCount,
		MessageBytes: s.MessageBytes,
		Dropped:      s.Dropped,
		Expired:      s.Expired,
		Paused:       s.Paused,
		DiskBytes:    s.DiskBytes,
	}
	if d, ok := t.DedupStats(); ok {
		figures.idBytes = d.Bytes
		figures.Dedup = &DedupFigures{
			Doubles: d.Found, IDs: d.IDs, MaxIDs: d.Max, Evicted: d.Evicted,
			Window: d.Window.Milliseconds(), Oldest: d.Oldest / 1e6, Bytes: d.Bytes, Unwritten: d.Unwritten,
		}
	}
	for _, c := range channels {
		figures.Channels = append(figures.Channels, f.ofChannel(t, c, clients))
	}
	if len(f.percentiles) > 0 {
		figures.Latency = f.latencies(t.Channels()) // whatever channel is asked for
	}
	return figures
}

func (f *Figures) ofChannel(t *topic.Topic, c *channel.Channel, clients bool) ChannelFigures {
	s := c.Stats()
	figures := ChannelFigures{
		Name:             c.Name(),
		Depth:            s.Depth,
		BackendDepth:     t.BackendDepth(&s),
		InFlightCount:    s.InFlight,
		DeferredCount:    s.Deferred,
		MessageCount:     s.MessageCount,
		ZoneLocalCount:   s.ZoneLocal,
		RegionLocalCount: s.RegionLocal,
		GlobalCount:      s.Delivered - s.ZoneLocal - s.RegionLocal,
		RequeueCount:     s.RequeueCount,
		TimeoutCount:     s.TimeoutCount,
		DeadLettered:     s.DeadLettered,
		DeadLettering:    s.Spent,
		HeldBack:         s.Held,
		Stopped:          s.Stopped,
		DroppedCount:     s.Dropped,
		ExpiredCount:     s.Expired,
		ClientCount:      len(s.Consumers),
		ReadyCount:       readyOf(s.Consumers),
		Paused:           s.Paused,
		Until:            s.Until,
		Done:             s.Done,
		Then:             thenOf(t.Leaves(c.Name())),
		RewoundAt:        s.Rewound,
		RewindCount:      s.Rewinds,
	}
	figures.handedOut, figures.done = c.Latencies()
	if len(f.percentiles) > 0 {
		figures.Latency = f.latencies([]*channel.Channel{c})
	}
	if clients {
		figures.Clients = f.ofConsumers(s.Consumers)
	}
	if s.SpentError != nil {
		figures.DeadLetterError = s.SpentError.Error()
	}
	return figures
}

// thenOf is what becomes of a bounded channel that has had everything, where it does not stay.
func thenOf(leaves bool) string {
	if leaves {
		return "delete"
	}
	return ""
}

// readyOf is the sum of RDY.
func readyOf(consumers []channel.ConsumerStats) (ready int64) {
	for i := range consumers {
		ready += consumers[i].Ready
	}
	return ready
}

// ofConsumers are the figures of clients that consume.
func (f *Figures) ofConsumers(consumers []channel.ConsumerStats) []ClientFigures {
	figures := make([]ClientFigures, 0, len(consumers))
	for i := range consumers {
		if c, ok := f.client(consumers[i].ID); ok { // else it has just left
			figures = append(figures, withConsumer(c, &consumers[i]))
		}
	}
	return figures
}

// latencies are the wanted percentiles over all messages that were finished in
// these channels; none without a channel.
func (f *Figures) latencies(channels []*channel.Channel) (l Latencies) {
	if len(channels) == 0 {
		return l
	}
	var all quantile.Sketch
	for _, c := range channels {
		c.AddLatencies(&all)
	}
	l.Count = all.Count()
	for _, q := range f.percentiles {
		l.Percentiles = append(l.Percentiles, Percentile{Quantile: q, Value: all.Quantile(q)})
	}
	return l
}

// client are the figures of the client of a consumer, over TCP or HTTP.
func (f *Figures) client(consumer uint64) (figures ClientFigures, ok bool) {
	if c, ok := f.leases.Client(consumer); ok {
		return ofLease(&c), true
	}
	c, ok := f.sessions.Client(consumer)
	if !ok {
		return figures, false
	}
	return ofClient(&c), true
}

// ofLease are the figures of a request that consumes over HTTP.
func ofLease(c *lease.Client) ClientFigures {
	figures := ClientFigures{
		ClientID: c.Host, Hostname: c.Host, Version: "HTTP", RemoteAddress: c.RemoteAddress, UserAgent: c.UserAgent,
		State: int32(protocol.StateClosing), ConnectTime: c.Since.Unix(), TLS: c.Secure,
	}
	if c.Polling {
		figures.State = int32(protocol.StateSubscribed)
	}
	return figures
}

// withConsumer adds what a client has consumed.
func withConsumer(figures ClientFigures, k *channel.ConsumerStats) ClientFigures {
	figures.ReadyCount = k.Ready
	figures.InFlightCount = int64(k.InFlight)
	figures.MessageCount = k.MessageCount
	figures.FinishCount = k.FinishCount
	figures.RequeueCount = k.RequeueCount
	return figures
}

// ofClient are the figures of any client.
func ofClient(c *server.Client) ClientFigures {
	figures := ClientFigures{
		ClientID:       c.ID,
		Hostname:       c.Hostname,
		Version:        "V2",
		RemoteAddress:  c.RemoteAddress,
		State:          int32(c.State),
		ConnectTime:    c.Since.Unix(),
		SampleRate:     int32(c.SampleRate),
		Deflate:        c.Deflate,
		Headers:        c.Headers,
		Snappy:         c.Snappy,
		UserAgent:      c.UserAgent,
		TopologyZone:   c.Zone,
		TopologyRegion: c.Region,
	}
	if t := c.TLS; t != nil {
		figures.TLS = true
		figures.TLSVersion, figures.TLSCipherSuite = t.Version, t.CipherSuite
		figures.TLSProtocol, figures.TLSProtocolBoth = t.Protocol, t.Mutual
	}
	if c.Identity != nil {
		figures.Authed = true
		figures.AuthIdentity, figures.AuthIdentityURL = c.Identity.Name, c.Identity.URL
	}
	for _, p := range c.Published {
		figures.PubCounts = append(figures.PubCounts, PubCount(p))
	}
	return figures
}
