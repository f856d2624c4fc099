package api

import (
	"log/slog"
	"net"
	"time"

	"qmq/internal/acceptloop"
	"qmq/internal/budget"
	"qmq/internal/httpapi"
	"qmq/internal/httpauth"
	"qmq/internal/tracing"
	"qmq/lease"
	"qmq/protocol"
	"qmq/server"
)

// Options are the limits of the API, who may use it, and what /info shows.
type Options struct {
	// MaxMsgSize is the longest body of one message in bytes.
	MaxMsgSize int
	// MaxBodySize is the longest body of /mpub in bytes.
	MaxBodySize int
	// MaxReqTimeout is the longest delay of /pub?defer= and /req?defer=.
	MaxReqTimeout time.Duration
	// MsgTimeout is how long a client of /sub has for a message unless it, or the
	// channel's settings, say otherwise; MaxMsgTimeout is the most that it may say.
	MsgTimeout, MaxMsgTimeout time.Duration
	// MaxRdyCount is how many messages a request of /sub may ask for.
	MaxRdyCount int64
	// MaxPolls is how many requests of /sub there may be at a time, MaxLeases how many
	// messages may be leased by them.
	MaxPolls, MaxLeases int
	// MaxKept is how many consumers of replicated topics wait for a further request of
	// their client at a time; 0: none does.
	MaxKept int

	// HTTPSRequired makes the API refuse requests without TLS.
	HTTPSRequired bool
	// Auth, if not nil, says who may use the API.
	Auth *httpauth.Credentials
	// Peek lets everybody peek. Without it and Auth, only who is on this machine
	// may: what messages say is for those who may consume them.
	Peek bool
	// ConsumeRefused, if not empty, is why nobody may consume over HTTP: sessions are
	// guarded, and the API is not.
	ConsumeRefused string
	// Sites say which web pages may use the API.
	Sites httpapi.Sites

	// Places are those of all connections, and Unfinished is the memory of what
	// has not all come yet, of the sessions too.
	Places     *acceptloop.Places
	Unfinished *budget.Budget

	Ports Ports
	Info  Info

	// Others are the other members of the set, which may have leased a message; nil: there
	// are none.
	Others lease.Others

	// Cluster is the set of replicas that the node is in; nil: none.
	Cluster Cluster

	// MetricsMaxTopics is how many topics have series of their own in /metrics; the others
	// are summed. ReplicaSet tells of the set that the node is in, for /metrics; nil: of none.
	MetricsMaxTopics int
	ReplicaSet       func() SetFigures

	// Tracer is told what becomes of publishes that are traced; nil: of none.
	Tracer *tracing.Tracer

	// Drain empties the node before it leaves; nil: there is no /drain.
	Drain Drain
	// Directories are those that /readyz wants the node to be registered with; nil: none.
	Directories Directories

	// Config is what /config shows and changes; nil: there is no /config.
	Config httpapi.Config

	Logger *slog.Logger
}

// Ports are where the listeners are; -1 for a listener without a port.
type Ports struct {
	TCP, HTTP int // as /info reports them
	HTTPS     int // as refusals of plain HTTP report it
}

// PortOf is the port of a listening address, -1 if it has none.
func PortOf(a net.Addr) int {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return -1
}

// Info is what /info shows beside the version, the start time and the ports.
type Info struct {
	BroadcastAddress, Hostname   string
	MaxHeartbeatInterval         time.Duration
	MaxOutputBufferSize          int // bytes
	MaxOutputBufferTimeout       time.Duration
	MaxDeflateLevel              int
	TopologyZone, TopologyRegion string
}

// The limits of those who consume over HTTP, unless they are told otherwise.
const (
	DefaultMaxPolls  = 1000
	DefaultMaxLeases = 100_000
)

// maxKept is the MaxKept of nodes without --max-channel-consumers: where there is that
// limit, who waits for nothing takes nobody's place.
const maxKept = 256

// OptionsFor are the options of an API beside sessions that have the options s: its
// limits are theirs, and what they share is shared.
func OptionsFor(s *server.Options) Options {
	kept := maxKept
	if s.MaxChannelConsumers > 0 {
		kept = 0
	}
	return Options{
		MaxMsgSize:    s.MaxMsgSize,
		MaxBodySize:   s.MaxBodySize,
		MaxReqTimeout: s.MaxReqTimeout,
		MsgTimeout:    s.MsgTimeout,
		MaxMsgTimeout: s.MaxMsgTimeout,
		MaxRdyCount:   s.MaxRdyCount,
		MaxPolls:      DefaultMaxPolls,
		MaxLeases:     DefaultMaxLeases,
		MaxKept:       kept,
		Places:        s.Places,
		Unfinished:    s.Unfinished,
		Tracer:        s.Tracer,
		Info: Info{
			MaxHeartbeatInterval:   s.MaxHeartbeatInterval,
			MaxOutputBufferSize:    s.MaxOutputBufferSize,
			MaxOutputBufferTimeout: s.MaxOutputBufferTimeout,
			MaxDeflateLevel:        s.MaxDeflateLevel,
			TopologyZone:           s.TopologyZone,
			TopologyRegion:         s.TopologyRegion,
		},
		Logger: s.Logger,
	}
}

// limits are what bounds a batch of messages.
func (o *Options) limits() protocol.Limits {
	return protocol.Limits{MaxMsgSize: int64(o.MaxMsgSize), MaxBodySize: int64(o.MaxBodySize)}
}
