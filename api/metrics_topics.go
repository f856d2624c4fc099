package api

import (
	"qmq/internal/histogram"
	"qmq/internal/metrics"
)

// otherTopics is the name under which the topics beyond the cap are summed, with their
// channels. A topic of that name is always among them.
const otherTopics = "other"

// of is a family of figures of type T, and where its value is.
type of[T any] struct {
	*metrics.Family
	value func(*T) float64
	// has says who has it; nil: all.
	has func(*T) bool
}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// of is the value, and whether it is there.
func (f *of[T]) of(figures *T) (v float64, ok bool) {
	if f.has != nil && !f.has(figures) {
		return 0, false
	}
	return f.value(figures), true
}

func replicated(t *TopicFigures) bool   { return t.Replica != nil }
func knowsDoubles(t *TopicFigures) bool { return t.Dedup != nil }

var topicLabel, channelLabels = []string{"topic"}, []string{"channel", "topic"}

// topicFamilies are those of each topic.
var topicFamilies = []of[TopicFigures]{
	{Family: &metrics.Family{Name: "qd_topic_messages_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Messages published; of a replicated topic at its leader, since it was made"},
		value: func(t *TopicFigures) float64 { return float64(t.MessageCount) }},
	{Family: &metrics.Family{Name: "qd_topic_message_bytes_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Bytes of their bodies"},
		value: func(t *TopicFigures) float64 { return float64(t.MessageBytes) }},
	{Family: &metrics.Family{Name: "qd_topic_dropped_messages_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Messages that were dropped for want of room, as `dropped_count` of `/stats`"},
		value: func(t *TopicFigures) float64 { return float64(t.Dropped) }},
	{Family: &metrics.Family{Name: "qd_topic_expired_messages_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Messages that were too old, as `expired_count` of `/stats`"},
		value: func(t *TopicFigures) float64 { return float64(t.Expired) }},
	{Family: &metrics.Family{Name: "qd_topic_depth_messages", Kind: metrics.Gauge, Labels: topicLabel, Help: "Messages that no channel was given yet: there is none, or the topic is paused"},
		value: func(t *TopicFigures) float64 { return float64(t.Depth) }},
	{Family: &metrics.Family{Name: "qd_topic_backend_depth_messages", Kind: metrics.Gauge, Labels: topicLabel, Help: "Those of them that are on the disk alone"},
		value: func(t *TopicFigures) float64 { return float64(t.BackendDepth) }},
	{Family: &metrics.Family{Name: "qd_topic_disk_bytes", Kind: metrics.Gauge, Labels: topicLabel, Help: "Bytes of the topic's segments on this node"},
		value: func(t *TopicFigures) float64 { return float64(t.DiskBytes) }},
	{Family: &metrics.Family{Name: "qd_topic_paused", Kind: metrics.Gauge, Labels: topicLabel, Help: "1 while the topic is paused"},
		value: func(t *TopicFigures) float64 { return truth(t.Paused) }},
	{Family: &metrics.Family{Name: "qd_topic_doubles_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Where doubles are known: messages that were OK'd and not stored, for their ids had come within `dedup_window`; of a replicated topic at its leader"}, has: knowsDoubles,
		value: func(t *TopicFigures) float64 { return float64(t.Dedup.Doubles) }},
	{Family: &metrics.Family{Name: "qd_topic_known_ids", Kind: metrics.Gauge, Labels: topicLabel, Help: "Where doubles are known: ids that are known, up to `dedup_max_ids`"}, has: knowsDoubles,
		value: func(t *TopicFigures) float64 { return float64(t.Dedup.IDs) }},
	{Family: &metrics.Family{Name: "qd_topic_evicted_ids_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Where doubles are known: ids that went before their time, for there were `dedup_max_ids`"}, has: knowsDoubles,
		value: func(t *TopicFigures) float64 { return float64(t.Dedup.Evicted) }},
	{Family: &metrics.Family{Name: "qd_topic_unwritten_ids_total", Kind: metrics.Counter, Labels: topicLabel, Help: "Where doubles are known: how often finished segments stayed on the disk, for the ids in them could not be written down; it is tried again each second"}, has: knowsDoubles,
		value: func(t *TopicFigures) float64 { return float64(t.Dedup.Unwritten) }},
	{Family: &metrics.Family{Name: "qd_topic_leader", Kind: metrics.Gauge, Labels: topicLabel, Help: "Of a replicated topic: 1 at the node that leads it, 0 at others"}, has: replicated,
		value: func(t *TopicFigures) float64 { return truth(t.Replica.Role == "leader") }},
	{Family: &metrics.Family{Name: "qd_topic_lag_entries", Kind: metrics.Gauge, Labels: topicLabel, Help: "Of a replicated topic: entries that this node knows to be agreed on and has not applied"}, has: replicated,
		value: func(t *TopicFigures) float64 { return float64(t.Replica.Lag) }},
}

