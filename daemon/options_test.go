package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmq/api"
	"qmq/broker"
	"qmq/config"
	"qmq/internal/acceptloop"
	"qmq/internal/budget"
	"qmq/internal/httpapi"
	"qmq/internal/vfs"
	"qmq/server"
	qsettings "qmq/settings"
)

// get returns the answer to a GET of qd's HTTP API.
func get(t *testing.T, address, path string) string {
	t.Helper()
	return ask(t, http.MethodGet, address, path, "")
}

func ask(t *testing.T, method, address, path, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %s %s, %v", method, path, response.Status, answer, err)
	}
	return string(answer)
}

// stop ends a qd in good order.
func (r *running) stop() {
	r.t.Helper()
	r.signals <- syscall.SIGTERM
	if code := r.exitCode(); code != exitOK {
		r.t.Errorf("exit code %d", code)
	}
}

// untilListening returns the warnings of the start and the address of HTTP.
// That a lookup directory does not answer is a warning that may come later too.
func (r *running) untilListening() (warnings []string, address string) {
	for line := range r.lines {
		if _, text, ok := strings.Cut(line, " WARNING: "); ok && !strings.HasPrefix(text, "lookup directory ") {
			warnings = append(warnings, text)
		}
		if _, address, ok := strings.Cut(line, "HTTP: listening on "); ok {
			return warnings, address
		}
	}
	r.t.Fatal("it ended before it listened")
	return nil, ""
}

// privateDir is a directory that others cannot look into.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCommandLinesOfClientSuitesGetARunningDaemon(t *testing.T) {
	const verbose = "option has no effect option=--verbose"
	const openHTTP = "HTTP is open while TCP is guarded: without --http-auth, everybody who reaches it may publish and delete"
	files := writePair(t, t.TempDir(), "q")
	for _, test := range []struct {
		line     string
		warnings []string
	}{
		{"--data-path={dir} --lookupd-tcp-address=127.0.0.1:4160 --tls-cert={cert} --tls-key={key} --tls-root-ca-file={cert}" +
			" --tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0 --https-address=127.0.0.1:0", nil},
		{"-http-address 127.0.0.1:0 -tcp-address 127.0.0.1:0 -https-address= -broadcast-address 127.0.0.1 -data-path {dir} -tls-cert {cert} -tls-key {key}", nil},
		{"--verbose --snappy --tls-key={key} --tls-cert={cert} --https-address= -data-path={dir} --tcp-address 127.0.0.1:0 -http-address=127.0.0.1:0",
			[]string{verbose}},
		{"--verbose -lookupd-tcp-address=127.0.0.1:4160 -data-path={dir} --tcp-address 127.0.0.1:0 -http-address=127.0.0.1:0",
			[]string{verbose}},
		{"--verbose --auth-http-address=127.0.0.1:1 -data-path={dir} --tcp-address 127.0.0.1:0 -http-address=127.0.0.1:0",
			[]string{verbose, openHTTP}},
		{"--deflate=false --snappy=false --tls-required=false --statsd-address= --max-connections=0 --https-address=127.0.0.1:1" +
			" --data-path={dir} --tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0", nil},
	} {
		line := strings.NewReplacer("{dir}", privateDir(t), "{cert}", files.cert, "{key}", files.key).Replace(test.line)
		r := start(t, strings.Fields(line)...)
		warnings, address := r.untilListening()
		if !slices.Equal(warnings, test.warnings) {
			t.Errorf("%s: warnings\n%s", test.line, strings.Join(warnings, "\n"))
		}
		if body := get(t, address, "/ping"); body != "OK" {
			t.Errorf("%s: /ping says %s", test.line, body)
		}
		r.stop()
	}
}

