package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, args ...string) *Settings[QD] {
	t.Helper()
	s, err := parse[QD](args, testHost)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mistakesOf returns the lines of what is wrong.
func mistakesOf(t *testing.T, args ...string) (lines []string, err error) {
	t.Helper()
	s, err := parse[QD](args, testHost)
	var m Mistakes
	if !errors.As(err, &m) || s != nil {
		t.Fatalf("got %v, %v", s, err)
	}
	return strings.Split(err.Error(), "\n"), err
}

// file writes a configuration file and returns its name.
func file(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "qd.toml")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestWaysToWriteFlags(t *testing.T) {
	s := mustParse(t, "-tcp-address", "127.0.0.1:1", "--http-address=", "-msg-timeout=1h30m", "--sync-every", "0x10",
		"--snappy=F", "-verbose", "--log-level=WARN", "--log-level=Error", "--log-prefix", "-x-", "--statsd-prefix=h=1", "--broadcast-address=[::1]")
	q := s.Values()
	equal(t, "tcp-address", q.TCPAddress, "127.0.0.1:1")
	equal(t, "http-address", q.HTTPAddress, "")
	equal(t, "msg-timeout", q.MsgTimeout, 90*time.Minute)
	equal(t, "sync-every", q.SyncEvery, int64(16))
	equal(t, "snappy", q.Snappy, false)
	equal(t, "log-level", q.LogLevel.String(), "error")
	equal(t, "log-prefix", q.LogPrefix, "-x-")
	equal(t, "statsd-prefix", q.StatsdPrefix, "h=1")
	equal(t, "broadcast-address", q.BroadcastAddress, "::1")
}

// TestStrayWordDropsNoFlagInSilence: what stands behind it may be what keeps
// somebody out.
func TestStrayWordDropsNoFlagInSilence(t *testing.T) {
	for args, want := range map[string]string{
		"--snappy false --sync-every=1 --http-auth=x -data-path y": `unexpected argument "false", which would drop what follows it: --sync-every, --http-auth, --data-path; the value of a switch follows =, as in --name=false`,
		"stray":                       `unexpected argument "stray"`,
		"--max-rdy-count=1 stray x":   `unexpected argument "stray"`,
		"-":                           `unexpected argument "-"`,
		"-- --http-auth=x":            `unexpected argument "--http-auth=x", which would drop what follows it: --http-auth`,
		"stray --nonsense --http-a=s": `unexpected argument "stray", which would drop what follows it: --nonsense, --http-a`,
		"--log-prefix --http-auth=x":  `flag needs an argument: --log-prefix; --http-auth follows it (a value that looks like a flag is written --log-prefix=VALUE)`,
	} {
		lines, err := mistakesOf(t, strings.Fields(args)...)
		if !errors.Is(err, ErrUsage) || !slices.Equal(lines, []string{want}) {
			t.Errorf("%s: got %q", args, lines)
		}
	}
	if lines, _ := mistakesOf(t, "", "--http-auth=x"); !slices.Equal(lines, []string{`unexpected argument "", which would drop what follows it: --http-auth`}) {
		t.Errorf("an empty argument: %q", lines)
	}
	equal(t, "-- at the end", mustParse(t, "--max-rdy-count=1", "--").Values().MaxRdyCount, int64(1))
	equal(t, "a value with a dash", mustParse(t, "--log-prefix", "-x-", "--topology-zone=--http-auth").Values().TopologyZone, "--http-auth")
}

func TestEmptyValueOpensNoDoor(t *testing.T) {
	one := func(err error, flag string) {
		t.Helper()
		var m Mistakes
		if !errors.As(err, &m) || errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), "--"+flag+" must not be empty") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	for _, flag := range []string{"http-auth", "auth-http-address", "tls-cert", "tls-key", "tls-root-ca-file"} {
		for _, value := range []string{"", " "} {
			_, err := parse[QD]([]string{"--" + flag + "=" + value}, testHost)
			one(err, flag)
		}
	}
	for line, flag := range map[string]string{
		`http_auth = ""`: "http-auth", `auth_http_addresses = []`: "auth-http-address", `auth_http_addresses = ["a:1", ""]`: "auth-http-address", `tls_cert = ""`: "tls-cert",
	} {
		_, err := parse[QD]([]string{"--config", file(t, line)}, testHost)
		one(err, flag)
	}
	for _, flag := range []string{"users-file", "admin-user", "http-client-auth-file"} {
		_, err := parse[QAdmin]([]string{"--nsqd-http-address=127.0.0.1:1", "--" + flag + "="}, testHost)
		one(err, flag)
	}
	_, err := parse[QAdmin]([]string{"--nsqd-http-address=127.0.0.1:1", "--admin-user=ann", "--admin-user="}, testHost)
	one(err, "admin-user")
	for _, arg := range []string{"--http-address=", "--statsd-address=", "--data-path=", "--tls-client-auth-policy=", "--topology-zone="} {
		mustParse(t, arg) // as nsqd does
	}
}

