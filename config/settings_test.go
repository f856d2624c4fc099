package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// lookup is Lookup without what the value is sent as.
func lookup(s *Settings[QD], key string) (shown string, ok bool) {
	value, ok := s.Lookup(key)
	return fmt.Sprintf("%s", value), ok
}

func TestLookupRendersLikeNsqd(t *testing.T) {
	s := mustParse(t, "--tls-required=tcp-https", "--tls-cert=c", "--tls-key=k", "--tls-min-version=tls1.2", "--lookupd-tcp-address=a:1",
		"--broadcast-address=10.0.0.1", "--queue-scan-selection-count=9")
	s.Adjust(func(q *QD) { q.Listening(4150, 4151) })
	for key, want := range map[string]string{
		"id":                                 "622",
		"log_level":                          "2",
		"log_prefix":                         "[qd] ",
		"data_path":                          "",
		"msg_timeout":                        "60000000000",
		"max_msg_size":                       "1048576",
		"snappy":                             "true",
		"tls_required":                       "1",
		"tls_min_version":                    "771",
		"nsqlookupd_tcp_addresses":           `["a:1"]`,
		"auth_http_addresses":                `[]`,
		"e2e_processing_latency_percentiles": `[]`,
		"statsd_prefix":                      "nsq.10_0_0_1_4151.",
		"broadcast_tcp_port":                 "4150",
		"queue_scan_selection_count":         "9",
		"mem_queue_bytes":                    "268435456",
	} {
		if got, ok := lookup(s, key); !ok || got != want {
			t.Errorf("%s: got %q, %v", key, got, ok)
		}
	}
	for _, key := range []string{"", "version", "config", "verbose", "worker_id", "node_id", "log-level", "lookupd_tcp_address"} {
		if got, ok := s.Lookup(key); ok {
			t.Errorf("%q is %q", key, got)
		}
	}
}

func TestLookupTellsTextFromJSON(t *testing.T) {
	s := mustParse(t)
	for _, o := range s.table {
		if o.key == "" {
			continue
		}
		value, _ := s.Lookup(o.key)
		_, isText := value.(string)
		equal(t, o.key+" is text", isText, o.typing().word == "string")
		if data, isJSON := value.(json.RawMessage); !isText && (!isJSON || !json.Valid(data)) {
			t.Errorf("%s: got %#v", o.key, value)
		}
	}
}

func TestPrefixAndPortsAfterTheListenersAreOpen(t *testing.T) {
	for _, test := range []struct {
		prefix, want string
		port         int
	}{
		{"", "", 4151}, {"%s", "h_4151.", 4151}, {"a.%s.", "a.h_0.", -1}, {"%s/%s", "h_1/h_1.", 1}, {"plain", "plain.", 1},
	} {
		q := QD{BroadcastAddress: "h", StatsdPrefix: test.prefix}
		q.Listening(-1, test.port)
		equal(t, test.prefix, q.StatsdPrefix, test.want)
		equal(t, "TCP port of a unix socket", q.BroadcastTCPPort, 0)
	}
	q := QD{BroadcastTCPPort: 1, BroadcastHTTPPort: 2}
	q.Listening(4150, 4151)
	equal(t, "ports that were given", [2]int{q.BroadcastTCPPort, q.BroadcastHTTPPort}, [2]int{1, 2})
}

func TestSetChangesAndTellsTheObservers(t *testing.T) {
	s := mustParse(t, "--lookupd-tcp-address=a:1")
	before := s.Values()
	var told []string
	s.Observe(func(key string, now QD) {
		told = append(told, fmt.Sprintf("%s %v %v", key, now.LogLevel, now.LookupdTCPAddresses))
	})
	for _, step := range []struct{ key, body, want string }{
		{"log_level", "DEBUG", "1"},
		{"log_level", "fatal", "5"},
		{"nsqlookupd_tcp_addresses", ` ["b:2", "c:3"]`, `["b:2","c:3"]`},
		{"nsqlookupd_tcp_addresses", `null`, `[]`},
		{"nsqlookupd_tcp_addresses", `["d:4"]`, `["d:4"]`},
		{"nsqlookupd_tcp_addresses", `[]`, `[]`},
	} {
		if err := s.Set(step.key, []byte(step.body)); err != nil {
			t.Errorf("%s: %v", step.body, err)
		}
		if got, _ := lookup(s, step.key); got != step.want {
			t.Errorf("%s: got %s", step.body, got)
		}
	}
	equal(t, "observed", strings.Join(told, "\n"), strings.Join([]string{
		"log_level debug [a:1]",
		"log_level fatal [a:1]",
		"nsqlookupd_tcp_addresses fatal [b:2 c:3]",
		"nsqlookupd_tcp_addresses fatal []",
		"nsqlookupd_tcp_addresses fatal [d:4]",
		"nsqlookupd_tcp_addresses fatal []",
	}, "\n"))
	equal(t, "a copy taken before", before.LookupdTCPAddresses, []string{"a:1"})
	equal(t, "a copy taken before", before.LogLevel.String(), "info")
}

