package protocol

import (
	"encoding/json"
	"testing"
	"time"
)

// defaults are those of a server without options.
var defaults = IdentifyLimits{
	HeartbeatInterval: 30 * time.Second, MaxHeartbeatInterval: time.Minute,
	OutputBufferSize: 16384, MaxOutputBufferSize: 65536,
	OutputBufferTimeout: 250 * time.Millisecond, MinOutputBufferTimeout: 25 * time.Millisecond, MaxOutputBufferTimeout: 30 * time.Second,
	MsgTimeout: time.Minute, MaxMsgTimeout: 15 * time.Minute,
	MaxDeflateLevel: 6,
}

// everything is a server that offers all there is.
func everything() IdentifyLimits {
	l := defaults
	l.TLS, l.Snappy, l.Deflate, l.Sampling = true, true, true, true
	return l
}

func TestIdentifyDecodesWhatClientsSend(t *testing.T) {
	tests := []struct {
		body string
		want IdentifyRequest
	}{
		{`{}`, IdentifyRequest{}},
		{`null`, IdentifyRequest{}},
		{`{"client_id":null,"heartbeat_interval":null}`, IdentifyRequest{}},
		{`{"short_id":"a","long_id":"b","client_id":"c","unknown":{"x":[1.5]}}`, IdentifyRequest{ClientID: "c"}},
		{`{"Client_ID":"c","HOSTNAME":"h"}`, IdentifyRequest{ClientID: "c", Hostname: "h"}},
		{`{"hostname":"h","user_agent":"u","feature_negotiation":true,"heartbeat_interval":-1,"output_buffer_size":64,
		   "output_buffer_timeout":25,"tls_v1":true,"snappy":true,"deflate":true,"deflate_level":3,"sample_rate":42,
		   "msg_timeout":2000,"topology_region":"r","topology_zone":"z"}`,
			IdentifyRequest{Hostname: "h", UserAgent: "u", FeatureNegotiation: true, HeartbeatInterval: -1, OutputBufferSize: 64,
				OutputBufferTimeout: 25, TLSv1: true, Snappy: true, Deflate: true, DeflateLevel: 3, SampleRate: 42,
				MsgTimeout: 2000, TopologyRegion: "r", TopologyZone: "z"}},
	}
	for _, tt := range tests {
		got, err := ParseIdentify([]byte(tt.body))
		if err != nil || *got != tt.want {
			t.Errorf("%s: %+v, %v", tt.body, got, err)
		}
	}
}

