package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/daemon"
	"qmq/loadgen"
)

// launchQD runs a node until the end of the test and returns the flags by
// which q bench finds it.
func launchQD(t *testing.T, more ...string) (flags []string) {
	t.Helper()
	d, err := daemon.Launch(daemon.QD, append([]string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--data-path=" + t.TempDir()}, more...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return []string{"--tcp-address=" + d.Addresses()["TCP"], "--http-address=" + d.Addresses()["HTTP"]}
}

func TestBenchMeasures(t *testing.T) {
	flags := append(launchQD(t), "--messages=2000")
	for args, parts := range map[string][]string{
		"pub":                               {"1 × MPUB of 200, window 10", "server CPU", "0 lost, 0 altered"},
		"pub --no-verify --batch=1":         {"1 × PUB, window 10", "no message was delivered"},
		"pub --defer=1h --batch=1":          {"DPUB"},
		"pub --topics=3":                    {"200 bytes to 3 topics in turn", "no message was delivered"},
		"sub --consumers=2":                 {"1 channels × 2 consumers, RDY 2500, of a backlog", "delivered"},
		"pubsub --channels=2 --rdy=10":      {"2 channels × 1 consumers, RDY 10", "published"},
		"pubsub --snappy":                   {"window 10, 200 bytes, snappy"},
		"pub --deflate --batch=10":          {"200 bytes, deflate 6", "0 lost, 0 altered"},
		"sub --deflate=1":                   {"200 bytes, deflate 1", "0 lost, 0 altered"},
		"latency --snappy --rate=20000":     {"200 bytes, snappy, 20.0 k msg/s"},
		"pubsub --http --publishers=2":      {"2 × HTTP MPUB of 200, window 1"},
		"latency --rate=20000":              {"20.0 k msg/s", "delivery latency", "sent late"},
		"latency --rate=20000 --http":       {"HTTP PUB, window 1"},
		"pubsub --batch=1 --compare-ITSELF": {"median of 5", "msg/s", "B 5:"},
	} {
		t.Run(args, func(t *testing.T) {
			args = strings.Replace(args, "--compare-ITSELF", "--compare="+strings.TrimPrefix(flags[0], "--tcp-address="), 1)
			var stdout, stderr bytes.Buffer
			code := run(append(append([]string{"bench"}, strings.Fields(args)...), flags...), console{nil, &stdout, &stderr, nil})
			if code != exitOK || stderr.Len() != 0 {
				t.Errorf("exit code %d, %s", code, stderr.String())
			}
			for _, part := range parts {
				if !strings.Contains(stdout.String(), part) {
					t.Errorf("%q is not in\n%s", part, stdout.String())
				}
			}
		})
	}
}

// TestBenchLeavesATopicOfOthersAlone unless it is told otherwise, and then takes
// away what it made.
func TestBenchLeavesATopicOfOthersAlone(t *testing.T) {
	flags := launchQD(t)
	api := strings.TrimPrefix(flags[1], "--http-address=")
	publishOne(t, api, "orders")
	bench := func(args ...string) (code int, text string) {
		var stdout, stderr bytes.Buffer
		code = run(slices.Concat([]string{"bench"}, args, []string{"--messages=100", "--warmup=0"}, flags), console{nil, &stdout, &stderr, nil})
		return code, stdout.String() + stderr.String()
	}
	if code, text := bench("pub", "--topic=orders"); code != exitFailed || !strings.Contains(text, "the topic exists: orders is in use; leave --topic away for one of its own, or use --force") {
		t.Errorf("exit code %d, %s", code, text)
	}
	if code, text := bench("pub", "--topic=orders", "--force", "--batch=10"); code != exitOK {
		t.Errorf("exit code %d, %s", code, text)
	}
	if code, text := bench("pub", "--topic=fresh"); code != exitOK || !strings.Contains(text, "0 lost, 0 altered") {
		t.Errorf("exit code %d, %s", code, text)
	}
	stats := statsOf(t, api)
	if strings.Contains(stats, "fresh") || !strings.Contains(stats, `"topic_name":"orders","channels":[],"depth":101,`) {
		t.Errorf("left is %s", stats)
	}
}

// TestBenchLeavesNoNameInTheDirectories of the node, or says that it does.
func TestBenchLeavesNoNameInTheDirectories(t *testing.T) {
	d, err := daemon.Launch(daemon.QLookupd, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	directory := d.Addresses()["HTTP"]
	flags := launchQD(t, "--lookupd-tcp-address="+d.Addresses()["TCP"], "--broadcast-address=127.0.0.1")
	publishOne(t, strings.TrimPrefix(flags[1], "--http-address="), "orders")
	bench := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		if code := run(slices.Concat([]string{"bench", "pubsub", "--messages=100", "--warmup=0"}, args, flags), console{nil, &stdout, &stderr, nil}); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		return stderr.String()
	}
	names := func() (list []string) {
		for _, topic := range topicsOf(t, "http://"+directory+"/topics") {
			if strings.HasPrefix(topic, "bench-") {
				list = append(list, topic)
			}
		}
		return list
	}
	if text := bench("--lookupd-http-address=" + directory); text != "" {
		t.Errorf("said was %q", text)
	}
	eventually(t, "no name is left", func() bool { return len(names()) == 0 }) // what the node still tells is taken back
	// The port after that of TCP is none of the directory's, or is by chance.
	if text := bench(); len(names()) > 0 && (strings.Count(text, "\n") != 1 || !strings.Contains(text, "--lookupd-http-address")) {
		t.Errorf("left are %q, said was %q", names(), text)
	}
}

func publishOne(t *testing.T, address, topic string) {
	t.Helper()
	answer, err := http.Post("http://"+address+"/pub?topic="+topic, "", strings.NewReader("hello"))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
}

func statsOf(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get("http://" + address + "/stats?format=json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(text)
}

func TestBenchWritesJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	var stdout, stderr bytes.Buffer
	args := append([]string{"bench", "pubsub", "--messages=1000", "--warmup=0", "--json", "--out=" + file}, launchQD(t)...)
	if code := run(args, console{nil, &stdout, &stderr, nil}); code != exitOK {
		t.Fatalf("exit code %d, %s", code, stderr.String())
	}
	written, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(written, stdout.Bytes()) {
		t.Errorf("the file has %s, %v", written, err)
	}
	var r loadgen.Result
	if err := json.Unmarshal(written, &r); err != nil || r.Messages != 1000 || r.Deliveries != 1000 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBenchFailsWhenMessagesAreLost(t *testing.T) {
	for _, r := range []*loadgen.Result{{Lost: 1}, {Altered: 1}} {
		var out bytes.Buffer
		if err := tell(&out, r, false, ""); err != errUnsound || out.Len() == 0 {
			t.Errorf("error %v after\n%s", err, out.String())
		}
	}
	if err := tell(io.Discard, &loadgen.Result{Duplicated: 1, OutOfOrder: 1}, false, ""); err != nil {
		t.Errorf("a message that came again, which NSQ allows: %v", err)
	}
}

func TestBenchRefusesWhatCannotBe(t *testing.T) {
	for args, text := range map[string]string{
		"pub --body=8":           "a body of 8 bytes",
		"pub --duration=0":       "neither a number of messages nor a duration",
		"pub --defer=1s":         "a batch cannot be deferred",
		"latency --rate=0":       "--rate must be above 0",
		"pub --snappy --deflate": "a connection is compressed once",
		"pub --http --snappy":    "there is no encoding",
	} {
		var stderr bytes.Buffer
		code := run(append([]string{"bench"}, strings.Fields(args)...), console{nil, io.Discard, &stderr, nil})
		if code != exitFailed || !strings.Contains(stderr.String(), text) {
			t.Errorf("q bench %s: exit code %d, %s", args, code, stderr.String())
		}
	}
}
