package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qmq/internal/apiclient"
	"qmq/internal/certs"
)

var asked = Request{RemoteIP: "10.1.2.3", TLS: true, CommonName: "me", Secret: "p&ss"}

// ask asks the given addresses and returns what was logged.
func ask(t *testing.T, post bool, addresses ...string) (g *Grant, logged string, err error) {
	t.Helper()
	var log bytes.Buffer
	c := New(Options{
		Addresses: addresses, Post: post,
		HTTP:   apiclient.Options{ConnectTimeout: time.Minute, RequestTimeout: time.Minute},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	defer c.Close()
	g, err = c.Ask(t.Context(), asked)
	return g, log.String(), err
}

const good = `{"ttl":60,"identity":"i","identity_url":"u","authorizations":[{"topic":"^t","channels":["^c$",".*b"],"permissions":["subscribe","publish"]}]}`

func TestWhatTheServerIsAsked(t *testing.T) {
	for _, test := range []struct {
		name, path string
		post       bool
		uri, body  string
	}{
		{"host and port", "", false, "/auth?common_name=me&remote_ip=10.1.2.3&secret=p%26ss&tls=true", ""},
		{"URL", "http://{}/any/path", false, "/any/path?common_name=me&remote_ip=10.1.2.3&secret=p%26ss&tls=true", ""},
		{"URL with a query", "http://{}/a?b=c", false, "/a?b=c&common_name=me&remote_ip=10.1.2.3&secret=p%26ss&tls=true", ""},
		{"POST", "", true, "/auth", `{"common_name":["me"],"remote_ip":["10.1.2.3"],"secret":["p\u0026ss"],"tls":["true"]}`},
	} {
		var uri, body, contentType, accept string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			uri, body, contentType, accept = r.URL.RequestURI(), string(text), r.Header.Get("Content-Type"), r.Header.Get("Accept")
			io.WriteString(w, good)
		}))
		address := server.Listener.Addr().String()
		if test.path != "" {
			address = strings.ReplaceAll(test.path, "{}", address)
		}
		g, log, err := ask(t, test.post, address)
		server.Close()
		if err != nil || g.Identity != "i" || g.IdentityURL != "u" || g.Permissions() != 1 {
			t.Errorf("%s: %+v, %v, %s", test.name, g, err, log)
		}
		if uri != test.uri || body != test.body || accept != "application/vnd.nsq; version=1.0" || (contentType == "application/json") != test.post {
			t.Errorf("%s: asked %s %q (%s, %s)", test.name, uri, body, contentType, accept)
		}
	}
}

func TestAnswersThatGrantNothing(t *testing.T) {
	for _, test := range []struct {
		status       int
		body, reason string
	}{
		{403, good, "got response 403"},
		{500, "x", "got response 500"},
		{200, "not JSON", "cannot be understood"},
		{200, `{"ttl":0}`, "invalid TTL 0"},
		{200, `{"ttl":-1}`, "invalid TTL -1"},
		{200, `{"ttl":"60"}`, "cannot be understood"},
		{200, `{"ttl":1,"authorizations":[{"permissions":["own"]}]}`, `unknown permission \"own\"`},
		{200, `{"ttl":1,"authorizations":[{"topic":"("}]}`, "topic: error parsing regexp"},
		{200, `{"ttl":1,"authorizations":[{"channels":["("]}]}`, "channel: error parsing regexp"},
		{200, `{"status_code":200,"status_txt":"OK","data":` + good + `}`, "invalid TTL 0"},
		{200, `{"identity":"` + strings.Repeat("x", maxAnswer) + `","ttl":1}`, "longer than"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(test.status)
			io.WriteString(w, test.body)
		}))
		g, log, err := ask(t, false, server.Listener.Addr().String())
		server.Close()
		if g != nil || err != ErrNoAnswer || !strings.Contains(log, test.reason) {
			t.Errorf("%.40s: %v, %v, %s", test.body, g, err, log)
		}
		if strings.Contains(log, "ss") && strings.Contains(log, "p%26ss") {
			t.Errorf("%.40s: the secret is in the log: %s", test.body, log)
		}
	}
}

func TestOtherServersAreAskedWhenOneIsDown(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, good) }))
	defer server.Close()
	for range 10 { // whichever is the first
		g, log, err := ask(t, false, "127.0.0.1:1", server.Listener.Addr().String(), "127.0.0.1:2")
		if err != nil || g == nil {
			t.Fatal(err)
		}
		if strings.Contains(log, "p%26ss") {
			t.Fatalf("the secret is in the log: %s", log)
		}
	}
	_, log, err := ask(t, false, "127.0.0.1:1", "ann:p4ssw0rd@127.0.0.1:2")
	if err != ErrNoAnswer {
		t.Errorf("without any: %v", err)
	}
	if strings.Contains(log, "p4ssw0rd") {
		t.Errorf("the password for the server is in the log: %s", log)
	}
}

