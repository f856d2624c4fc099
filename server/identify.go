package server

import (
	"encoding/json"
	"strings"

	"qmq/internal/version"
	"qmq/protocol"
)

// identify takes over what the client says of itself and what it asks for. It
// may come again until SUB; each time all of it is set anew.
func (s *session) identify(body []byte) error {
	s.conn.Out.MuteHeartbeats()
	request, fatal := protocol.ParseIdentify(body)
	if fatal != nil {
		return fatal
	}
	limits := s.tcp.o.identifyLimits()
	settings, fatal := request.Negotiate(limits)
	if fatal != nil {
		return fatal
	}
	if fatal := s.mayUpgrade(&settings); fatal != nil {
		return fatal
	}
	frame := []byte(protocol.OKFrame)
	if request.FeatureNegotiation {
		data, err := s.identifyAnswer(settings, limits, request)
		if err != nil {
			return protocol.IdentifyFailed(err.Error())
		}
		frame = protocol.AppendResponse(nil, data)
	}

	s.mu.Lock()
	s.client = clientInfo{
		id:        clip(request.ClientID),
		hostname:  clip(request.Hostname),
		userAgent: clip(request.UserAgent),
		zone:      clip(request.TopologyZone),
		region:    clip(request.TopologyRegion),
	}
	s.terms.sampleRate, s.terms.headers = settings.SampleRate, request.Headers
	s.mu.Unlock()
	s.tail, s.parser.Headers = request.Tail, request.Headers
	s.msgTimeout, s.defaultTimeout = settings.MsgTimeout, request.MsgTimeout == 0
	s.parser.NoHeartbeats = settings.HeartbeatInterval == 0
	if settings.TLS || settings.Snappy || settings.Deflate {
		s.upgrade = &settings
		return s.conn.Out.Write(frame) // the rest comes once the stream is another
	}
	return s.answerIdentify(frame, settings.HeartbeatInterval)
}

// maxInfo bounds, in bytes, each thing that is kept of what a client says
// of itself: a connection must not cost megabytes.
const maxInfo = 1024

func clip(text string) string {
	if len(text) <= maxInfo {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxInfo], ""))
}

// identifyAnswer is the JSON for a client that negotiates features.
func (s *session) identifyAnswer(settings protocol.Settings, limits protocol.IdentifyLimits, request *protocol.IdentifyRequest) ([]byte, error) {
	answer := settings.Response(limits)
	answer.Tail, answer.Headers = request.Tail, request.Headers
	answer.MaxRdyCount = s.tcp.o.MaxRdyCount
	answer.Version = version.Number
	answer.AuthRequired = s.tcp.o.Auth != nil
	answer.TopologyRegion, answer.TopologyZone = s.tcp.o.TopologyRegion, s.tcp.o.TopologyZone
	return json.Marshal(answer)
}
