package nodeclient

// Stats are a node's figures. Counters start at 0 with its process.
type Stats struct {
	Version   string
	Health    string  // OK, or what is wrong
	StartTime int64   // s since 1970
	Topics    []Topic // sorted by name as the node sorts them; nil if it does not know the topic that was asked for
	HeapInUse int64   // bytes; -1 when memory was not asked for
	Damage    *Damage // nil when the node reports none
	Draining  bool    // it refuses publishes, and leaves when its consumers have emptied it
	// DiskFree and DiskUsed are the room on its file system in bytes; nil where it does
	// not tell.
	DiskFree, DiskUsed *int64
	// OpenFiles are the descriptors that its process has open, MaxOpenFiles those that it
	// may have; 0 where it does not tell, or memory was not asked for.
	OpenFiles, MaxOpenFiles int64
}

// Damage is what a qd found amiss on its disk and nobody acknowledged.
type Damage struct {
	Messages     int64       `json:"messages"` // that are lost
	JournalBytes int64       `json:"journal_bytes"`
	Last         int64       `json:"last"` // number of the newest finding; 0 where a node tells of none
	Findings     []Finding   `json:"findings"`
	Older        []DamageSum `json:"older"` // what the list has no room for
}

// Finding is one thing that is amiss.
type Finding struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Topic    string `json:"topic"`
	Channel  string `json:"channel"`
	Messages int64  `json:"messages"`
	Path     string `json:"path"`
	Copy     string `json:"copy"`
	Time     int64  `json:"time"` // s since 1970
	Text     string `json:"text"`
}

// DamageSum counts findings of a kind.
type DamageSum struct {
	Kind     string `json:"kind"`
	Findings int64  `json:"findings"`
	Messages int64  `json:"messages"`
}

// Topic are the figures of a topic on one node.
type Topic struct {
	Name         string
	Channels     []Channel
	Depth        int64
	BackendDepth int64 // the part of Depth that is on disk only
	Messages     int64 // published since the node's start
	Bytes        int64 // of their bodies
	Paused       bool
	Latency      Latency
	Replica      Replica
	DiskBytes    int64 // of its segments; -1 where a node does not tell
	Doubles      int64 // publishes since the node's start that were OK'd and not stored
}

// Replica is what the node is for a topic that is replicated. Only the leader tells what
// there is in it; each node tells of the clients that are connected to it.
type Replica struct {
	Role   string // leader or follower; empty: the topic is not replicated
	Leader string // as members name it; empty: none is known
	Shard  uint32
	Term   uint64 // of the leader
	Lag    uint64 // entries that the node knows to be committed and has not applied
}

// Channel are the figures of a channel on one node.
type Channel struct {
	Name         string
	Depth        int64
	BackendDepth int64
	InFlight     int64
	Deferred     int64
	Messages     int64 // copied in since the node's start
	Requeued     int64
	TimedOut     int64
	ZoneLocal    int64 // deliveries by how far they went, where a node tells
	RegionLocal  int64
	Global       int64
	ClientCount  int64
	Ready        int64      // RDY of all consumers; 0 also where a node does not tell
	Clients      []Consumer // nil when not asked for
	Paused       bool
	Latency      Latency
	// DeadLettered messages went to the dead-letter topic, DeadLettering ones wait for that.
	DeadLettered, DeadLettering int64
	// HeldBack messages, of the depth, wait for others of their keys; Stopped ones are given
	// up, and hold back what comes after them.
	HeldBack, Stopped int64
	// Until is the number at which a bounded channel ends, Done says that it has had
	// everything before, Leaves that it is deleted then; RewoundAt is when it was rewound
	// last, ms since 1970, 0: never.
	Until, RewoundAt int64
	Done, Leaves     bool
}

// Latency is the time from publish to FIN over the node's window.
type Latency struct {
	Count       int64
	Percentiles []Percentile // nil where the node measures none
}

// Percentile is one of them.
type Percentile struct {
	Quantile float64 // of (0,1]
	Value    float64 // ns
}

