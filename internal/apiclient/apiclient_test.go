package apiclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve answers every request with f until the end of the test.
func serve(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, o Options) *Client {
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func modern(w http.ResponseWriter) { w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0") }

type numbered struct {
	N int `json:"n"`
}

func TestAnswersAreDecoded(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if accept := r.Header.Get("Accept"); accept != "application/vnd.nsq; version=1.0" {
			t.Errorf("Accept: %s", accept)
		}
		switch r.URL.Path {
		case "/new":
			modern(w)
			io.WriteString(w, `{"n":5,"status_code":7}`)
		case "/old":
			io.WriteString(w, `{"status_code":200,"status_txt":"OK","data":{"n":6}}`)
		case "/bare": // neither a header nor a wrapper
			io.WriteString(w, `{"n":7}`)
		}
	})
	c := client(t, Options{})
	for path, want := range map[string]int{"/new": 5, "/old": 6, "/bare": 7} {
		var got numbered
		if err := c.Get(t.Context(), URL(s.URL, path, nil), &got); err != nil || got.N != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
		var text []byte
		if err := c.Get(t.Context(), URL(s.URL, path, nil), &text); err != nil || !strings.Contains(string(text), fmt.Sprint(want)) {
			t.Errorf("%s: %s, %v", path, text, err)
		}
	}
}