func TestPathByMistakeIsWarnedAbout(t *testing.T) {
	for arg, want := range map[string]string{
		"--tcp-address=5150":                   "--tcp-address=5150 has no host:port and is taken as the path of a unix socket; did you mean :5150? (./5150 is always a path)",
		"--http-address=localhost":             "--http-address=localhost has no host:port and is taken as the path of a unix socket; did you mean localhost:PORT? (./localhost is always a path)",
		"--http-address=./5151":                "",
		"--tcp-address=/run/qd":                "",
		"--tcp-address=qd.sock":                "",
		"--http-address=":                      "",
		"--tcp-address=[::1]:4150":             "",
		"--https-address=unresolved.host:4152": "",
	} {
		if got := strings.Join(mustParse(t, arg).Warnings(), "\n"); got != want {
			t.Errorf("%s: %s", arg, got)
		}
	}
}

func TestBooleansTakeNoSeparateValue(t *testing.T) {
	certificate := []string{"--tls-cert=c", "--tls-key=k"}
	for arg, want := range map[string]TLSRequired{
		"--tls-required":           TLSRequiredAlways,
		"-tls-required=TRUE":       TLSRequiredAlways,
		"--tls-required=0":         TLSNotRequired,
		"--tls-required=tcp-https": TLSRequiredExceptHTTP,
		"--tls-required=TCP-HTTPS": TLSRequiredExceptHTTP,
	} {
		equal(t, arg, mustParse(t, append(certificate, arg)...).Values().TLSRequired, want)
	}
	for _, arg := range []string{"--deflate", "--tls-required"} {
		if _, err := mistakesOf(t, append(certificate, arg, "tcp-https")...); !errors.Is(err, ErrUsage) {
			t.Errorf("%s with a separate value: %v", arg, err)
		}
	}
}

func TestListsAreRepeatedFlags(t *testing.T) {
	name := file(t, `nsqlookupd_tcp_addresses = ["x:1"]`, `e2e_processing_latency_percentiles = [0.5]`)
	q := mustParse(t, "--config", name, "--lookupd-tcp-address=a:1", "-lookupd-tcp-address", "b:2",
		"--auth-http-address=u,v", "--e2e-processing-latency-percentile=0.5, 0.99", "--e2e-processing-latency-percentile=0.75").Values()
	equal(t, "lookupd", q.LookupdTCPAddresses, []string{"a:1", "b:2"})
	equal(t, "auth", q.AuthHTTPAddresses, []string{"u,v"})
	equal(t, "percentiles", q.E2ELatencyPercentiles, []float64{0.99, 0.75, 0.5})
}

func TestCommandLineBeforeFileBeforeDefault(t *testing.T) {
	name := file(t, "max_rdy_count = 7", "sync_every = 8", `log_prefix = "f "`, "strict_config = true")
	s := mustParse(t, "--sync-every=9", "--config="+name, "--log-prefix=")
	q := s.Values()
	equal(t, "from the file", q.MaxRdyCount, int64(7))
	equal(t, "from the command line", q.SyncEvery, int64(9))
	equal(t, "emptied on the command line", q.LogPrefix, "")
	equal(t, "default", q.MaxMsgSize, 1<<20)
	for flag, want := range map[string]bool{"max-rdy-count": true, "sync-every": true, "max-msg-size": false, "nonsense": false} {
		equal(t, flag, s.Given(flag), want)
	}
}

