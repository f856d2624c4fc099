package server

import (
	"iter"
	"slices"
	"strings"

	"qmq/channel"
	"qmq/internal/quantile"
	"qmq/topic"
)

// The answer to /stats. The order of the fields is that of the JSON keys,
// which readers of the text rely on.
type (
	statsAnswer struct {
		Version   string       `json:"version"`
		Health    string       `json:"health"`
		StartTime int64        `json:"start_time"`
		Topics    places       `json:"topics"` // of topicStats, null when an unknown one is asked for
		Memory    *memoryStats `json:"memory,omitempty"`
		Producers places       `json:"producers"` // of clientStats, null when there is none
		// Damage is Q's own: nsqd has no such key.
		Damage *damageStats `json:"damage,omitempty"`
	}

	// places are where an array goes that is made while it is sent: in the JSON
	// of the answer around it, it is null.
	places *struct{}

	topicStats struct {
		Name         string         `json:"topic_name"`
		Channels     []channelStats `json:"channels"`
		Depth        int64          `json:"depth"`
		BackendDepth int64          `json:"backend_depth"`
		MessageCount uint64         `json:"message_count"`
		MessageBytes uint64         `json:"message_bytes"`
		Dropped      uint64         `json:"dropped_count,omitempty"` // of an ephemeral topic
		Paused       bool           `json:"paused"`
		Latency      latencyStats   `json:"e2e_processing_latency"`
	}

	channelStats struct {
		Name          string `json:"channel_name"`
		Depth         int64  `json:"depth"`
		BackendDepth  int64  `json:"backend_depth"`
		InFlightCount int    `json:"in_flight_count"`
		DeferredCount int    `json:"deferred_count"`
		MessageCount  uint64 `json:"message_count"`
		// How many messages were given to consumers of the same zone, to others
		// of the same region, and to those from anywhere else.
		ZoneLocalCount   uint64 `json:"zone_local_msg_count,omitempty"`
		RegionLocalCount uint64 `json:"region_local_msg_count,omitempty"`
		GlobalCount      uint64 `json:"global_msg_count,omitempty"`

		RequeueCount uint64        `json:"requeue_count"`
		TimeoutCount uint64        `json:"timeout_count"`
		ClientCount  int           `json:"client_count"`
		Clients      []clientStats `json:"clients"`
		Paused       bool          `json:"paused"`
		Latency      latencyStats  `json:"e2e_processing_latency"`
	}

	clientStats struct {
		ClientID        string     `json:"client_id"`
		Hostname        string     `json:"hostname"`
		Version         string     `json:"version"`
		RemoteAddress   string     `json:"remote_address"`
		State           int32      `json:"state"`
		ReadyCount      int64      `json:"ready_count"`
		InFlightCount   int64      `json:"in_flight_count"`
		MessageCount    uint64     `json:"message_count"`
		FinishCount     uint64     `json:"finish_count"`
		RequeueCount    uint64     `json:"requeue_count"`
		ConnectTime     int64      `json:"connect_ts"`
		SampleRate      int32      `json:"sample_rate"`
		Deflate         bool       `json:"deflate"`
		Snappy          bool       `json:"snappy"`
		UserAgent       string     `json:"user_agent"`
		Authed          bool       `json:"authed,omitempty"`
		AuthIdentity    string     `json:"auth_identity,omitempty"`
		AuthIdentityURL string     `json:"auth_identity_url,omitempty"`
		TopologyZone    string     `json:"topology_zone"`
		TopologyRegion  string     `json:"topology_region"`
		PubCounts       []pubCount `json:"pub_counts,omitempty"`
		TLS             bool       `json:"tls"`
		TLSCipherSuite  string     `json:"tls_cipher_suite"`
		TLSVersion      string     `json:"tls_version"`
		TLSProtocol     string     `json:"tls_negotiated_protocol"`
		TLSProtocolBoth bool       `json:"tls_negotiated_protocol_is_mutual"`
	}

	pubCount struct {
		Topic string `json:"topic"`
		Count uint64 `json:"count"`
	}

	// latencyStats are percentiles of the times from publish to FIN; null when
	// none are wanted.
	latencyStats struct {
		Count       int64        `json:"count"`
		Percentiles []percentile `json:"percentiles"`
	}

	percentile struct {
		Quantile float64 `json:"quantile"`
		Value    int64   `json:"value"` // ns
	}
)

// statsFilter is what a caller of /stats wants to see.
type statsFilter struct {
	topic, channel string // empty for all
	clients        bool
}

// topicStats gathers the figures of the topics that pass the filter.
func (h *HTTP) topicStats(f statsFilter) []topicStats {
	topics, _ := h.eachTopic(f)
	return slices.Collect(topics)
}

