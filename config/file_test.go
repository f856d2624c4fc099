package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCoercionsOfTOMLValues(t *testing.T) {
	for _, test := range []struct {
		line, key, want string // as GET /config shows it
	}{
		{`msg_timeout = "90s"`, "msg_timeout", "90000000000"},
		{`msg_timeout = 1500`, "msg_timeout", "1500000000"},
		{`msg_timeout = "1500"`, "msg_timeout", "1500000000"},
		{`max_rdy_count = 12`, "max_rdy_count", "12"},
		{`max_rdy_count = "12"`, "max_rdy_count", "12"},
		{`max_rdy_count = "010"`, "max_rdy_count", "10"},
		{`max_rdy_count = 0x10`, "max_rdy_count", "16"},
		{`id = "5"`, "id", "5"},
		{`deflate = false`, "deflate", "false"},
		{`deflate = "F"`, "deflate", "false"},
		{`log_level = "WARN"`, "log_level", "3"},
		{`topology_zone = 7`, "topology_zone", "7"},
		{`topology_zone = true`, "topology_zone", "true"},
		{`topology_zone = 1.5`, "topology_zone", "1.5"},
		{`tls_min_version = "tls1.3"`, "tls_min_version", "772"},
		{`tls_min_version = ""`, "tls_min_version", "771"},
		{`nsqlookupd_tcp_addresses = ["a:1", "b:2"]`, "nsqlookupd_tcp_addresses", `["a:1","b:2"]`},
		{`nsqlookupd_tcp_addresses = "a:1, b:2"`, "nsqlookupd_tcp_addresses", `["a:1","b:2"]`},
		{`nsqlookupd_tcp_addresses = []`, "nsqlookupd_tcp_addresses", `[]`},
		{`nsqlookupd_tcp_addresses = ""`, "nsqlookupd_tcp_addresses", `[]`},
		{`auth_http_addresses = "http://a/auth"`, "auth_http_addresses", `["http://a/auth"]`},
		{`e2e_processing_latency_percentiles = [0.5, 1.0, 0.99]`, "e2e_processing_latency_percentiles", `[1,0.99,0.5]`},
		{`e2e_processing_latency_percentiles = [1, 0.5]`, "e2e_processing_latency_percentiles", `[1,0.5]`},
		{`e2e_processing_latency_percentiles = "0.5, 0.95"`, "e2e_processing_latency_percentiles", `[0.95,0.5]`},
	} {
		s := mustParse(t, "--config", file(t, test.line))
		if got, ok := lookup(s, test.key); !ok || got != test.want {
			t.Errorf("%s: got %s", test.line, got)
		}
		if len(s.Warnings()) > 0 {
			t.Errorf("%s: %v", test.line, s.Warnings())
		}
	}
	for line, want := range map[string]TLSRequired{
		`tls_required = true`:        TLSRequiredAlways,
		`tls_required = "true"`:      TLSRequiredAlways,
		`tls_required = "tcp-https"`: TLSRequiredExceptHTTP,
		`tls_required = false`:       TLSNotRequired,
	} {
		s := mustParse(t, "--config", file(t, line, `tls_cert = "c"`, `tls_key = "k"`))
		equal(t, line, s.Values().TLSRequired, want)
	}
}

func TestTOMLValuesThatAreRefused(t *testing.T) {
	for _, line := range []string{
		`msg_timeout = 1.5`, `msg_timeout = true`, `msg_timeout = 9223372036854775807`, `max_rdy_count = "0x10"`, `max_rdy_count = true`,
		`deflate = 0`, `deflate = "maybe"`, `log_level = 2`, `log_level = ["info"]`, `topology_zone = 2026-01-02`, `topology_zone = {}`,
		`nsqlookupd_tcp_addresses = [1]`, `nsqlookupd_tcp_addresses = 1`, `e2e_processing_latency_percentiles = ["0.5", "x"]`,
		`e2e_processing_latency_percentiles = [[0.5]]`, `e2e_processing_latency_percentiles = true`, `e2e_processing_latency_percentiles = [nan]`,
		`tls_required = 2`, `tls_min_version = 1.2`, "[data_path]", "[[log_prefix]]",
	} {
		lines, _ := mistakesOf(t, "--config", file(t, "", line))
		if len(lines) != 1 || !strings.Contains(lines[0], "line 2") {
			t.Errorf("%s: %q", line, lines)
		}
	}
}