// channelFamilies are those of each channel, but for its histograms.
var channelFamilies = []of[ChannelFigures]{
	{Family: &metrics.Family{Name: "qd_channel_messages_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages that came into the channel"},
		value: func(c *ChannelFigures) float64 { return float64(c.MessageCount) }},
	{Family: &metrics.Family{Name: "qd_channel_deliveries_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages handed out to consumers, each time anew"},
		value: func(c *ChannelFigures) float64 {
			return float64(c.ZoneLocalCount + c.RegionLocalCount + c.GlobalCount)
		}},
	{Family: &metrics.Family{Name: "qd_channel_requeues_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages that consumers gave back"},
		value: func(c *ChannelFigures) float64 { return float64(c.RequeueCount) }},
	{Family: &metrics.Family{Name: "qd_channel_timeouts_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages that consumers had for too long"},
		value: func(c *ChannelFigures) float64 { return float64(c.TimeoutCount) }},
	{Family: &metrics.Family{Name: "qd_channel_dropped_messages_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages that the topic had no room for"},
		value: func(c *ChannelFigures) float64 { return float64(c.DroppedCount) }},
	{Family: &metrics.Family{Name: "qd_channel_expired_messages_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages that were too old"},
		value: func(c *ChannelFigures) float64 { return float64(c.ExpiredCount) }},
	{Family: &metrics.Family{Name: "qd_channel_dead_lettered_messages_total", Kind: metrics.Counter, Labels: channelLabels, Help: "Messages that went to the dead-letter topic"},
		value: func(c *ChannelFigures) float64 { return float64(c.DeadLettered) }},
	{Family: &metrics.Family{Name: "qd_channel_dead_lettering_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Messages that wait to be published to the dead-letter topic, and are not delivered meanwhile"},
		value: func(c *ChannelFigures) float64 { return float64(c.DeadLettering) }},
	{Family: &metrics.Family{Name: "qd_channel_held_back_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Messages of an ordered channel that wait for others of their keys, of those that were looked at"},
		value: func(c *ChannelFigures) float64 { return float64(c.HeldBack) }},
	{Family: &metrics.Family{Name: "qd_channel_stopped_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Messages of an ordered channel that were delivered max_attempts times and stay, so that what comes after them waits"},
		value: func(c *ChannelFigures) float64 { return float64(c.Stopped) }},
	{Family: &metrics.Family{Name: "qd_channel_depth_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Messages that wait for a consumer"},
		value: func(c *ChannelFigures) float64 { return float64(c.Depth) }},
	{Family: &metrics.Family{Name: "qd_channel_backend_depth_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Those of them that are on the disk alone"},
		value: func(c *ChannelFigures) float64 { return float64(c.BackendDepth) }},
	{Family: &metrics.Family{Name: "qd_channel_in_flight_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Messages that consumers have and did not answer yet"},
		value: func(c *ChannelFigures) float64 { return float64(c.InFlightCount) }},
	{Family: &metrics.Family{Name: "qd_channel_deferred_messages", Kind: metrics.Gauge, Labels: channelLabels, Help: "Messages that are not due yet"},
		value: func(c *ChannelFigures) float64 { return float64(c.DeferredCount) }},
	{Family: &metrics.Family{Name: "qd_channel_consumers", Kind: metrics.Gauge, Labels: channelLabels, Help: "Consumers that are connected to this node"},
		value: func(c *ChannelFigures) float64 { return float64(c.ClientCount) }},
	{Family: &metrics.Family{Name: "qd_channel_paused", Kind: metrics.Gauge, Labels: channelLabels, Help: "1 while the channel is paused"},
		value: func(c *ChannelFigures) float64 { return truth(c.Paused) }},
	{Family: &metrics.Family{Name: "qd_channel_done", Kind: metrics.Gauge, Labels: channelLabels, Help: "1 when a bounded channel has had everything"},
		value: func(c *ChannelFigures) float64 { return truth(c.Done) }},
	{Family: &metrics.Family{Name: "qd_channel_rewinds_total", Kind: metrics.Counter, Labels: channelLabels, Help: "How often the channel was rewound"},
		value: func(c *ChannelFigures) float64 { return float64(c.RewindCount) }},
}

// The histograms of each channel.
var (
	handedOutSeconds = &metrics.Family{Name: "qd_channel_delivery_latency_seconds", Kind: metrics.Histogram, Labels: channelLabels,
		Help: "Time from publish until a message is handed out, each time anew; delays count too. None before the first"}
	doneSeconds = &metrics.Family{Name: "qd_channel_finish_latency_seconds", Kind: metrics.Histogram, Labels: channelLabels,
		Help: "Time from publish until a message is finished; delays count too. None before the first"}
)

// fillTopics adds the figures of topics: of those that have a place one by one, and of all
// others the sum.
func (c *collector) fillTopics(p *metrics.Page) {
	list := c.figures.all()
	c.topics.choose(list)
	rest := newRest()
	channels, ids := 0, int64(0)
	for _, t := range list {
		figures, ok := c.figures.ofNamed(t, Filter{})
		if !ok {
			continue
		}
		channels += len(figures.Channels)
		ids += figures.idBytes
		if c.topics.own[t.name] {
			addTopic(p, &figures)
		} else {
			rest.add(&figures)
		}
	}
	p.Add(nodeTopics, float64(len(list)), none)
	p.Add(nodeChannels, float64(channels), none)
	p.Add(nodeIDs, float64(ids), none)
	c.topics.addRest(p, rest)
}

func addTopic(p *metrics.Page, t *TopicFigures) {
	labels := metrics.LabelsOf("topic", t.Name)
	for i := range topicFamilies {
		if v, ok := topicFamilies[i].of(t); ok {
			p.Add(topicFamilies[i].Family, v, labels)
		}
	}
	for i := range t.Channels {
		ch := &t.Channels[i]
		labels := metrics.LabelsOf("channel", ch.Name, "topic", t.Name)
		for j := range channelFamilies {
			f := &channelFamilies[j]
			p.Add(f.Family, f.value(ch), labels)
		}
		addAges(p, handedOutSeconds, ch.handedOut, labels)
		addAges(p, doneSeconds, ch.done, labels)
	}
}

// addAges adds a histogram, if there is anything in it.
func addAges(p *metrics.Page, f *metrics.Family, h *histogram.Histogram, labels metrics.Labels) {
	if h == nil {
		return
	}
	var s histogram.Snapshot
	if h.AddTo(&s) {
		p.AddHistogram(f, &s, labels)
	}
}