func TestSetRefusesWithoutChanging(t *testing.T) {
	s := mustParse(t, "--lookupd-tcp-address=a:1")
	s.Observe(func(key string, _ QD) { t.Errorf("%s is said to have changed", key) })
	for _, test := range []struct {
		key, body, text string
		want            error
	}{
		{"nonsense", "1", "", ErrUnknownOption},
		{"", "1", "", ErrUnknownOption},
		{"verbose", "true", "", ErrUnknownOption},
		{"max_msg_size", "1", "", ErrNotChangeable},
		{"auth_http_addresses", "[]", "", ErrNotChangeable},
		{"log_level", "loud", "log-level must be debug, info, warn, error or fatal, not \"loud\"", ErrInvalidValue},
		{"log_level", "debug\n", "", ErrInvalidValue},
		{"log_level", "", "", ErrInvalidValue},
		{"log_level", "1", "", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", "a:1", "lookupd-tcp-address must be a JSON array of strings or null", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", "", "", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", `"a:1"`, "", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", `[1]`, "", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", `[null]`, "", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", `["a"]`, "must be host:port each time, with a port of 1 to 65535, not a", ErrInvalidValue},
		{"nsqlookupd_tcp_addresses", `["a:1"] x`, "", ErrInvalidValue},
	} {
		if errors.Is(test.want, ErrInvalidValue) != s.Changeable(test.key) {
			t.Errorf("%q: changeable is %v", test.key, s.Changeable(test.key))
		}
		if err := s.Set(test.key, []byte(test.body)); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s %q: got %v", test.key, test.body, err)
		}
	}
	equal(t, "addresses", s.Values().LookupdTCPAddresses, []string{"a:1"})
	equal(t, "log level", s.Values().LogLevel.Level(), slog.LevelInfo)
}

func TestLookupAndSetAtTheSameTime(t *testing.T) {
	s := mustParse(t)
	last := ""
	s.Observe(func(_ string, now QD) { last = strings.Join(now.LookupdTCPAddresses, " ") + now.LogLevel.String() })
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for n := range 200 {
				if err := s.Set("nsqlookupd_tcp_addresses", fmt.Appendf(nil, `["h%d:%d"]`, i, n+1)); err != nil {
					t.Error(err)
				}
				if err := s.Set("log_level", []byte(logLevels[n%len(logLevels)].text)); err != nil {
					t.Error(err)
				}
			}
		})
		wait.Go(func() {
			for range 200 {
				if v, ok := lookup(s, "nsqlookupd_tcp_addresses"); !ok || v[0] != '[' {
					t.Errorf("got %q", v)
				}
				if q := s.Values(); q.LogLevel.String() == "" || len(q.LookupdTCPAddresses) > 1 {
					t.Errorf("got %+v", q)
				}
				s.Adjust(func(q *QD) { q.Listening(1, 2) })
			}
		})
	}
	wait.Wait()
	q := s.Values()
	equal(t, "what the observer was told last", last, strings.Join(q.LookupdTCPAddresses, " ")+q.LogLevel.String())
}

func TestLogLevelFiltersAsLeveler(t *testing.T) {
	var text strings.Builder
	s := mustParse(t, "--log-level=warn")
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: s.Values().LogLevel}))
	log.Info("unseen")
	log.Warn("seen")
	if strings.Contains(text.String(), "unseen") || !strings.Contains(text.String(), "seen") {
		t.Errorf("got %s", text.String())
	}
}