func TestWrongValueThatTheCommandLineReplacesIsAWarning(t *testing.T) {
	s := mustParse(t, "--config", file(t, `msg_timeout = "soon"`), "--msg-timeout=5s")
	equal(t, "msg-timeout", s.Values().MsgTimeout, 5*time.Second)
	if len(s.Warnings()) != 1 || !strings.Contains(s.Warnings()[0], `msg_timeout must be a duration`) {
		t.Errorf("got %v", s.Warnings())
	}
}

func TestUnknownKeysNameTheNearestOneAndTheLine(t *testing.T) {
	name := file(t,
		"# comment",
		`mem_queue_sise = 5`,
		`mem-queue-size = 5`,
		`node_id = 5`,
		`lookupd_tcp_address = "a:1"`,
		`Log_Level = "warn"`,
		`verbose = true`,
		`somebody_elses = 1`,
		`colour.of.it = 1`,
		"[nsqd]",
		"max_rdy_count = 1",
		"[nsqd.more]",
		"x = 1",
	)
	want := []string{
		`unknown key "mem_queue_sise" in line 2 of ` + name + `; did you mean "mem_queue_size"?`,
		`unknown key "mem-queue-size" in line 3 of ` + name + `; did you mean "mem_queue_size"?`,
		`unknown key "node_id" in line 4 of ` + name + `; did you mean "id"?`,
		`unknown key "lookupd_tcp_address" in line 5 of ` + name + `; did you mean "nsqlookupd_tcp_addresses"?`,
		`unknown key "Log_Level" in line 6 of ` + name + `; did you mean "log_level"?`,
		`unknown key "verbose" in line 7 of ` + name + `; it is only a flag`,
		`unknown key "somebody_elses" in line 8 of ` + name,
		`unknown key "colour" in ` + name,
		`unknown key "nsqd" in line 10 of ` + name,
	}
	s := mustParse(t, "--config", name)
	equal(t, "warnings", strings.Join(s.Warnings(), "\n"), strings.Join(want, "\n"))
	equal(t, "max-rdy-count", s.Values().MaxRdyCount, int64(2500))

	lines, err := mistakesOf(t, "--config", name, "--strict-config")
	for i, line := range lines {
		if line != "failed to load config file "+name+" - "+want[i] {
			t.Errorf("got %s", line)
		}
	}
	equal(t, "mistakes", len(err.(Mistakes)), len(want))
}

func TestManyUnknownKeysAreSummedUp(t *testing.T) {
	var lines []string
	for i := range maxUnknown + 7 {
		lines = append(lines, fmt.Sprintf("unheard_of_%d = %d", i, i))
	}
	name := file(t, append(lines, "max_rdy_count = 3")...)
	s := mustParse(t, "--config", name)
	warnings := s.Warnings()
	if len(warnings) != maxUnknown+1 || warnings[maxUnknown] != "7 more unknown keys in "+name {
		t.Errorf("got %q", warnings)
	}
	equal(t, "max-rdy-count", s.Values().MaxRdyCount, int64(3))
}

func FuzzTOML(f *testing.F) {
	for _, seed := range []string{
		"msg_timeout = 5\nsync_every = \"7\"\n",
		"nsqlookupd_tcp_addresses = [\"a:1\", 'b:2']\n[x]\ny.z = 1\n[[w]]\n",
		"a.b.c = {d = 1979-05-27, e = [[1], [{}]], f = inf}\n\"\" = 1\n",
		"e2e_processing_latency_percentiles = [1, 0.5, nan]\ntls_required = true",
		"\xef\xbb\xbflog_level = '''x'''",
		"data_path.x = 1\ndata_path.y = 2\n",
		"max_rdy_count = 0x\n",
		"[topic.\"a*\"]\nmax_age = \"1h\"\nsync = 1\n[channel.x]\nrate = 0.5\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		var q QD
		var r review
		options := tableOf(q.declare(testHost))
		for _, o := range options {
			o.reset()
		}
		unknown := options.readTOML("qd.toml", content, q.claim, &r)
		options.check(&r)
		if len(unknown) > maxUnknown+1 {
			t.Errorf("%d lines about unknown keys", len(unknown))
		}
		for _, o := range options {
			if o.render() == "" && o.typing().word != "string" {
				t.Errorf("%s shows nothing", o.key)
			}
		}
		for _, err := range r.mistakes {
			unknown = append(unknown, err.Error())
		}
		for _, text := range append(unknown, r.warnings...) {
			if strings.ContainsAny(text, "\n\r") {
				t.Errorf("more than a line: %q", text)
			}
		}
	})
}