// eachTopic are the figures of the topics that pass the filter, gathered one
// after the other; known is false when it names an unknown topic. Topics without
// the wanted channel are left out.
func (h *HTTP) eachTopic(f statsFilter) (stats iter.Seq[topicStats], known bool) {
	topics := h.broker.Topics()
	if f.topic != "" {
		t, ok := h.broker.Existing(f.topic)
		if !ok {
			return slices.Values[[]topicStats](nil), false
		}
		topics = []*topic.Topic{t}
	}
	return func(yield func(topicStats) bool) {
		for _, t := range topics {
			channels := t.Channels()
			if f.channel != "" {
				c, ok := t.ExistingChannel(f.channel)
				if !ok {
					continue
				}
				channels = []*channel.Channel{c}
			}
			if !yield(h.statsOfTopic(t, channels, f.clients)) {
				return
			}
		}
	}, true
}

func (h *HTTP) statsOfTopic(t *topic.Topic, channels []*channel.Channel, clients bool) topicStats {
	s := t.Stats()
	stats := topicStats{
		Name:         t.Name(),
		Channels:     make([]channelStats, 0, len(channels)),
		Depth:        s.Depth,
		BackendDepth: s.BackendDepth,
		MessageCount: s.MessageCount,
		MessageBytes: s.MessageBytes,
		Dropped:      s.Dropped,
		Paused:       s.Paused,
	}
	for _, c := range channels {
		stats.Channels = append(stats.Channels, h.statsOfChannel(t, c, clients))
	}
	if len(h.o.LatencyPercentiles) > 0 {
		stats.Latency = h.latencies(t.Channels()) // whatever channel is asked for
	}
	return stats
}

func (h *HTTP) statsOfChannel(t *topic.Topic, c *channel.Channel, clients bool) channelStats {
	s := c.Stats()
	stats := channelStats{
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
		ClientCount:      len(s.Consumers),
		Paused:           s.Paused,
	}
	if len(h.o.LatencyPercentiles) > 0 {
		stats.Latency = h.latencies([]*channel.Channel{c})
	}
	if clients {
		stats.Clients = make([]clientStats, 0, len(s.Consumers))
		for _, k := range s.Consumers {
			if session := h.tcp.session(k.ID); session != nil {
				stats.Clients = append(stats.Clients, session.consumerStats(k))
			}
		}
	}
	return stats
}

// latencies are the wanted percentiles over all messages that were finished in
// these channels; none without a channel.
func (h *HTTP) latencies(channels []*channel.Channel) (stats latencyStats) {
	if len(channels) == 0 {
		return stats
	}
	var all quantile.Sketch
	for _, c := range channels {
		c.AddLatencies(&all)
	}
	stats.Count = all.Count()
	for _, q := range h.o.LatencyPercentiles {
		stats.Percentiles = append(stats.Percentiles, percentile{Quantile: q, Value: all.Quantile(q)})
	}
	return stats
}

// eachProducer are the connections that have published, to the filtered topic
// if there is one.
func (h *HTTP) eachProducer(f statsFilter) iter.Seq[clientStats] {
	return func(yield func(clientStats) bool) {
		for _, s := range h.tcp.all() {
			stats := s.clientStats()
			if f.topic != "" {
				stats.PubCounts = slices.DeleteFunc(stats.PubCounts, func(p pubCount) bool { return p.Topic != f.topic })
			}
			if len(stats.PubCounts) > 0 && !yield(stats) {
				return
			}
		}
	}
}

// consumerStats is what /stats shows of a session that consumes.
func (s *session) consumerStats(k channel.ConsumerStats) clientStats {
	stats := s.clientStats()
	stats.ReadyCount = k.Ready
	stats.InFlightCount = int64(k.InFlight)
	stats.MessageCount = k.MessageCount
	stats.FinishCount = k.FinishCount
	stats.RequeueCount = k.RequeueCount
	return stats
}

// clientStats is what /stats shows of any session.
func (s *session) clientStats() clientStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := clientStats{
		ClientID:       s.client.id,
		Hostname:       s.client.hostname,
		Version:        "V2",
		RemoteAddress:  s.remote,
		State:          s.state.Load(),
		ConnectTime:    s.since.Unix(),
		UserAgent:      s.client.userAgent,
		TopologyZone:   s.client.zone,
		TopologyRegion: s.client.region,
	}
	s.terms.show(&stats)
	for topic, count := range s.published {
		stats.PubCounts = append(stats.PubCounts, pubCount{Topic: topic, Count: count})
	}
	slices.SortFunc(stats.PubCounts, func(a, b pubCount) int { return strings.Compare(a.Topic, b.Topic) })
	return stats
}
