package server

import (
	"crypto/tls"
	"log/slog"
	"time"

	"qmq/internal/acceptloop"
	"qmq/internal/auth"
	"qmq/internal/budget"
	"qmq/internal/tracing"
	"qmq/protocol"
)

// Options are the limits and defaults of the sessions.
type Options struct {
	// MaxMsgSize is the longest body of one message in bytes.
	MaxMsgSize int
	// MaxBodySize is the longest body of MPUB in bytes, and of IDENTIFY and AUTH,
	// which are never longer than 64 KiB.
	MaxBodySize int
	// MaxReqTimeout is the longest delay of DPUB and REQ. REQ is cut down to it,
	// DPUB is refused.
	MaxReqTimeout time.Duration

	// MsgTimeout is how long a consumer has for a message unless its IDENTIFY
	// says otherwise; MaxMsgTimeout is the most that it may say.
	MsgTimeout    time.Duration
	MaxMsgTimeout time.Duration

	// HeartbeatInterval is how often a client hears from the server unless its
	// IDENTIFY says otherwise; MaxHeartbeatInterval is the most that it may say.
	// A connection that says nothing for two intervals is closed.
	HeartbeatInterval    time.Duration
	MaxHeartbeatInterval time.Duration

	// MaxChannelConsumers is the broker's limit, for the text of the refusal.
	MaxChannelConsumers int

	// MaxRdyCount is the highest RDY count.
	MaxRdyCount int64

	// OutputBufferSize and OutputBufferTimeout are told to clients that ask for
	// no other; the Min and Max are what they may ask for. Messages are never
	// held back for either.
	OutputBufferSize       int
	MaxOutputBufferSize    int
	OutputBufferTimeout    time.Duration
	MinOutputBufferTimeout time.Duration
	MaxOutputBufferTimeout time.Duration

	// MagicTimeout is how long a new connection may take to say which protocol
	// it speaks.
	MagicTimeout time.Duration
	// HandshakeTimeout is how long a client may take for its TLS handshake.
	HandshakeTimeout time.Duration

	// AuthTimeout is how long a client may take, from its connection on, to be
	// known to the auth server; it counts only with Auth.
	AuthTimeout time.Duration
	// Tracer is told what becomes of messages that are traced; nil: nobody is.
	Tracer *tracing.Tracer
	// Unfinished is the memory of all commands that have not come in full, and of
	// batches that are being stored. Where it is used up, the largest are not
	// read on until there is room. What a connection holds below 64 KiB while it
	// reads does not count. The HTTP API shares it.
	Unfinished *budget.Budget
	// Places are those of all connections; the HTTP API shares them.
	Places *acceptloop.Places

	// TLS is for clients that ask for it; nil: none can have it. The server does
	// not change it.
	TLS *tls.Config
	// TLSRequired allows clients without TLS nothing but to ask for it.
	TLSRequired bool

	// Snappy and Deflate are offered to clients; MaxDeflateLevel, 1 to 9, is
	// the highest level that they may ask for.
	Snappy, Deflate bool
	MaxDeflateLevel int

	// Auth, if not nil, says which clients may do what.
	Auth *auth.Client
	// AuthVerifiedNames keeps names of certificates that nobody verified from
	// the auth servers.
	AuthVerifiedNames bool

	// TopologyRegion and TopologyZone say where this node is. With
	// TopologyAware, consumers of the same zone, and then of the same region,
	// come before others.
	TopologyRegion, TopologyZone string
	TopologyAware                bool

	Logger *slog.Logger
}

// defaultUnfinished is the default of --max-unfinished-bytes.
const defaultUnfinished = 256 << 20

// DefaultOptions are the limits and defaults of NSQ. They log to nowhere.
func DefaultOptions() Options {
	log := slog.New(slog.DiscardHandler)
	return Options{
		MaxMsgSize:             1 << 20,
		MaxBodySize:            5 << 20,
		MaxReqTimeout:          time.Hour,
		MsgTimeout:             time.Minute,
		MaxMsgTimeout:          15 * time.Minute,
		HeartbeatInterval:      30 * time.Second,
		MaxHeartbeatInterval:   time.Minute,
		MaxRdyCount:            2500,
		OutputBufferSize:       16 << 10,
		MaxOutputBufferSize:    64 << 10,
		OutputBufferTimeout:    250 * time.Millisecond,
		MinOutputBufferTimeout: 25 * time.Millisecond,
		MaxOutputBufferTimeout: 30 * time.Second,
		MagicTimeout:           time.Minute,
		HandshakeTimeout:       5 * time.Second,
		AuthTimeout:            30 * time.Second,
		Unfinished:             budget.New(defaultUnfinished),
		Places:                 acceptloop.NewPlaces(0, log),
		Snappy:                 true,
		Deflate:                true,
		MaxDeflateLevel:        protocol.DefaultDeflateLevel,
		Logger:                 log,
	}
}

// limits are what bounds one command.
func (o *Options) limits() protocol.Limits {
	return protocol.Limits{
		MaxMsgSize:    int64(o.MaxMsgSize),
		MaxBodySize:   int64(o.MaxBodySize),
		MaxRdyCount:   o.MaxRdyCount,
		MaxReqTimeout: o.MaxReqTimeout,
	}
}

// identifyLimits are what clients may ask for in IDENTIFY.
func (o *Options) identifyLimits() protocol.IdentifyLimits {
	return protocol.IdentifyLimits{
		HeartbeatInterval:      o.HeartbeatInterval,
		MaxHeartbeatInterval:   o.MaxHeartbeatInterval,
		OutputBufferSize:       o.OutputBufferSize,
		MaxOutputBufferSize:    o.MaxOutputBufferSize,
		OutputBufferTimeout:    o.OutputBufferTimeout,
		MinOutputBufferTimeout: o.MinOutputBufferTimeout,
		MaxOutputBufferTimeout: o.MaxOutputBufferTimeout,
		MsgTimeout:             o.MsgTimeout,
		MaxMsgTimeout:          o.MaxMsgTimeout,
		MaxDeflateLevel:        o.MaxDeflateLevel,
		TLS:                    o.TLS != nil,
		Snappy:                 o.Snappy,
		Deflate:                o.Deflate,
		Sampling:               true,
	}
}