// Consumer is a client that reads a channel.
type Consumer struct {
	ID, Hostname, Version, RemoteAddress string
	ReadyCount, InFlight                 int64
	Messages, Finished, Requeued         int64
	ConnectTime                          int64 // s since 1970
	SampleRate                           int64
	Deflate, Snappy                      bool
	UserAgent                            string
	Authed                               bool
	AuthIdentity, AuthIdentityURL        string
	Zone, Region                         string
	TLS                                  bool
	TLSCipherSuite, TLSVersion           string
	TLSProtocol                          string
	TLSProtocolMutual                    bool
}

// maxNames is how many names a decoder remembers before it starts anew.
const maxNames = 100_000

// Decoder reads /stats again and again, and keeps one string for each name.
// It is not for concurrent use. Its zero value is ready.
type Decoder struct {
	names            map[string]string
	topics, channels int // of the last answer: what room to take
}

// Decode reads the JSON of one /stats answer. An answer that is not that of a
// node of ours or of NSQ's 1.x is an error.
func (d *Decoder) Decode(body []byte) (*Stats, error) {
	if d.names == nil || len(d.names) > maxNames {
		d.names = make(map[string]string)
	}
	r := reading{Decoder: d, scanner: scanner{b: body}, arena: make([]Channel, 0, d.channels)}
	stats := &Stats{HeapInUse: -1}
	if r.peek() != '{' {
		r.fail("an object")
	}
	r.object(func(key []byte) {
		if string(key) == "data" { // around the answers of versions before 1.0
			r.object(func(key []byte) { r.member(stats, key) })
		} else {
			r.member(stats, key)
		}
	})
	if err := r.end(); err != nil {
		return nil, err
	}
	d.topics, d.channels = len(stats.Topics), len(r.arena)
	return stats, nil
}

// reading is the decoding of one answer.
type reading struct {
	*Decoder
	scanner
	arena []Channel // all channels, of which each topic has a part
}

func (r *reading) name() string {
	text := r.text()
	if name, ok := r.names[string(text)]; ok {
		return name
	}
	name := string(text)
	r.names[name] = name
	return name
}

func (r *reading) member(s *Stats, key []byte) {
	switch string(key) {
	case "version":
		s.Version = r.name()
	case "health":
		s.Health = r.name()
	case "start_time":
		s.StartTime = r.whole()
	case "topics":
		topics := make([]Topic, 0, r.topics)
		if !r.array(func() { topics = append(topics, r.topic()) }) {
			s.Topics = topics
		}
	case "memory":
		r.object(func(key []byte) {
			if string(key) == "heap_in_use_bytes" {
				s.HeapInUse = r.whole()
			} else {
				r.skip()
			}
		})
	case "damage":
		s.Damage = r.damage()
	case "draining":
		s.Draining = r.truth()
	case "disk_free_bytes":
		s.DiskFree = new(r.whole())
	case "open_files":
		s.OpenFiles = r.whole()
	case "max_open_files":
		s.MaxOpenFiles = r.whole()
	case "disk_used_bytes":
		s.DiskUsed = new(r.whole())
	default:
		r.skip()
	}
}

func (r *reading) topic() (t Topic) {
	t.DiskBytes = -1
	r.object(func(key []byte) {
		switch string(key) {
		case "topic_name":
			t.Name = r.name()
		case "channels":
			first := len(r.arena)
			r.array(func() { r.arena = append(r.arena, r.channel()) })
			t.Channels = r.arena[first:len(r.arena):len(r.arena)]
		case "depth":
			t.Depth = r.whole()
		case "backend_depth":
			t.BackendDepth = r.whole()
		case "message_count":
			t.Messages = r.whole()
		case "message_bytes":
			t.Bytes = r.whole()
		case "paused":
			t.Paused = r.truth()
		case "e2e_processing_latency":
			t.Latency = r.latency()
		case "replica":
			t.Replica = r.replica()
		case "disk_bytes":
			t.DiskBytes = r.whole()
		case "dedup":
			r.object(func(key []byte) {
				if string(key) == "double_count" {
					t.Doubles = r.whole()
				} else {
					r.skip()
				}
			})
		default:
			r.skip()
		}
	})
	return t
}