func TestServerThatHasMovedIsFollowed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth" {
			http.Redirect(w, r, "/moved?"+r.URL.RawQuery, http.StatusFound)
			return
		}
		if r.FormValue("secret") == asked.Secret {
			io.WriteString(w, good)
		}
	}))
	defer server.Close()
	if g, log, err := ask(t, false, server.Listener.Addr().String()); err != nil || g.Identity != "i" {
		t.Errorf("%+v, %v, %s", g, err, log)
	}
}

func TestCancelledAskEnds(t *testing.T) {
	came, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(came)
		<-leave
	}))
	defer server.Close()
	defer close(leave)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-came
		cancel()
	}()
	c := New(Options{Addresses: []string{server.Listener.Addr().String()}, Logger: slog.New(slog.DiscardHandler)})
	if _, err := c.Ask(ctx, asked); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// TestServerThatWantsTLSIsAskedThere: it says so, and its root is known.
func TestServerThatWantsTLSIsAskedThere(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, good) }))
	defer secure.Close()
	_, port, _ := strings.Cut(secure.Listener.Addr().String(), ":")
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"message": "TLS_REQUIRED", "https_port": %s}`, port)
	}))
	defer plain.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(file, root, 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := certs.Roots(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{true, false} {
		o := Options{Addresses: []string{plain.Listener.Addr().String()}, Logger: slog.New(slog.DiscardHandler)}
		if known {
			o.HTTP.TLS = &tls.Config{RootCAs: roots}
		}
		if _, err := New(o).Ask(t.Context(), asked); (err == nil) != known {
			t.Errorf("with its root known %v: %v", known, err)
		}
	}
}

func TestDecisions(t *testing.T) {
	parse := func(authorizations string) *Grant {
		t.Helper()
		var a answer
		if err := json.Unmarshal([]byte(`{"ttl":1,"authorizations":`+authorizations+`}`), &a); err != nil {
			t.Fatal(err)
		}
		g, err := a.grant(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	both := `"permissions":["subscribe","publish"]`
	for _, test := range []struct {
		authorizations, topic, channel string
		publish, subscribe             bool
	}{
		{`[{"topic":".*","channels":[".*"],` + both + `}]`, "t", "c", true, true},
		{`[{"topic":".*","channels":[".*"],"permissions":["publish"]}]`, "t", "c", true, false},
		{`[{"topic":".*","channels":[".*"],"permissions":["subscribe"]}]`, "t", "c", false, true},
		{`[{"topic":"1","channels":[".*"],` + both + `}]`, "at1b", "c", true, true}, // not anchored
		{`[{"topic":"^1$","channels":[".*"],` + both + `}]`, "at1b", "c", false, false},
		{`[{"topic":".*","channels":["^c$"],` + both + `}]`, "t", "c", false, true}, // must match the empty channel
		{`[{"topic":".*","channels":[],` + both + `}]`, "t", "c", false, false},
		{`[{"topic":".*","channels":["d","c"],` + both + `}]`, "t", "c", false, true},
		// Of one authorization all must hold.
		{`[{"topic":"^a$","channels":[".*"],` + both + `},{"topic":"^b$","channels":[".*"],"permissions":["publish"]}]`, "b", "c", true, false},
		{`[]`, "t", "c", false, false},
	} {
		g := parse(test.authorizations)
		if got := g.MayPublish(test.topic); got != test.publish {
			t.Errorf("%s: publish to %s is %v", test.authorizations, test.topic, got)
		}
		if got := g.MaySubscribe(test.topic, test.channel); got != test.subscribe {
			t.Errorf("%s: subscribe to %s %s is %v", test.authorizations, test.topic, test.channel, got)
		}
	}
}

func TestGrantExpiresAfterItsTTL(t *testing.T) {
	now := time.Now()
	for ttl, want := range map[int64]time.Duration{1: time.Second, 3600: time.Hour, 1 << 62: 10 * 365 * 24 * time.Hour} {
		a := answer{TTL: ttl}
		g, err := a.grant(now)
		if err != nil || g.Expires.Sub(now) != want {
			t.Errorf("TTL %d: %v, %v", ttl, g.Expires.Sub(now), err)
		}
	}
}
