package api

import "qmq/internal/histogram"

// The figures as /stats shows them. The order of the fields is that of the JSON
// keys, which readers of the text rely on.
type (
	// TopicFigures are those of a topic and its channels.
	TopicFigures struct {
		Name         string           `json:"topic_name"`
		Channels     []ChannelFigures `json:"channels"`
		Depth        int64            `json:"depth"`
		BackendDepth int64            `json:"backend_depth"`
		MessageCount uint64           `json:"message_count"`
		MessageBytes uint64           `json:"message_bytes"`
		Dropped      uint64           `json:"dropped_count,omitempty"` // messages that there was no room for
		Expired      uint64           `json:"expired_count,omitempty"` // messages that were too old
		Paused       bool             `json:"paused"`
		Latency      Latencies        `json:"e2e_processing_latency"`
		Replica      *ReplicaFigures  `json:"replica,omitempty"` // of a replicated topic
		DiskBytes    int64            `json:"disk_bytes"`        // of its segments on this node
		Dedup        *DedupFigures    `json:"dedup,omitempty"`   // where doubles are known; of a replicated topic at its leader
		Settings     *TopicConfig     `json:"config,omitempty"`  // if it is asked for

		idBytes int64 // of memory on this node, of the ids by which doubles are known
	}

	// DedupFigures tell what is known of doubles. The counters start with the process.
	DedupFigures struct {
		Doubles uint64 `json:"double_count"`  // messages that were OK'd and not stored
		IDs     int    `json:"ids"`           // that are known
		MaxIDs  int    `json:"max_ids"`       // that may be
		Evicted uint64 `json:"evicted_count"` // ids that went before their time: there were max_ids
		Window  int64  `json:"window_ms"`     // how long an id is known
		Oldest  int64  `json:"oldest_ms"`     // when the oldest came, ms since 1970; 0: none is known
		Bytes   int64  `json:"bytes"`         // of memory
		// Unwritten is how often finished segments stayed on the disk, for the ids in them could
		// not be written down.
		Unwritten uint64 `json:"unwritten_count"`
	}

	// ReplicaFigures tell what the node is for a replicated topic.
	ReplicaFigures struct {
		Role    string `json:"role"`    // leader or follower
		Shard   uint32 `json:"shard"`   // that the topic is in
		Leader  string `json:"leader"`  // the node that serves the topic; empty when none is known
		Term    uint64 `json:"term"`    // of the leader
		Applied uint64 `json:"applied"` // index of the last entry that the node has applied
		Lag     uint64 `json:"lag"`     // entries that it knows to be committed and has not applied
	}

	// ChannelFigures are those of a channel. Its clients may be left out.
	ChannelFigures struct {
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

		RequeueCount uint64          `json:"requeue_count"`
		TimeoutCount uint64          `json:"timeout_count"`
		DroppedCount uint64          `json:"dropped_count,omitempty"` // messages that the topic had no room for
		ExpiredCount uint64          `json:"expired_count,omitempty"` // messages that were too old
		ClientCount  int             `json:"client_count"`
		Clients      []ClientFigures `json:"clients"`
		Paused       bool            `json:"paused"`
		Latency      Latencies       `json:"e2e_processing_latency"`
		Settings     *ChannelConfig  `json:"config,omitempty"` // if it is asked for

		// DeadLettered messages went to the dead-letter topic since the process began,
		// DeadLettering ones wait for that and are not delivered; the error is why they
		// cannot be published, if that failed last.
		DeadLettered  uint64 `json:"dead_lettered_count,omitempty"`
		DeadLettering int    `json:"dead_lettering_count,omitempty"`
		// HeldBack messages, of the depth, wait for others of their keys, of those that were looked
		// at; Stopped ones are given up, and hold back what comes after them.
		HeldBack        int    `json:"held_back_count,omitempty"`
		Stopped         int    `json:"stopped_count,omitempty"`
		DeadLetterError string `json:"dead_letter_error,omitempty"`

		ReadyCount int64 `json:"ready_count,omitempty"` // RDY of all consumers

		// Until is the number at which a bounded channel ends, Done says that it has had
		// everything before; Then is "delete" where it goes once it has, and has no consumers.
		// A follower of a replicated topic tells of these three and RewoundAt what it has
		// applied. RewoundAt is when the channel was rewound last, ms since 1970,
		// RewindCount how often since the process began.
		Until       uint64 `json:"until,omitempty"`
		Done        bool   `json:"done,omitempty"`
		Then        string `json:"then,omitempty"`
		RewoundAt   uint64 `json:"rewound_at,omitempty"`
		RewindCount uint64 `json:"rewind_count,omitempty"`

		// How long messages took until they were handed out and finished; nil before the
		// first, and where another node serves the channel.
		handedOut, done *histogram.Histogram
	}

	// ClientFigures are those of a connected client.
	ClientFigures struct {
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
		Headers         bool       `json:"headers,omitempty"` // negotiated
		Snappy          bool       `json:"snappy"`
		UserAgent       string     `json:"user_agent"`
		Authed          bool       `json:"authed,omitempty"`
		AuthIdentity    string     `json:"auth_identity,omitempty"`
		AuthIdentityURL string     `json:"auth_identity_url,omitempty"`
		TopologyZone    string     `json:"topology_zone"`
		TopologyRegion  string     `json:"topology_region"`
		PubCounts       []PubCount `json:"pub_counts,omitempty"`
		TLS             bool       `json:"tls"`
		TLSCipherSuite  string     `json:"tls_cipher_suite"`
		TLSVersion      string     `json:"tls_version"`
		TLSProtocol     string     `json:"tls_negotiated_protocol"`
		TLSProtocolBoth bool       `json:"tls_negotiated_protocol_is_mutual"`
	}

	// PubCount is how many messages a client has published to a topic.
	PubCount struct {
		Topic string `json:"topic"`
		Count uint64 `json:"count"`
	}

	// Latencies are percentiles of the times from publish to FIN; null when
	// none are wanted.
	Latencies struct {
		Count       int64        `json:"count"`
		Percentiles []Percentile `json:"percentiles"`
	}

	// Percentile is one of Latencies.
	Percentile struct {
		Quantile float64 `json:"quantile"`
		Value    int64   `json:"value"` // ns
	}
)
