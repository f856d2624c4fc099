package admin

import (
	"math"
	"slices"
	"strings"
	"time"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
)

// These are the JSON shapes of nsqadmin's API, which scripts rely on. The order
// of the fields is that of the keys.

type scriptTopic struct {
	Node         string           `json:"node"` // * for all
	Hostname     string           `json:"hostname"`
	Topic        string           `json:"topic_name"`
	Depth        int64            `json:"depth"`
	MemoryDepth  int64            `json:"memory_depth"`
	BackendDepth int64            `json:"backend_depth"`
	Messages     int64            `json:"message_count"`
	Delivered    int64            `json:"delivery_msg_count"`
	ZoneLocal    int64            `json:"zone_local_msg_count,omitempty"`
	RegionLocal  int64            `json:"region_local_msg_count,omitempty"`
	Global       int64            `json:"global_msg_count,omitempty"`
	Nodes        []*scriptTopic   `json:"nodes"`
	Channels     []*scriptChannel `json:"channels"`
	Paused       bool             `json:"paused"`
	Latency      *scriptLatency   `json:"e2e_processing_latency"`
}

type scriptChannel struct {
	Node         string            `json:"node"`
	Hostname     string            `json:"hostname"`
	Topic        string            `json:"topic_name"`
	Channel      string            `json:"channel_name"`
	Depth        int64             `json:"depth"`
	MemoryDepth  int64             `json:"memory_depth"`
	BackendDepth int64             `json:"backend_depth"`
	InFlight     int64             `json:"in_flight_count"`
	Deferred     int64             `json:"deferred_count"`
	Requeued     int64             `json:"requeue_count"`
	TimedOut     int64             `json:"timeout_count"`
	Messages     int64             `json:"message_count"`
	Delivered    int64             `json:"delivery_msg_count,omitempty"`
	ZoneLocal    int64             `json:"zone_local_msg_count,omitempty"`
	RegionLocal  int64             `json:"region_local_msg_count,omitempty"`
	Global       int64             `json:"global_msg_count,omitempty"`
	ClientCount  int64             `json:"client_count"`
	Nodes        []*scriptChannel  `json:"nodes"`
	Clients      []*scriptConsumer `json:"clients"`
	Paused       bool              `json:"paused"`
	Latency      *scriptLatency    `json:"e2e_processing_latency"`
}

type scriptConsumer struct {
	Node            string        `json:"node"`
	RemoteAddress   string        `json:"remote_address"`
	Version         string        `json:"version"`
	ClientID        string        `json:"client_id"`
	Hostname        string        `json:"hostname"`
	UserAgent       string        `json:"user_agent"`
	ConnectTS       int64         `json:"connect_ts"`
	Connected       time.Duration `json:"connected"`
	InFlight        int64         `json:"in_flight_count"`
	Ready           int64         `json:"ready_count"`
	Finished        int64         `json:"finish_count"`
	Requeued        int64         `json:"requeue_count"`
	Messages        int64         `json:"message_count"`
	SampleRate      int64         `json:"sample_rate"`
	Deflate         bool          `json:"deflate"`
	Snappy          bool          `json:"snappy"`
	Authed          bool          `json:"authed"`
	AuthIdentity    string        `json:"auth_identity"`
	AuthIdentityURL string        `json:"auth_identity_url"`
	NodeRegion      string        `json:"node_topology_region,omitempty"`
	NodeZone        string        `json:"node_topology_zone,omitempty"`
	Region          string        `json:"topology_region,omitempty"`
	Zone            string        `json:"topology_zone,omitempty"`
	TLS             bool          `json:"tls"`
	CipherSuite     string        `json:"tls_cipher_suite"`
	TLSVersion      string        `json:"tls_version"`
	TLSProtocol     string        `json:"tls_negotiated_protocol"`
	TLSMutual       bool          `json:"tls_negotiated_protocol_is_mutual"`
}

type scriptLatency struct {
	Count       int64                `json:"count"`
	Percentiles []map[string]float64 `json:"percentiles"`
	Topic       string               `json:"topic"`
	Channel     string               `json:"channel"`
	Host        string               `json:"host"`
}

// newScriptTopic is a topic of one node.
func newScriptTopic(t *nodeclient.Topic, p *producer) *scriptTopic {
	topic := &scriptTopic{
		Node: p.id(), Hostname: p.Hostname, Topic: t.Name, Depth: t.Depth, MemoryDepth: t.Depth - t.BackendDepth,
		BackendDepth: t.BackendDepth, Messages: t.Messages, Paused: t.Paused, Channels: []*scriptChannel{}, Latency: newScriptLatency(t.Latency),
	}
	for i := range t.Channels {
		topic.Channels = append(topic.Channels, newScriptChannel(&t.Channels[i], t.Name, p))
	}
	return topic
}