// TestNoOptionIsIgnoredInSilence: each has an effect, or is told to have none.
func TestNoOptionIsIgnoredInSilence(t *testing.T) {
	handled := strings.Fields(`
		version config strict-config log-level log-prefix
		verbose worker-id queue-scan-worker-pool-max queue-scan-selection-count
		node-id tcp-address http-address broadcast-address broadcast-address-for
		data-path import mem-queue-size mem-queue-bytes max-bytes-per-file sync-every sync-timeout min-free-bytes min-free-percent sigterm drain-timeout metrics-max-topics otlp-endpoint
		max-msg-size max-body-size max-rdy-count max-channel-consumers
		msg-timeout max-msg-timeout max-req-timeout max-heartbeat-interval
		e2e-processing-latency-percentile e2e-processing-latency-window-time
		lookupd-tcp-address registration-secret-file broadcast-tcp-port broadcast-http-port http-client-connect-timeout http-client-request-timeout
		max-output-buffer-size output-buffer-timeout min-output-buffer-timeout max-output-buffer-timeout
		tls-cert tls-key tls-root-ca-file tls-client-auth-policy tls-required tls-min-version https-address
		auth-http-address auth-http-request-method auth-verified-names socket-mode http-auth max-connections
		max-unfinished-bytes auth-timeout max-http-polls max-http-leases max-topics max-channels auto-create allowed-host http-peek
		deflate max-deflate-level snappy topology-region topology-zone enable-experiment
		cluster-peers cluster-address cluster-secret-file cluster-tls-cert cluster-tls-key cluster-tls-ca cluster-number
		cluster-election-timeout replica-sync replicated-topics cluster-log-bytes cluster-snapshot-rate cluster-scrub-rate
		statsd-address statsd-prefix statsd-interval statsd-mem-stats statsd-exclude-ephemeral statsd-udp-packet-size`)
	var all []string
	for _, found := range regexp.MustCompile(`(?m)^  --([a-z0-9-]+)`).FindAllStringSubmatch(config.UsageQD("qd"), -1) {
		all = append(all, found[1])
	}
	slices.Sort(handled)
	slices.Sort(all)
	if !slices.Equal(handled, all) {
		t.Errorf("handled are\n%v\nbut there are\n%v", handled, all)
	}
}

