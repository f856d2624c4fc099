package config

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

const testHost = "node.example"

// declared lists the options like the golden file does.
func declared(t table) (lines []string) {
	for _, o := range t {
		key, typing := o.key, o.typing()
		if key == "" {
			key = "-"
		}
		def := typing.def
		if def == "" || def == `""` {
			def = "-"
		}
		lines = append(lines, strings.Join([]string{o.name, key, strings.ReplaceAll(typing.word, " ", "-"), def}, " | "))
	}
	return lines
}

func TestFlagsAreThoseOfNsqdAndSomeOfOurOwn(t *testing.T) {
	f, err := os.Open("testdata/nsqd-flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []string{
		"mem-queue-bytes | mem_queue_bytes | int | 268435456",
		"strict-config | strict_config | bool | false",
		"max-connections | max_connections | int | 0",
		"max-unfinished-bytes | max_unfinished_bytes | int | 268435456",
		"auth-timeout | auth_timeout | duration | 30s",
		"metrics-max-topics | metrics_max_topics | int | 1000",
		"sigterm | sigterm | word | stop",
		"drain-timeout | drain_timeout | duration | 10m",
		"min-free-bytes | min_free_bytes | int | 0",
		"min-free-percent | min_free_percent | int | 0",
		"max-http-leases | max_http_leases | int | 100000",
		"max-http-polls | max_http_polls | int | 1000",
		"max-topics | max_topics | int | 0",
		"max-channels | max_channels | int | 0",
		"allowed-host | allowed_hosts | list | -",
		"broadcast-address-for | broadcast_address_for | list | -",
		"http-peek | http_peek | bool | false",
		"auto-create | auto_create | bool | true",
		"import | import | word | on",
		"http-auth | http_auth | string | -",
		"socket-mode | socket_mode | string | -",
		"auth-verified-names | auth_verified_names | bool | false",
		"registration-secret-file | registration_secret_file | string | -",
		"otlp-endpoint | otlp_endpoint | string | -",
		"cluster-peers | cluster_peers | list | -",
		"cluster-address | cluster_address | string | -",
		"cluster-secret-file | cluster_secret_file | string | -",
		"cluster-tls-cert | cluster_tls_cert | string | -",
		"cluster-tls-key | cluster_tls_key | string | -",
		"cluster-tls-ca | cluster_tls_ca | string | -",
		"cluster-number | cluster_number | int | -1",
		"cluster-election-timeout | cluster_election_timeout | duration | 300ms",
		"replica-sync | replica_sync | word | always",
		"replicated-topics | replicated_topics | list | -",
		"cluster-log-bytes | cluster_log_bytes | int | 1073741824",
		"cluster-snapshot-rate | cluster_snapshot_rate | int | 209715200",
		"cluster-scrub-rate | cluster_scrub_rate | int | 4194304",
	}
	ours := len(want)
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := s.Text(); !strings.HasPrefix(line, "#") {
			columns := strings.Fields(line)
			want = append(want, strings.Join(append(columns[:3], strings.Join(columns[3:], " ")), " | "))
		}
	}
	if len(want) != 57+ours {
		t.Fatalf("the golden file has %d lines", len(want)-ours)
	}
	got := declared(tableOf(new(QD).declare(testHost)))
	slices.Sort(want)
	slices.Sort(got)
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("unexpected: %s", line)
		}
	}
}

func TestNamesAndKeysAreUniqueAndDefaultsAllowed(t *testing.T) {
	var q QD
	all := tableOf(q.declare(testHost))
	names, keys := map[string]bool{}, map[string]bool{}
	for _, o := range all {
		if names[o.name] || keys[o.key] {
			t.Errorf("--%s or %s is there twice", o.name, o.key)
		}
		names[o.name] = true
		keys[o.key] = o.key != ""
		if o.help == "" {
			t.Errorf("--%s has no help", o.name)
		}
		o.reset()
		if wrong := o.mistakes(); len(wrong) > 0 {
			t.Errorf("--%s: %v", o.name, wrong)
		}
	}
}

func TestOnlyTwoOptionsMayChangeWhileRunning(t *testing.T) {
	var live []string
	for _, o := range tableOf(new(QD).declare(testHost)) {
		if o.live {
			live = append(live, o.key)
		}
	}
	if got := strings.Join(live, " "); got != "log_level nsqlookupd_tcp_addresses" {
		t.Errorf("got %s", got)
	}
}

func TestUsageShowsEachOptionWithItsDefaultAndUnit(t *testing.T) {
	text := UsageQD("nsqd")
	if !strings.HasPrefix(text, "Usage: nsqd [flags]\n") {
		t.Errorf("it begins %.40q", text)
	}
	for _, o := range tableOf(new(QD).declare(testHost)) {
		if !strings.Contains(text, "\n  --"+o.name) {
			t.Errorf("--%s is missing", o.name)
		}
	}
	for _, want := range []string{
		"  --max-deflate-level level\n        highest compression level a client may ask for; in [1,9] (default 6)\n",
		"  --max-req-timeout duration\n        longest delay of a deferred or requeued message; 0 to 876000h (default 1h)\n",
		"; debug, info, warn, error or fatal; may be changed while running (default info)\n",
		"; may be repeated; may be changed while running; key nsqlookupd_tcp_addresses\n",
		"  --statsd-mem-stats\n        report memory and garbage collection too (default true)\n",
		"  --data-path directory\n        existing directory for messages and state; the current one if empty\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