func newScriptChannel(c *nodeclient.Channel, topic string, p *producer) *scriptChannel {
	channel := &scriptChannel{
		Node: p.id(), Hostname: p.Hostname, Topic: topic, Channel: c.Name, Depth: c.Depth, MemoryDepth: c.Depth - c.BackendDepth,
		BackendDepth: c.BackendDepth, InFlight: c.InFlight, Deferred: c.Deferred, Requeued: c.Requeued, TimedOut: c.TimedOut,
		Messages: c.Messages, Delivered: c.ZoneLocal + c.RegionLocal + c.Global, ZoneLocal: c.ZoneLocal, RegionLocal: c.RegionLocal, Global: c.Global,
		ClientCount: c.ClientCount, Paused: c.Paused, Latency: newScriptLatency(c.Latency),
	}
	if c.Clients != nil {
		channel.Clients = []*scriptConsumer{}
	}
	for i := range c.Clients {
		channel.Clients = append(channel.Clients, newScriptConsumer(&c.Clients[i], p))
	}
	return channel
}

func newScriptConsumer(k *nodeclient.Consumer, p *producer) *scriptConsumer {
	connected := time.Now().Truncate(time.Second).Sub(time.Unix(k.ConnectTime, 0))
	return &scriptConsumer{
		p.id(), k.RemoteAddress, k.Version, k.ID, k.Hostname, k.UserAgent, k.ConnectTime, connected,
		k.InFlight, k.ReadyCount, k.Finished, k.Requeued, k.Messages, k.SampleRate, k.Deflate, k.Snappy,
		k.Authed, k.AuthIdentity, k.AuthIdentityURL, p.TopologyRegion, p.TopologyZone, k.Region, k.Zone,
		k.TLS, k.TLSCipherSuite, k.TLSVersion, k.TLSProtocol, k.TLSProtocolMutual,
	}
}

func newScriptLatency(l nodeclient.Latency) *scriptLatency {
	latency := &scriptLatency{Count: l.Count}
	for _, p := range l.Percentiles {
		latency.Percentiles = append(latency.Percentiles, map[string]float64{
			"quantile": p.Quantile, "value": p.Value, "min": p.Value, "max": p.Value, "average": p.Value, "count": float64(l.Count),
		})
	}
	return latency
}

// add merges the percentiles of one more node.
func (l *scriptLatency) add(o *scriptLatency) {
	l.Host = "*"
	l.Count += o.Count
	for _, more := range o.Percentiles {
		i := slices.IndexFunc(l.Percentiles, func(have map[string]float64) bool { return have["quantile"] == more["quantile"] })
		if i < 0 {
			l.Percentiles = append(l.Percentiles, map[string]float64{
				"quantile": more["quantile"], "min": more["min"], "max": more["max"], "average": more["average"], "count": more["count"],
			})
			continue
		}
		p := l.Percentiles[i]
		p["min"], p["max"] = math.Min(p["min"], more["min"]), math.Max(p["max"], more["max"])
		if n := p["count"] + more["count"]; n > 0 {
			p["average"] += (more["average"] - p["average"]) * more["count"] / n
			p["count"] = n
		}
	}
}

// sumOfTopics is a topic over all nodes.
func sumOfTopics(name string, nodes []*scriptTopic) *scriptTopic {
	sum := &scriptTopic{Topic: name, Channels: []*scriptChannel{}, Latency: &scriptLatency{Topic: name}}
	channels := make(map[string][]*scriptChannel)
	slices.SortFunc(nodes, func(a, b *scriptTopic) int {
		return strings.Compare(a.Hostname+"\x00"+a.Node, b.Hostname+"\x00"+b.Node)
	})
	for _, t := range nodes {
		sum.Node = "*"
		sum.Depth += t.Depth
		sum.MemoryDepth += t.MemoryDepth
		sum.BackendDepth += t.BackendDepth
		sum.Messages += t.Messages
		sum.Paused = sum.Paused || t.Paused
		sum.Nodes = append(sum.Nodes, t)
		sum.Latency.add(t.Latency)
		for _, c := range t.Channels {
			channels[c.Channel] = append(channels[c.Channel], c)
		}
	}
	for _, channel := range words.Sorted(channels) {
		sum.Channels = append(sum.Channels, sumOfChannels(name, channel, channels[channel]))
	}
	return sum
}

// sumOfChannels is a channel over all nodes.
func sumOfChannels(topic, name string, nodes []*scriptChannel) *scriptChannel {
	sum := &scriptChannel{Node: "*", Topic: topic, Channel: name, Latency: &scriptLatency{Topic: topic, Channel: name}}
	for _, c := range nodes {
		sum.Depth += c.Depth
		sum.MemoryDepth += c.MemoryDepth
		sum.BackendDepth += c.BackendDepth
		sum.InFlight += c.InFlight
		sum.Deferred += c.Deferred
		sum.Requeued += c.Requeued
		sum.TimedOut += c.TimedOut
		sum.Messages += c.Messages
		sum.Delivered += c.Delivered
		sum.ZoneLocal += c.ZoneLocal
		sum.RegionLocal += c.RegionLocal
		sum.Global += c.Global
		sum.ClientCount += c.ClientCount
		sum.Paused = sum.Paused || c.Paused
		sum.Nodes = append(sum.Nodes, c)
		sum.Clients = append(sum.Clients, c.Clients...)
		sum.Latency.add(c.Latency)
	}
	slices.SortStableFunc(sum.Clients, func(a, b *scriptConsumer) int {
		return strings.Compare(a.Node+"\x00"+a.Hostname, b.Node+"\x00"+b.Hostname)
	})
	return sum
}