func TestRefusalsSayWhatWasAnswered(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/old":
			io.WriteString(w, `{"status_code":500,"status_txt":"INVALID_ARG_TOPIC","data":null}`)
		case "/elsewhere":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/long":
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, strings.Repeat("x", 1<<20))
		case "/nonsense":
			io.WriteString(w, "<html>")
		default:
			modern(w)
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"TOPIC_NOT_FOUND"}`)
		}
	})
	c := client(t, Options{})
	for path, want := range map[string]string{
		"/x":         `got response 404 Not Found "{\"message\":\"TOPIC_NOT_FOUND\"}"`,
		"/old":       `got response 500 "INVALID_ARG_TOPIC"`,
		"/elsewhere": `got response 302 Found "<a href=\"/\">Found</a>.\n\n"`,
		"/long":      `got response 502 Bad Gateway "` + strings.Repeat("x", shownBody) + `"`,
		"/nonsense":  `the answer cannot be understood: invalid character '<' looking for beginning of value`,
	} {
		err := c.Get(t.Context(), URL(s.URL, path, nil), new(numbered))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", path, err)
		}
		if IsStatus(err, http.StatusNotFound) != (path == "/x") {
			t.Errorf("%s is taken for another status", path)
		}
	}
	if err := c.Post(t.Context(), URL(s.URL, "/x", nil), nil, nil); !IsStatus(err, http.StatusNotFound) {
		t.Error(err)
	}
}

func TestDaemonThatWantsTLSIsAskedThere(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		modern(w)
		fmt.Fprintf(w, `%q`, r.Method+" "+r.URL.String()+" "+string(body))
	}))
	defer secure.Close()
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	plain := serve(t, func(w http.ResponseWriter, r *http.Request) {
		modern(w)
		w.WriteHeader(http.StatusForbidden)
		if r.URL.Path != "/forbidden" {
			fmt.Fprintf(w, `{"message": "TLS_REQUIRED", "https_port": %s}`, port)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	c := client(t, Options{TLS: &tls.Config{RootCAs: roots}})
	var got string
	if err := c.Post(t.Context(), plain.URL+"/pub?topic=t", []byte("body"), &got); err != nil || got != "POST /pub?topic=t body" {
		t.Errorf("%q, %v", got, err)
	}
	if err := client(t, Options{}).Get(t.Context(), plain.URL+"/forbidden", &got); !IsStatus(err, http.StatusForbidden) {
		t.Error(err)
	}
	var unknown *tls.CertificateVerificationError
	if err := client(t, Options{}).Get(t.Context(), plain.URL+"/x", &got); !errors.As(err, &unknown) {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		modern(w)
		w.Write(make([]byte, 1001))
	})
	var text []byte
	if err := client(t, Options{MaxAnswer: 1000}).Get(t.Context(), s.URL, &text); err == nil || !strings.Contains(err.Error(), "longer than 1000 bytes") {
		t.Error(err)
	}
	if err := client(t, Options{MaxAnswer: 1001}).Get(t.Context(), s.URL, &text); err != nil || len(text) != 1001 {
		t.Error(len(text), err)
	}
}

func TestDaemonThatDoesNotAnswerIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" { // begins, and does not end
			w.Write([]byte("{"))
			http.NewResponseController(w).Flush()
		}
		<-release
	})
	defer close(release)
	c := client(t, Options{RequestTimeout: 50 * time.Millisecond})
	for _, path := range []string{"/", "/slow"} {
		if err := c.Get(t.Context(), s.URL+path, new(numbered)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Get(ctx, s.URL, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConnectionsAreKeptAndBounded(t *testing.T) {
	var mu sync.Mutex
	conns := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { modern(w) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			conns++
			mu.Unlock()
		}
	}
	s.Start()
	defer s.Close()
	c := client(t, Options{})
	for range 20 {
		if err := c.Post(t.Context(), s.URL, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	if conns != 1 {
		t.Errorf("%d connections for requests one after another", conns)
	}
	mu.Unlock()
	var asking sync.WaitGroup
	bounded := client(t, Options{MaxConnections: 1})
	for range 20 {
		asking.Go(func() {
			if err := bounded.Get(t.Context(), s.URL, nil); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	mu.Lock()
	defer mu.Unlock()
	if conns != 2 {
		t.Errorf("%d connections at a time", conns-1)
	}
}

func TestURL(t *testing.T) {
	for _, test := range []struct{ address, want string }{
		{"h:1", "http://h:1/p?topic=a%23b"},
		{"[::1]:1", "http://[::1]:1/p?topic=a%23b"},
		{"https://h:1/", "https://h:1/p?topic=a%23b"},
		{"https://h/under/", "https://h/under/p?topic=a%23b"},
		{":1", "http://:1/p?topic=a%23b"},
		{"[fe80::1%eth0]:1", "http://[fe80::1%25eth0]:1/p?topic=a%23b"},
		{"127.0.0.9/any/path?q=1&x=:4151", ""},
		{"u:p@h:1", ""},
		{"h:1/x", ""},
		{"h:http", ""},
		{"h", ""},
		{"h?:1", ""},
		{"h#:1", ""},
		{"[http://evil]:1", ""},
		{"http://", ""},
		{"", ""},
	} {
		if got := URL(test.address, "/p", url.Values{"topic": {"a#b"}}); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	if got := URL("h:1", "/p", nil); got != "http://h:1/p" {
		t.Error(got)
	}
	if err := client(t, Options{}).Get(t.Context(), URL("h/x:1", "/p", nil), nil); err != errAddress {
		t.Errorf("asked for no URL: %v", err)
	}
}

func TestOnlyPlainRequestsAreSentToWhereTLSIs(t *testing.T) {
	for _, test := range []struct {
		plain         string
		code          int
		refusal, want string
	}{
		{"http://h:1/p?topic=a%23b", 403, `{"message":"TLS_REQUIRED","https_port":2}`, "https://h:2/p?topic=a%23b"},
		{"http://[::1]:1/p", 403, `{"https_port":2}`, "https://[::1]:2/p"},
		{"https://h:1/p", 403, `{"https_port":2}`, ""},
		{"http://h:1/p", 403, `{"https_port":0}`, ""},
		{"http://h:1/p", 403, `FORBIDDEN`, ""},
		{"http://h:1/p", 200, `{"https_port":2}`, ""},
		{"http://h:1/p", 400, plainToTLS + "\n", "https://h:1/p"},
		{"http://h/p", 400, plainToTLS + "\n", "https://h:443/p"},
		{"http://h:1/p", 400, "else", ""},
	} {
		if got, ok := secureURL(test.plain, &answer{code: test.code, body: []byte(test.refusal)}); got != test.want || ok != (test.want != "") {
			t.Errorf("%s %d leads to %q", test.plain, test.code, got)
		}
	}
}