func TestCommandLineBeforeFileBeforeDefault(t *testing.T) {
	dir := privateDir(t)
	file := filepath.Join(dir, "qd.toml")
	content := "max_rdy_count = 7\nmax_body_size = 1000\nmax_heartbeat_interval = 70000\nqueue_scan_selection_count = 5\nmax_rdy_counts = 1\n" +
		fmt.Sprintf("data_path = %q\ntcp_address = '127.0.0.1:0'\nhttp_address = '127.0.0.1:0'\nbroadcast_address = 'elsewhere'\n", dir)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "--config", file, "--max-body-size=2000")
	warnings, address := r.untilListening()
	if want := []string{
		`unknown key "max_rdy_counts" in line 5 of ` + file + `; did you mean "max_rdy_count"?`,
		`option has no effect option=--queue-scan-selection-count`,
	}; !slices.Equal(warnings, want) {
		t.Errorf("warnings are %q, want %q", warnings, want)
	}
	_, port, _ := strings.Cut(address, ":")
	for key, want := range map[string]string{
		"max_body_size":              "2000",
		"max_rdy_count":              "7",
		"max_heartbeat_interval":     "70000000000",
		"max_req_timeout":            "3600000000000",
		"queue_scan_selection_count": "5",
		"broadcast_http_port":        port,
		"statsd_prefix":              "nsq.elsewhere_" + port + ".",
		"log_prefix":                 "[qd] ",
	} {
		if got := get(t, address, "/config/"+key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	// That the values are not only shown.
	if info := get(t, address, "/info"); !strings.Contains(info, `"broadcast_address":"elsewhere"`) || !strings.Contains(info, `"max_heartbeat_interval":70000000000`) {
		t.Errorf("/info is %s", info)
	}
	r.stop()
}

func TestOptionsReachThosePackagesThatTheyAreFor(t *testing.T) {
	settings, err := config.ParseQD(strings.Fields(`--node-id=1 --max-bytes-per-file=65536 --mem-queue-bytes=3 --mem-queue-size=4
		--sync-every=5 --sync-timeout=6s --max-msg-timeout=7s --max-req-timeout=8s --max-channel-consumers=9 --max-msg-size=10
		--max-body-size=11 --msg-timeout=5s --max-heartbeat-interval=13s --max-rdy-count=14 --max-output-buffer-size=15
		--output-buffer-timeout=16s --min-output-buffer-timeout=17s --max-output-buffer-timeout=18s --broadcast-address=b
		--e2e-processing-latency-percentile=0.5,0.99 --e2e-processing-latency-window-time=19s
		--snappy=false --deflate=false --max-deflate-level=3 --topology-region=r --topology-zone=z --max-connections=20
		--max-unfinished-bytes=2000000 --auth-timeout=21s --max-topics=22 --max-http-polls=26 --max-http-leases=27 --max-channels=23 --auto-create=false --allowed-host=h --min-free-bytes=24 --min-free-percent=25
		--enable-experiment=topology-aware-consumption`))
	if err != nil {
		t.Fatal(err)
	}
	q := settings.Values()
	log := slog.New(slog.DiscardHandler)
	if got, want := brokerOptions(&q, log), (broker.Options{
		FS: vfs.OS, DataPath: ".", NodeID: 1, SegmentBytes: 65536, HotBytes: 3, MemQueueSize: 4, SyncEvery: 5, SyncTimeout: 6 * time.Second, BootID: BootID(), JournalReserve: 1 << 20,
		MsgTimeout: 5 * time.Second, MaxMsgTimeout: 7 * time.Second, MaxReqTimeout: 8 * time.Second, MaxChannelConsumers: 9, LatencyWindow: 19 * time.Second, Logger: log,
		MaxTopics: 22, MaxChannels: 23, MaxIDs: maxIDs(), NoAutoCreate: true,
		Volume: vfs.Volume("."), SpaceLimits: broker.SpaceLimits{FreeBytes: 24, FreePercent: 25}, ReplicaSync: qsettings.Always,
	}); got != want {
		t.Errorf("the broker gets\n%+v, want\n%+v", got, want)
	}
	want := server.DefaultOptions()
	want.MaxMsgSize, want.MaxBodySize, want.MaxRdyCount, want.MaxChannelConsumers = 10, 11, 14, 9
	want.MaxReqTimeout, want.MsgTimeout, want.MaxMsgTimeout, want.MaxHeartbeatInterval = 8*time.Second, 5*time.Second, 7*time.Second, 13*time.Second
	want.MaxOutputBufferSize = 15
	want.OutputBufferTimeout, want.MinOutputBufferTimeout, want.MaxOutputBufferTimeout = 16*time.Second, 17*time.Second, 18*time.Second
	want.Snappy, want.Deflate, want.MaxDeflateLevel, want.Logger = false, false, 3, log
	want.TopologyRegion, want.TopologyZone, want.TopologyAware = "r", "z", true
	want.Places, want.Unfinished, want.AuthTimeout = acceptloop.NewPlaces(20, log), budget.New(2_000_000), 21*time.Second
	got := serverOptions(&q, log)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the server gets\n%+v, want\n%+v", got, want)
	}
	web := api.OptionsFor(&got)
	web.MetricsMaxTopics, web.MaxPolls, web.MaxLeases = 1000, 26, 27
	web.Info.BroadcastAddress, web.Info.Hostname = "b", q.Hostname
	web.Sites = httpapi.Sites{Allowed: []string{"h"}, Names: append([]string{q.Hostname, "b", "0.0.0.0:4151", "0.0.0.0:4152"}, loopbackNames(hostsFile)...)}
	if got := apiOptions(&q, &got); !reflect.DeepEqual(got, web) || got.Places == nil || got.Unfinished == nil {
		t.Errorf("the API gets\n%+v, want\n%+v", got, web)
	}
	q.E2ELatencyPercentiles = nil
	if got := brokerOptions(&q, log).LatencyWindow; got != 0 {
		t.Errorf("without percentiles the broker keeps latencies for %v", got)
	}
}

func TestLogLevelChangesAtOnce(t *testing.T) {
	r := start(t, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
	_, address := r.untilListening()
	for _, step := range []struct {
		method, path, body, answer string
		logged                     bool
	}{
		{"GET", "/config/log_level", "", "2", false},
		{"PUT", "/config/nsqlookupd_tcp_addresses", `null`, `[]`, true},
		{"PUT", "/config/log_level", "ERROR", "4", false},
		{"PUT", "/config/nsqlookupd_tcp_addresses", `null`, `[]`, false},
		{"PUT", "/config/log_level", "debug", "1", true},
		{"GET", "/config/log_level", "", "1", true},
	} {
		answer := ask(t, step.method, address, step.path, step.body)
		if step.answer != "" && answer != step.answer {
			t.Errorf("%s %s: %s", step.method, step.path, answer)
		}
		if !step.logged {
			continue
		}
		if line := <-r.lines; !strings.Contains(line, ": 200 "+step.method+" "+step.path+" (") {
			t.Errorf("%s %s: logged %s", step.method, step.path, line)
		}
	}
	r.stop()
}