func (r *reading) replica() (s Replica) {
	r.object(func(key []byte) {
		switch string(key) {
		case "role":
			s.Role = r.name()
		case "leader":
			s.Leader = r.name()
		case "shard":
			s.Shard = uint32(r.whole())
		case "term":
			s.Term = uint64(r.whole())
		case "lag":
			s.Lag = uint64(r.whole())
		default:
			r.skip()
		}
	})
	return s
}

func (r *reading) channel() (c Channel) {
	r.object(func(key []byte) {
		switch string(key) {
		case "channel_name":
			c.Name = r.name()
		case "depth":
			c.Depth = r.whole()
		case "backend_depth":
			c.BackendDepth = r.whole()
		case "in_flight_count":
			c.InFlight = r.whole()
		case "deferred_count":
			c.Deferred = r.whole()
		case "message_count":
			c.Messages = r.whole()
		case "requeue_count":
			c.Requeued = r.whole()
		case "timeout_count":
			c.TimedOut = r.whole()
		case "dead_lettered_count":
			c.DeadLettered = r.whole()
		case "dead_lettering_count":
			c.DeadLettering = r.whole()
		case "held_back_count":
			c.HeldBack = r.whole()
		case "stopped_count":
			c.Stopped = r.whole()
		case "until":
			c.Until = r.whole()
		case "done":
			c.Done = r.truth()
		case "then":
			c.Leaves = r.name() == "delete"
		case "rewound_at":
			c.RewoundAt = r.whole()
		case "zone_local_msg_count":
			c.ZoneLocal = r.whole()
		case "region_local_msg_count":
			c.RegionLocal = r.whole()
		case "global_msg_count":
			c.Global = r.whole()
		case "client_count":
			c.ClientCount = r.whole()
		case "ready_count":
			c.Ready = r.whole()
		case "clients":
			consumers := []Consumer{}
			if !r.array(func() { consumers = append(consumers, r.client()) }) {
				c.Clients = consumers
			}
		case "paused":
			c.Paused = r.truth()
		case "e2e_processing_latency":
			c.Latency = r.latency()
		default:
			r.skip()
		}
	})
	c.ClientCount = max(c.ClientCount, int64(len(c.Clients))) // versions before 1.2 do not tell
	return c
}

func (r *reading) latency() (l Latency) {
	r.object(func(key []byte) {
		switch string(key) {
		case "count":
			l.Count = r.whole()
		case "percentiles":
			r.array(func() {
				var p Percentile
				r.object(func(key []byte) {
					switch string(key) {
					case "quantile":
						p.Quantile = r.fraction()
					case "value":
						p.Value = r.fraction()
					default:
						r.skip()
					}
				})
				l.Percentiles = append(l.Percentiles, p)
			})
		default:
			r.skip()
		}
	})
	return l
}

// client is read by a table: there are many keys, and few clients.
func (r *reading) client() (c Consumer) {
	texts := map[string]*string{
		"client_id": &c.ID, "hostname": &c.Hostname, "version": &c.Version, "remote_address": &c.RemoteAddress,
		"user_agent": &c.UserAgent, "auth_identity": &c.AuthIdentity, "auth_identity_url": &c.AuthIdentityURL,
		"topology_zone": &c.Zone, "topology_region": &c.Region, "tls_cipher_suite": &c.TLSCipherSuite,
		"tls_version": &c.TLSVersion, "tls_negotiated_protocol": &c.TLSProtocol,
	}
	numbers := map[string]*int64{
		"ready_count": &c.ReadyCount, "in_flight_count": &c.InFlight, "message_count": &c.Messages,
		"finish_count": &c.Finished, "requeue_count": &c.Requeued, "connect_ts": &c.ConnectTime, "sample_rate": &c.SampleRate,
	}
	truths := map[string]*bool{
		"deflate": &c.Deflate, "snappy": &c.Snappy, "authed": &c.Authed, "tls": &c.TLS,
		"tls_negotiated_protocol_is_mutual": &c.TLSProtocolMutual,
	}
	r.object(func(key []byte) {
		if at, ok := texts[string(key)]; ok {
			*at = string(r.text())
		} else if at, ok := numbers[string(key)]; ok {
			*at = r.whole()
		} else if at, ok := truths[string(key)]; ok {
			*at = r.truth()
		} else {
			r.skip()
		}
	})
	return c
}
