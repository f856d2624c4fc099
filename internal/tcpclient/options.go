package tcpclient

import (
	"crypto/tls"
	"time"

	"qmq/protocol"
)

// Options say how to connect to a node. The zero value connects in clear, with
// the node's defaults.
type Options struct {
	UserAgent          string
	ClientID, Hostname string

	TLS     *tls.Config // nil: in clear. ServerName is filled in from the address.
	Snappy  bool
	Deflate int    // level of 1 to 9; 0: none
	Secret  string // of AUTH; sent to nodes that want it

	DialTimeout  time.Duration // of the connection and its handshakes; 0: 5 s
	WriteTimeout time.Duration // of one write; 0: 30 s

	HeartbeatInterval   time.Duration // 0: the node's
	OutputBufferSize    int           // bytes; 0: the node's
	OutputBufferTimeout time.Duration // 0: the node's
	MsgTimeout          time.Duration // 0: the node's
	SampleRate          int           // per cent; 0: all

	// Tail has the node refuse a subscription that would take messages away from
	// others. A node that does not know how to is not subscribed to.
	Tail bool
}

const (
	defaultDialTimeout  = 5 * time.Second
	defaultWriteTimeout = 30 * time.Second
)

func (o *Options) dialTimeout() time.Duration {
	if o.DialTimeout > 0 {
		return o.DialTimeout
	}
	return defaultDialTimeout
}

func (o *Options) writeTimeout() time.Duration {
	if o.WriteTimeout > 0 {
		return o.WriteTimeout
	}
	return defaultWriteTimeout
}

// identify is the body of IDENTIFY.
func (o *Options) identify() protocol.IdentifyRequest {
	return protocol.IdentifyRequest{
		ClientID: o.ClientID, Hostname: o.Hostname, UserAgent: o.UserAgent,
		FeatureNegotiation:  true,
		HeartbeatInterval:   int(o.HeartbeatInterval.Milliseconds()),
		OutputBufferSize:    o.OutputBufferSize,
		OutputBufferTimeout: int(o.OutputBufferTimeout.Milliseconds()),
		TLSv1:               o.TLS != nil,
		Snappy:              o.Snappy,
		Deflate:             o.Deflate > 0, DeflateLevel: o.Deflate,
		SampleRate: int32(o.SampleRate),
		MsgTimeout: int(o.MsgTimeout.Milliseconds()),
		Tail:       o.Tail,
		Headers:    true,
	}
}