func TestIdentifyOfWrongTypesIsRefused(t *testing.T) {
	for _, body := range []string{
		``, `{`, `[]`, `"x"`, `1`, `true`, `{} {}`, `{"heartbeat_interval":"1000"}`, `{"heartbeat_interval":1000.5}`,
		`{"heartbeat_interval":1e30}`, `{"sample_rate":4294967296}`, `{"client_id":1}`, `{"tls_v1":1}`, `{"msg_timeout":[]}`,
	} {
		_, err := ParseIdentify([]byte(body))
		if err == nil || err.Error() != "E_BAD_BODY IDENTIFY failed to decode JSON body" || !err.Fatal {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestIdentifyOutOfRangeIsRefused(t *testing.T) {
	tests := []struct{ body, want string }{
		{`{"heartbeat_interval":60001}`, "E_BAD_BODY IDENTIFY heartbeat interval (60001) is invalid"},
		{`{"heartbeat_interval":999}`, "E_BAD_BODY IDENTIFY heartbeat interval (999) is invalid"},
		{`{"heartbeat_interval":-2}`, "E_BAD_BODY IDENTIFY heartbeat interval (-2) is invalid"},
		{`{"heartbeat_interval":9223372036854775807}`, "E_BAD_BODY IDENTIFY heartbeat interval (9223372036854775807) is invalid"},
		{`{"output_buffer_timeout":24}`, "E_BAD_BODY IDENTIFY output buffer timeout (24) is invalid"},
		{`{"output_buffer_timeout":30001}`, "E_BAD_BODY IDENTIFY output buffer timeout (30001) is invalid"},
		{`{"output_buffer_timeout":-2}`, "E_BAD_BODY IDENTIFY output buffer timeout (-2) is invalid"},
		{`{"output_buffer_size":63}`, "E_BAD_BODY IDENTIFY output buffer size (63) is invalid"},
		{`{"output_buffer_size":65537}`, "E_BAD_BODY IDENTIFY output buffer size (65537) is invalid"},
		{`{"output_buffer_size":-2}`, "E_BAD_BODY IDENTIFY output buffer size (-2) is invalid"},
		{`{"sample_rate":100}`, "E_BAD_BODY IDENTIFY sample rate (100) is invalid"},
		{`{"sample_rate":-1}`, "E_BAD_BODY IDENTIFY sample rate (-1) is invalid"},
		{`{"msg_timeout":999}`, "E_BAD_BODY IDENTIFY msg timeout (999) is invalid"},
		{`{"msg_timeout":900001}`, "E_BAD_BODY IDENTIFY msg timeout (900001) is invalid"},
		{`{"msg_timeout":-1}`, "E_BAD_BODY IDENTIFY msg timeout (-1) is invalid"},
		// The checks have an order.
		{`{"heartbeat_interval":1,"output_buffer_timeout":1}`, "E_BAD_BODY IDENTIFY heartbeat interval (1) is invalid"},
		{`{"output_buffer_timeout":1,"output_buffer_size":1}`, "E_BAD_BODY IDENTIFY output buffer timeout (1) is invalid"},
		{`{"output_buffer_size":1,"sample_rate":100}`, "E_BAD_BODY IDENTIFY output buffer size (1) is invalid"},
		{`{"sample_rate":100,"msg_timeout":1}`, "E_BAD_BODY IDENTIFY sample rate (100) is invalid"},
		{`{"msg_timeout":1,"snappy":true,"deflate":true,"feature_negotiation":true}`, "E_BAD_BODY IDENTIFY msg timeout (1) is invalid"},
		{`{"snappy":true,"deflate":true,"feature_negotiation":true}`, "E_IDENTIFY_FAILED cannot enable both deflate and snappy compression"},
	}
	for _, tt := range tests {
		r, err := ParseIdentify([]byte(tt.body))
		if err != nil {
			t.Fatalf("%s: %v", tt.body, err)
		}
		_, err = r.Negotiate(everything())
		if err == nil || err.Error() != tt.want || !err.Fatal {
			t.Errorf("%s: got %v, want fatal %q", tt.body, err, tt.want)
		}
	}
	tight := defaults
	tight.MaxOutputBufferTimeout = time.Second
	_, err := (&IdentifyRequest{OutputBufferTimeout: 1001}).Negotiate(tight)
	if err == nil || err.Error() != "E_BAD_BODY IDENTIFY output buffer timeout (1001) is invalid" {
		t.Errorf("got %v", err)
	}
}

func TestNegotiatedSettings(t *testing.T) {
	base := Settings{HeartbeatInterval: 30 * time.Second, OutputBufferSize: 16384, OutputBufferTimeout: 250 * time.Millisecond,
		MsgTimeout: time.Minute, DeflateLevel: 6}
	with := func(change func(*Settings)) Settings {
		s := base
		change(&s)
		return s
	}
	low := everything()
	low.MaxDeflateLevel = 4
	tests := []struct {
		name string
		req  IdentifyRequest
		l    IdentifyLimits
		want Settings
	}{
		{"nothing asked", IdentifyRequest{}, defaults, base},
		{"no heartbeats", IdentifyRequest{HeartbeatInterval: -1}, defaults, with(func(s *Settings) { s.HeartbeatInterval = 0 })},
		{"slowest heartbeat", IdentifyRequest{HeartbeatInterval: 60000}, defaults, with(func(s *Settings) { s.HeartbeatInterval = time.Minute })},
		{"fastest heartbeat", IdentifyRequest{HeartbeatInterval: 1000}, defaults, with(func(s *Settings) { s.HeartbeatInterval = time.Second })},
		{"no timed flush", IdentifyRequest{OutputBufferTimeout: -1}, defaults, with(func(s *Settings) { s.OutputBufferTimeout = 0 })},
		{"flush time", IdentifyRequest{OutputBufferTimeout: 25}, defaults, with(func(s *Settings) { s.OutputBufferTimeout = 25 * time.Millisecond })},
		{"unbuffered has no timed flush", IdentifyRequest{OutputBufferSize: -1, OutputBufferTimeout: 100}, defaults,
			with(func(s *Settings) { s.OutputBufferSize, s.OutputBufferTimeout = 1, 0 })},
		{"buffer size", IdentifyRequest{OutputBufferSize: 65536}, defaults, with(func(s *Settings) { s.OutputBufferSize = 65536 })},
		{"message timeout", IdentifyRequest{MsgTimeout: 1000}, defaults, with(func(s *Settings) { s.MsgTimeout = time.Second })},
		{"sampling", IdentifyRequest{SampleRate: 99}, everything(), with(func(s *Settings) { s.SampleRate = 99 })},
		{"sampling is not offered", IdentifyRequest{SampleRate: 99}, defaults, base},
		{"upgrades are not offered", IdentifyRequest{FeatureNegotiation: true, TLSv1: true, Snappy: true, Deflate: true, DeflateLevel: 1}, defaults, base},
		{"no upgrade without negotiation", IdentifyRequest{TLSv1: true, Snappy: true, Deflate: true}, everything(), base},
		{"TLS and snappy", IdentifyRequest{FeatureNegotiation: true, TLSv1: true, Snappy: true, DeflateLevel: 1}, everything(),
			with(func(s *Settings) { s.TLS, s.Snappy = true, true })},
		{"deflate", IdentifyRequest{FeatureNegotiation: true, Deflate: true, DeflateLevel: 2}, everything(),
			with(func(s *Settings) { s.Deflate, s.DeflateLevel = true, 2 })},
		{"deflate at the default level", IdentifyRequest{FeatureNegotiation: true, Deflate: true, DeflateLevel: -1}, everything(),
			with(func(s *Settings) { s.Deflate = true })},
		{"deflate level is capped", IdentifyRequest{FeatureNegotiation: true, Deflate: true, DeflateLevel: 9}, low,
			with(func(s *Settings) { s.Deflate, s.DeflateLevel = true, 4 })},
	}
	for _, tt := range tests {
		if got, err := tt.req.Negotiate(tt.l); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestIdentifyResponseHasTheKeysInOrder(t *testing.T) {
	r := IdentifyRequest{FeatureNegotiation: true, TLSv1: true, OutputBufferSize: -1, SampleRate: 7}
	s, err := r.Negotiate(everything())
	if err != nil {
		t.Fatal(err)
	}
	response := s.Response(everything())
	response.MaxRdyCount, response.Version, response.TopologyRegion = 2500, "2.0.0", "r"
	got, _ := json.Marshal(response)
	const want = `{"max_rdy_count":2500,"version":"2.0.0","max_msg_timeout":900000,"msg_timeout":60000,"tls_v1":true,` +
		`"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":7,"auth_required":false,` +
		`"output_buffer_size":1,"output_buffer_timeout":0,"topology_region":"r","topology_zone":""}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
