package protocol

import (
	"encoding/json"
	"time"
)

// IdentifyRequest is the body of IDENTIFY. Keys that are absent are zero.
type IdentifyRequest struct {
	ClientID            string `json:"client_id"`
	Hostname            string `json:"hostname"`
	UserAgent           string `json:"user_agent"`
	FeatureNegotiation  bool   `json:"feature_negotiation"`
	HeartbeatInterval   int    `json:"heartbeat_interval"`    // ms; 0 = default, -1 = none
	OutputBufferSize    int    `json:"output_buffer_size"`    // bytes; 0 = default, -1 = unbuffered
	OutputBufferTimeout int    `json:"output_buffer_timeout"` // ms; 0 = default, -1 = no timed flush
	TLSv1               bool   `json:"tls_v1"`
	Snappy              bool   `json:"snappy"`
	Deflate             bool   `json:"deflate"`
	DeflateLevel        int    `json:"deflate_level"` // <= 0 = default
	SampleRate          int32  `json:"sample_rate"`   // per cent; 0 = all
	MsgTimeout          int    `json:"msg_timeout"`   // ms; 0 = default
	TopologyRegion      string `json:"topology_region"`
	TopologyZone        string `json:"topology_zone"`
	// Tail refuses a SUB that would take messages away from others: see
	// topic.TailChannel.
	Tail bool `json:"tail"`
	// Headers asks for HPUB and HMPUB, and for headers with messages that have any.
	Headers bool `json:"headers"`
}

// ParseIdentify decodes the body of IDENTIFY. Unknown keys are ignored and null
// is an empty object; a value of the wrong type fails all of it.
func ParseIdentify(body []byte) (*IdentifyRequest, *Error) {
	r := new(IdentifyRequest)
	if json.Unmarshal(body, r) != nil {
		return nil, fatalf(CodeBadBody, "IDENTIFY failed to decode JSON body")
	}
	return r, nil
}

// DefaultDeflateLevel is the level for clients that ask for none.
const DefaultDeflateLevel = 6

const (
	minHeartbeatInterval = 1000 * time.Millisecond
	minMsgTimeout        = 1000 * time.Millisecond
	minOutputBufferSize  = 64
	maxSampleRate        = 99
)

// IdentifyLimits are the server's defaults and bounds for what a client may
// ask for, and what it can have.
type IdentifyLimits struct {
	HeartbeatInterval      time.Duration // default
	MaxHeartbeatInterval   time.Duration
	OutputBufferSize       int           // default, bytes
	MaxOutputBufferSize    int           // bytes
	OutputBufferTimeout    time.Duration // default
	MinOutputBufferTimeout time.Duration
	MaxOutputBufferTimeout time.Duration
	MsgTimeout             time.Duration // default
	MaxMsgTimeout          time.Duration
	MaxDeflateLevel        int

	// What the server offers; what it does not is answered with false or 0.
	TLS, Snappy, Deflate, Sampling bool
}

// Settings are what holds on a connection.
type Settings struct {
	HeartbeatInterval   time.Duration // 0 = no heartbeats
	OutputBufferSize    int           // bytes, at least 1
	OutputBufferTimeout time.Duration // 0 = no timed flush
	MsgTimeout          time.Duration
	SampleRate          int // per cent; 0 = all
	TLS                 bool
	Snappy              bool
	Deflate             bool
	DeflateLevel        int // what it is or would be, never 0
}

// Negotiate checks the request and says what holds from now on. The zero
// IdentifyRequest gives the settings of a client that sends no IDENTIFY. TLS
// and compression come only with feature_negotiation; everything else applies
// without it too.
func (r *IdentifyRequest) Negotiate(l IdentifyLimits) (Settings, *Error) {
	s := Settings{
		HeartbeatInterval:   l.HeartbeatInterval,
		OutputBufferSize:    l.OutputBufferSize,
		OutputBufferTimeout: l.OutputBufferTimeout,
		MsgTimeout:          l.MsgTimeout,
		DeflateLevel:        min(DefaultDeflateLevel, l.MaxDeflateLevel),
	}
	if err := r.negotiateHeartbeat(&s, &l); err != nil {
		return Settings{}, err
	}
	if err := r.negotiateOutput(&s, &l); err != nil {
		return Settings{}, err
	}
	if r.SampleRate < 0 || r.SampleRate > maxSampleRate {
		return Settings{}, errIdentify("sample rate", int(r.SampleRate))
	}
	if l.Sampling {
		s.SampleRate = int(r.SampleRate)
	}
	if r.MsgTimeout != 0 {
		if !within(r.MsgTimeout, minMsgTimeout, l.MaxMsgTimeout) {
			return Settings{}, errIdentify("msg timeout", r.MsgTimeout)
		}
		s.MsgTimeout = milliseconds(r.MsgTimeout)
	}
	if r.FeatureNegotiation {
		if err := r.negotiateUpgrade(&s, &l); err != nil {
			return Settings{}, err
		}
	}
	return s, nil
}