func TestVersionComesBeforeTheFile(t *testing.T) {
	if q := mustParse(t, "--config=/does/not/exist", "--version").Values(); !q.ShowVersion {
		t.Error("the version is not asked for")
	}
	if _, err := mistakesOf(t, "--version", "--nonsense"); !errors.Is(err, ErrUsage) {
		t.Errorf("got %v", err)
	}
}

func TestHelpIsNoMistakeUnlessOneCameBefore(t *testing.T) {
	for _, arg := range []string{"-h", "--help", "-help=x"} {
		if _, err := parse[QD]([]string{"--verbose", arg, "--nonsense"}, testHost); !errors.Is(err, ErrHelp) || errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if _, err := parse[QD]([]string{"--nonsense", "--help"}, testHost); errors.Is(err, ErrHelp) || !errors.Is(err, ErrUsage) {
		t.Errorf("got %v", err)
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	name := file(t,
		`max_deflate_level = 12`,
		`msg_timeout = "soon"`,
		`nsqlookupd_tcp_addresses = ["nohost"]`,
		`max_msg_size = 5.5`,
		`snappy = 1`,
		`statsd_prefix = ["a"]`,
	)
	got, err := mistakesOf(t, "--nope=1", "--msg-timeot", "5s", "--sync-timeout=never", "---x", "--max-rdy-count=99999999999999999999",
		"--config", name, "--node-id=1024", "--auth-http-request-method=put", "--e2e-processing-latency-percentile=0.5,1.5",
		"--data-path=/does/not/exist", "--tcp-address=", "--max-bytes-per-file=1024", "--sync-every=-1",
		"--min-output-buffer-timeout=2s", "--max-output-buffer-timeout=1s", "--tls-required", "--tls-min-version=ssl3.0",
		"--max-req-timeout=-1s", "--mem-queue-size")
	want := []string{
		`flag provided but not defined: --nope`,
		`flag provided but not defined: --msg-timeot; did you mean --msg-timeout?`,
		`invalid value "never" for flag --sync-timeout: must be a duration such as 250ms or 1h30m (in the config file also a whole number of ms)`,
		`bad flag syntax: ---x`,
		`invalid value "99999999999999999999" for flag --max-rdy-count: must be a whole number`,
		`invalid value "ssl3.0" for flag --tls-min-version: must be tls1.0, tls1.1, tls1.2 or tls1.3`,
		`flag needs an argument: --mem-queue-size`,
		`failed to load config file ` + name + ` - line 2: msg_timeout must be a duration such as 250ms or 1h30m (in the config file also a whole number of ms), not "soon"`,
		`failed to load config file ` + name + ` - line 4: max_msg_size must be a whole number, not 5.5`,
		`failed to load config file ` + name + ` - line 5: snappy must be true or false, not 1`,
		`failed to load config file ` + name + ` - line 6: statsd_prefix must be a string, not an array`,
		`--node-id must be in [0,1024), not 1024`,
		`--tcp-address must be host:port or the path of a unix socket, not ""`,
		`--max-bytes-per-file must be in [65536,2147483648], not 1024`,
		`--sync-every must be at least 0, not -1`,
		`--max-req-timeout must be 0 to 876000h, not -1s`,
		`--max-deflate-level must be in [1,9], not 12 (max_deflate_level in line 1 of ` + name + `)`,
		`--auth-http-request-method must be post or get, not put`,
		`--lookupd-tcp-address must be host:port each time, with a port of 1 to 65535, not nohost (nsqlookupd_tcp_addresses in line 3 of ` + name + `)`,
		`invalid E2E processing latency percentile: 1.5 (must be in (0,1])`,
		`--min-output-buffer-timeout must be at most --max-output-buffer-timeout (1s), not 2s`,
		`cannot require TLS client connections without TLS key and cert`,
		`--data-path must be an existing directory: /does/not/exist`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !errors.Is(err, ErrUsage) {
		t.Error("the kinds of the mistakes are hidden")
	}
}

func TestValueOutOfRangeIsNoUsageError(t *testing.T) {
	for _, arg := range []string{"--node-id=-1", "--max-deflate-level=0", "--config=/does/not/exist", "--auth-http-request-method=GET",
		"--tls-cert=c", "--tls-key=k", "--tls-required=tcp-https", "--tls-client-auth-policy=require", "--statsd-address=host",
		"--msg-timeout=0", "--statsd-interval=0s", "--max-body-size=0", "--lookupd-tcp-address=", "--auth-http-address="} {
		lines, err := mistakesOf(t, arg)
		if errors.Is(err, ErrUsage) || len(lines) != 1 {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestUnreadableFileIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.toml")
	long := file(t, strings.Repeat("#", maxFileSize+1))
	broken := file(t, "max_rdy_count = 7", "max_rdy_count")
	twice := file(t, "max_rdy_count = 7", "max_rdy_count = 8")
	for name, want := range map[string]string{
		missing:     "no such file or directory",
		long:        "longer than 1048576 bytes",
		broken:      "line 2",
		twice:       "line 2",
		t.TempDir(): "is a directory",
	} {
		lines, _ := mistakesOf(t, "--config", name)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "failed to load config file "+name+" - ") || !strings.Contains(lines[0], want) {
			t.Errorf("want %q, got %v", want, lines)
		}
	}
}

func TestWhatNsqdLivesWithIsOnlyWarnedAbout(t *testing.T) {
	for _, test := range []struct {
		arg, warning string
		holds        func(q QD) bool
	}{
		{"--sync-every=0", "--sync-every=0 is taken as 1", func(q QD) bool { return q.SyncEvery == 1 }},
		{"--mem-queue-size=-1", "a negative --mem-queue-size is taken as 0", func(q QD) bool { return q.MemQueueSize == 0 }},
		{"--broadcast-address=", "an empty --broadcast-address", func(q QD) bool { return q.BroadcastAddress == testHost }},
		{"--msg-timeout=30m", "--msg-timeout (30m) is above --max-msg-timeout (15m)", func(q QD) bool { return q.MsgTimeout == 30*time.Minute }},
		{"--enable-experiment=x", "there is no experiment", func(q QD) bool { return len(q.Experiments) == 1 }},
		{"--max-msg-size=10485760", "", func(q QD) bool { return q.MaxMsgSize == 2*q.MaxBodySize }},
		{"--max-req-timeout=0", "", func(q QD) bool { return q.MaxReqTimeout == 0 }},
		{"--tls-min-version=", "", func(q QD) bool { return q.TLSMinVersion == 771 }},
		{"--tls-min-version=tls1.0", "--tls-min-version=tls1.0 allows clients versions of TLS that are known to be weak", func(q QD) bool { return q.TLSMinVersion == 769 }},
		{"--enable-experiment=topology-aware-consumption", "", func(q QD) bool { return len(q.Experiments) == 1 }},
	} {
		s := mustParse(t, test.arg)
		if !test.holds(s.Values()) {
			t.Errorf("%s: got %+v", test.arg, s.Values())
		}
		warnings := strings.Join(s.Warnings(), "\n")
		if len(s.Warnings()) > 1 || !strings.Contains(warnings, test.warning) || (test.warning == "") != (warnings == "") {
			t.Errorf("%s: %v", test.arg, s.Warnings())
		}
	}
}

func TestClientAuthPolicyImpliesRequiredTLS(t *testing.T) {
	certificate := []string{"--tls-cert=c", "--tls-key=k", "--tls-client-auth-policy=require-verify"}
	alone := mustParse(t, certificate...)
	equal(t, "alone", alone.Values().TLSRequired, TLSRequiredAlways)
	if w := alone.Warnings(); len(w) != 1 || !strings.Contains(w[0], "without --tls-root-ca-file") {
		t.Errorf("without roots of our own: %v", w)
	}
	equal(t, "with roots", len(mustParse(t, append(certificate, "--tls-root-ca-file=r")...).Warnings()), 0)
	equal(t, "with less", mustParse(t, append(certificate, "--tls-required=tcp-https")...).Values().TLSRequired, TLSRequiredExceptHTTP)
	s := mustParse(t, append(certificate, "--tls-client-auth-policy=maybe")...)
	if len(s.Warnings()) != 1 || !strings.Contains(s.Warnings()[0], "asks for no certificate") {
		t.Errorf("got %v", s.Warnings())
	}
}

func TestUnverifiedNamesForTheAuthServerAreWarnedAbout(t *testing.T) {
	for args, warned := range map[string]bool{
		"--tls-client-auth-policy=require":                             true,
		"--tls-client-auth-policy=require --auth-verified-names":       false,
		"--tls-client-auth-policy=require-verify --tls-root-ca-file=r": false,
	} {
		w := mustParse(t, append(strings.Fields(args), "--tls-cert=c", "--tls-key=k", "--auth-http-address=127.0.0.1:1")...).Warnings()
		if (len(w) == 1) != warned || warned && !strings.Contains(w[0], "names that clients may have made up") {
			t.Errorf("%s: %v", args, w)
		}
	}
}

func TestFlagsForMachineryThatIsNotThereAreNamed(t *testing.T) {
	name := file(t, "queue_scan_selection_count = 20")
	s := mustParse(t, "--config", name, "--worker-id", "--queue-scan-worker-pool-max=-3", "--verbose")
	got := s.WithoutEffect()
	slices.Sort(got)
	equal(t, "without effect", strings.Join(got, " "), "--queue-scan-selection-count --queue-scan-worker-pool-max --verbose --worker-id")
	equal(t, "none", len(mustParse(t).WithoutEffect()), 0)
}

func TestHowClientSuitesStartTheDaemon(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{
		"--data-path=" + dir + " --lookupd-tcp-address=127.0.0.1:4160 --tls-cert=./test/server.pem --tls-key=./test/server.key --tls-root-ca-file=./test/ca.pem",
		"-http-address 127.0.0.1:4151 -tcp-address 127.0.0.1:4150 -broadcast-address 127.0.0.1 -data-path " + dir + " -tls-cert ./test/cert.pem -tls-key ./test/key.pem",
		"--verbose --snappy --tls-key=k --tls-cert=c",
		"--verbose -lookupd-tcp-address=127.0.0.1:4160",
		"--verbose --auth-http-address=127.0.0.1:1234",
	} {
		if warnings := mustParse(t, strings.Fields(line)...).Warnings(); len(warnings) > 0 {
			t.Errorf("%s: %v", line, warnings)
		}
	}
}

func TestMisspeltKeyOpensNoDoor(t *testing.T) {
	refused := func(err error, key, door string) {
		t.Helper()
		var m Mistakes
		if !errors.As(err, &m) || len(m) != 1 || !strings.Contains(err.Error(), `unknown key "`+key+`" in `) || !strings.Contains(err.Error(), `"`+door+`"`) {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, test := range []struct{ line, key, door string }{
		{`http_auht = "x"`, "http_auht", "http_auth"},
		{`http-auth = "x"`, "http-auth", "http_auth"},
		{`HTTP_AUTH = "x"`, "HTTP_AUTH", "http_auth"},
		{`auth_http_address = "a:1"`, "auth_http_address", "auth_http_addresses"},
		{`tls_requird = true`, "tls_requird", "tls_required"},
		{`tls_client_auth_polcy = "require"`, "tls_client_auth_polcy", "tls_client_auth_policy"},
		{"[security]\nhttp_auth = \"x\"", "http_auth", "http_auth"},
	} {
		_, err := parse[QD]([]string{"--config", file(t, test.line)}, testHost)
		refused(err, test.key, test.door)
	}
	_, err := parse[QAdmin]([]string{"--nsqd-http-address=127.0.0.1:1", "--config", file(t, `admin_user = ["ann"]`)}, testHost)
	refused(err, "admin_user", "admin_users")

	s := mustParse(t, "--auth-http-address=a:1", "--config", file(t, `auth_http_address = "b:1"`)) // it is shut
	equal(t, "warnings", strings.Contains(strings.Join(s.Warnings(), "\n"), `did you mean "auth_http_addresses"?`), true)
}
