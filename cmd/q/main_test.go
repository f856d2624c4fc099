package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmq/daemon"
	"qmq/internal/version"
)

func TestExitCodes(t *testing.T) {
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			http.NotFound(w, r)
		}
		io.WriteString(w, "OK")
	}))
	defer well.Close()
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "NOK - the disk is full\n")
	}))
	defer ill.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"message":"UNAVAILABLE","why":"nobody leads"}`)
	}))
	defer busy.Close()
	address := strings.TrimPrefix(well.URL, "http://")
	for _, test := range []struct {
		args           string
		code           int
		stdout, stderr string // what is in them
	}{
		{"--version", exitOK, version.String("q") + "\n", ""},
		{"--help", exitOK, "Usage: q <command>", ""},
		{"dev --help", exitOK, "--data-path", ""},
		{"version", exitOK, version.String("q") + "\n", ""},
		{"help", exitOK, "Usage: q <command>", ""},
		{"help bench pub", exitOK, "Usage: q bench pub [flags]", ""},
		{"", exitUsage, "", `q: expected one of "pub", "sub", "request", "reply", "peek", `},
		{"bench", exitUsage, "", `q: expected one of "pub", "sub", "pubsub", "latency"` + "\n"},
		{"dev --no-such-flag", exitUsage, "", "q: unknown flag --no-such-flag\nUsage: q dev [flags]; q dev --help explains it\n"},
		{"dev --data-pth=x", exitUsage, "", "q: unknown flag --data-pth, did you mean \"--data-path\"?\nUsage: q dev"},
		{"stat --lookupd-http-address=127.0.0.1:4161", exitUsage, "", "q: unknown flag --lookupd-http-address; it is --lookupd here\nUsage: q stat"},
		{"sub t --nsqd-tcp-address 127.0.0.1:4150", exitUsage, "", "q: unknown flag --nsqd-tcp-address; it is --addr here\nUsage: q sub"},
		{"top --interval=1", exitUsage, "", `q: --interval: a duration such as 500ms, 30s or 1h30m is wanted, not "1"` + "\nUsage: q top"},
		{"top --interval", exitUsage, "", `q: --interval: a duration is missing, such as 500ms, 30s or 1h30m` + "\nUsage: q top"},
		{"dev --port-offset=61365", exitFailed, "", "q: --port-offset must be in [0,61364], not 61365\n"},
		{"sub t --count", exitUsage, "", "q: --count: its value is missing\nUsage: q sub <topic> [<channel>] [flags]; q sub --help explains it\n"},
		{"topics craete x", exitUsage, "", `q: unexpected argument x; craete is no command of q topics, did you mean "create"?` + "\n"},
		{"topics orders x", exitUsage, "", "q: unexpected argument x\nUsage: q topics list"},
		{"bnch", exitUsage, "", "q: unexpected argument bnch, did you mean \"bench\"?\nUsage: q <command>"},
		{"nonsense", exitUsage, "", `q: unexpected argument nonsense; there are "pub", "sub", `},
		{"cluster nonsense", exitUsage, "", `q: unexpected argument nonsense; there are "status", "members", "shards", "move", `},
		{"cluster stat", exitUsage, "", `q: unexpected argument stat, did you mean "status"?` + "\nUsage: q cluster"},
		{"cluster add a:1 --yes", exitUsage, "", "q: unknown flag --yes; q cluster add asks nothing\nUsage: q cluster add"},
		{"cluster add a:1 -y", exitUsage, "", "q: unknown flag --yes; q cluster add asks nothing\nUsage: q cluster add"},
		{"cluster members --http-addr=" + busy.URL, exitAgain, "", "UNAVAILABLE: nobody leads\n"},
		{"dev --data-path=" + t.TempDir() + " --qlookupd=--tcp-address=127.0.0.1:0 --qlookupd=--http-address=127.0.0.1:0 --qd=--no-such-flag", exitFailed, "", "q: qd: flag provided but not defined: --no-such-flag"},
		{"ping " + address + " " + well.URL + "/", exitOK, address + ": OK (", ""},
		{"ping " + address + " " + ill.URL + " here", exitFailed, address + ": OK (", "500 Internal Server Error: NOK - the disk is full"},
		{"ping --http-addr=" + address + " --http-addr=" + well.URL, exitOK, well.URL + ": OK (", ""},
		{"ping " + address + " --http-addr=127.0.0.1:1", exitOK, address + ": OK (", ""},
		{"ping here", exitFailed, "", "here: the address must be host:port or a URL"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(test.args), console{nil, &stdout, &stderr, nil})
		if code != test.code || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("q %s: exit code %d\n%s\n%s", test.args, code, stdout.String(), stderr.String())
		}
	}
}

func TestPingVerifiesCertificates(t *testing.T) {
	well := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") }))
	defer well.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: well.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, code := range map[string]int{"ping " + well.URL: exitFailed, "ping --tls-root-ca-file=" + roots + " " + well.URL: exitOK} {
		var out bytes.Buffer
		if got := run(strings.Fields(args), console{nil, &out, &out, nil}); got != code {
			t.Errorf("q %s: exit code %d, %s", args, got, out.String())
		}
	}
}

func TestPingShowsACertificateToThoseWhoWantOne(t *testing.T) {
	well := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") }))
	well.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	well.StartTLS()
	defer well.Close()
	key, err := x509.MarshalPKCS8PrivateKey(well.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cert, private := write("cert.pem", "CERTIFICATE", well.Certificate().Raw), write("key.pem", "PRIVATE KEY", key)
	base := "ping --tls-root-ca-file=" + cert + " " + well.URL
	for args, code := range map[string]int{base: exitFailed, base + " --tls-cert=" + cert: exitUsage, base + " --tls-cert=" + cert + " --tls-key=" + private: exitOK} {
		var out bytes.Buffer
		if got := run(strings.Fields(args), console{nil, &out, &out, nil}); got != code {
			t.Errorf("q %s: exit code %d, %s", args, got, out.String())
		}
	}
}

func TestPingGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // which nobody accepts from
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var stderr bytes.Buffer
	code := run([]string{"ping", "--timeout=10ms", l.Addr().String()}, console{nil, io.Discard, &stderr, nil})
	said := stderr.String() // the time may be over before the connection is there
	if code != exitFailed || !strings.Contains(said, "deadline exceeded") && !strings.Contains(said, "timeout") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

// TestWrongPortIsNamed: TCP and HTTP are told apart in both directions.
func TestWrongPortIsNamed(t *testing.T) {
	qd, err := daemon.Launch(daemon.QD, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--data-path=" + t.TempDir()}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer qd.Stop()
	directory, err := daemon.Launch(daemon.QLookupd, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Stop()
	for args, want := range map[string]string{
		"ping " + qd.Addresses()["TCP"]:                                            "this is a TCP port of the message protocol",
		"ping " + directory.Addresses()["TCP"]:                                     "this is a TCP port of the message protocol",
		"bench pub --http-address= --tcp-address=" + qd.Addresses()["HTTP"]:        "this is an HTTP port",
		"bench pub --http-address= --tcp-address=" + directory.Addresses()["HTTP"]: "this is an HTTP port",
	} {
		var stderr bytes.Buffer
		code := run(strings.Fields(args), console{nil, io.Discard, &stderr, nil})
		if code != exitFailed || !strings.Contains(stderr.String(), want) {
			t.Errorf("q %s: exit code %d, %s", args, code, stderr.String())
		}
	}
}