func (r *IdentifyRequest) negotiateHeartbeat(s *Settings, l *IdentifyLimits) *Error {
	switch v := r.HeartbeatInterval; {
	case v == 0:
	case v == -1:
		s.HeartbeatInterval = 0
	case within(v, minHeartbeatInterval, l.MaxHeartbeatInterval):
		s.HeartbeatInterval = milliseconds(v)
	default:
		return errIdentify("heartbeat interval", v)
	}
	return nil
}

// negotiateOutput settles the output buffer. Without a buffer there is nothing
// to flush by time.
func (r *IdentifyRequest) negotiateOutput(s *Settings, l *IdentifyLimits) *Error {
	switch v := r.OutputBufferTimeout; {
	case v == 0:
	case v == -1:
		s.OutputBufferTimeout = 0
	case within(v, l.MinOutputBufferTimeout, l.MaxOutputBufferTimeout):
		s.OutputBufferTimeout = milliseconds(v)
	default:
		return errIdentify("output buffer timeout", v)
	}
	switch v := r.OutputBufferSize; {
	case v == 0:
	case v == -1:
		s.OutputBufferSize, s.OutputBufferTimeout = 1, 0
	case v >= minOutputBufferSize && v <= l.MaxOutputBufferSize:
		s.OutputBufferSize = v
	default:
		return errIdentify("output buffer size", v)
	}
	return nil
}

func (r *IdentifyRequest) negotiateUpgrade(s *Settings, l *IdentifyLimits) *Error {
	s.TLS = r.TLSv1 && l.TLS
	s.Snappy = r.Snappy && l.Snappy
	s.Deflate = r.Deflate && l.Deflate
	if s.Snappy && s.Deflate {
		return fatalf(CodeIdentifyFailed, "cannot enable both deflate and snappy compression")
	}
	if s.Deflate && r.DeflateLevel > 0 {
		s.DeflateLevel = min(r.DeflateLevel, l.MaxDeflateLevel)
	}
	return nil
}

// within compares in ms, so that no request can overflow a duration.
func within(ms int, low, high time.Duration) bool {
	return int64(ms) >= low.Milliseconds() && int64(ms) <= high.Milliseconds()
}

func milliseconds(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

func errIdentify(setting string, value int) *Error {
	return fatalf(CodeBadBody, "IDENTIFY %s (%d) is invalid", setting, value)
}

// IdentifyResponse is the answer to an IDENTIFY with feature_negotiation; all
// others are answered OK. Durations are in ms.
type IdentifyResponse struct {
	MaxRdyCount         int64  `json:"max_rdy_count"`
	Version             string `json:"version"`
	MaxMsgTimeout       int64  `json:"max_msg_timeout"`
	MsgTimeout          int64  `json:"msg_timeout"`
	TLSv1               bool   `json:"tls_v1"`
	Deflate             bool   `json:"deflate"`
	DeflateLevel        int    `json:"deflate_level"`
	MaxDeflateLevel     int    `json:"max_deflate_level"`
	Snappy              bool   `json:"snappy"`
	SampleRate          int    `json:"sample_rate"`
	AuthRequired        bool   `json:"auth_required"`
	OutputBufferSize    int    `json:"output_buffer_size"`
	OutputBufferTimeout int64  `json:"output_buffer_timeout"`
	TopologyRegion      string `json:"topology_region"` // the server's
	TopologyZone        string `json:"topology_zone"`   // the server's
	// Tail is there, and true, for a client that asked for it.
	Tail bool `json:"tail,omitempty"`
	// Headers likewise.
	Headers bool `json:"headers,omitempty"`
}

// Response fills in what was negotiated under l. The caller adds what is the
// server's own: MaxRdyCount, Version, AuthRequired and the topology.
func (s *Settings) Response(l IdentifyLimits) IdentifyResponse {
	return IdentifyResponse{
		MaxMsgTimeout:       l.MaxMsgTimeout.Milliseconds(),
		MsgTimeout:          s.MsgTimeout.Milliseconds(),
		TLSv1:               s.TLS,
		Deflate:             s.Deflate,
		DeflateLevel:        s.DeflateLevel,
		MaxDeflateLevel:     l.MaxDeflateLevel,
		Snappy:              s.Snappy,
		SampleRate:          s.SampleRate,
		OutputBufferSize:    s.OutputBufferSize,
		OutputBufferTimeout: s.OutputBufferTimeout.Milliseconds(),
	}
}
