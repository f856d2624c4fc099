package httpapi

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// visitor is a request as it comes to an address of this machine.
type visitor struct {
	to, method, host, origin, fetch string
}

// statusOf is the answer to a visitor.
func statusOf(s *Server, v visitor) (status int, body string) {
	r := httptest.NewRequest(v.method, "/thing", nil)
	r.Host = v.host
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(v.to), Port: 4151}))
	if v.origin != "" {
		r.Header.Set("Origin", v.origin)
	}
	if v.fetch != "" {
		r.Header.Set("Sec-Fetch-Site", v.fetch)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func siteServer(sites Sites, log *slog.Logger) *Server {
	r := NewRouter(log)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		r.HandleQuiet(method, "/thing", func(http.ResponseWriter, *http.Request) (any, error) { return "done", nil })
	}
	return NewServer(r, Options{Sites: sites, Logger: log})
}

func TestSitesTable(t *testing.T) {
	names := Sites{Names: []string{"machine", "node.example:4151", "0.0.0.0:4151", ":4151"}}
	proxied := Sites{Names: names.Names, Allowed: []string{"mq.example", "mq.example:8443"}}
	open := Sites{Names: names.Names, Allowed: []string{"*"}}
	const strange, other = `{"message":"HOST_NOT_ALLOWED"}`, `{"message":"CROSS_SITE"}`
	for _, test := range []struct {
		what  string
		sites Sites
		visitor
		want string // "" is success
	}{
		{"client of NSQ", names, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "", ""}, ""},
		{"client of NSQ by name", names, visitor{"127.0.0.1", "POST", "localhost:4151", "", ""}, ""},
		{"client without Host", names, visitor{"127.0.0.1", "POST", "", "", ""}, ""},
		{"client from elsewhere", names, visitor{"10.0.0.1", "POST", "whatever.example:4151", "", ""}, ""},
		{"IPv6", names, visitor{"::1", "GET", "[::1]:4151", "", ""}, ""},
		{"IPv6 without port", names, visitor{"::1", "GET", "[::1]", "", ""}, ""},
		{"below localhost", names, visitor{"::1", "GET", "mq.localhost:4151", "", ""}, ""},
		{"name of the machine", names, visitor{"127.0.0.1", "GET", "Machine:4151", "", ""}, ""},
		{"name with a dot at its end", names, visitor{"127.0.0.1", "GET", "machine.:4151", "", ""}, ""},
		{"name in an option", names, visitor{"127.0.0.1", "GET", "node.example:80", "", ""}, ""},

		{"name that was made to point here", names, visitor{"127.0.0.1", "GET", "evil.example:4151", "", ""}, strange},
		{"the same over IPv6", names, visitor{"::1", "GET", "evil.example", "", "same-origin"}, strange},
		{"the same on another loopback address", names, visitor{"127.9.9.9", "POST", "evil.example", "", ""}, strange},
		{"name that begins like one", names, visitor{"127.0.0.1", "GET", "localhost.evil.example", "", ""}, strange},
		{"name that ends like one", names, visitor{"127.0.0.1", "GET", "evillocalhost", "", ""}, strange},

		{"own page", names, visitor{"10.0.0.1", "POST", "node.example:4151", "http://node.example:4151", "same-origin"}, ""},
		{"own page of an old browser", names, visitor{"10.0.0.1", "POST", "node.example:4151", "http://node.example:4151", ""}, ""},
		{"other page", names, visitor{"10.0.0.1", "POST", "node.example:4151", "http://evil.example", "cross-site"}, other},
		{"other page on loopback", names, visitor{"127.0.0.1", "DELETE", "127.0.0.1:4151", "http://evil.example", "cross-site"}, other},
		{"other page in an old browser", names, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "http://evil.example", ""}, other},
		{"page without origin", names, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "null", ""}, other},
		{"page next door", names, visitor{"127.0.0.1", "POST", "localhost:4151", "http://localhost:3000", "same-site"}, other},
		{"other page that only looks", names, visitor{"127.0.0.1", "GET", "127.0.0.1:4151", "http://evil.example", "cross-site"}, ""},

		{"proxy, Host kept", names, visitor{"127.0.0.1", "POST", "mq.example", "https://mq.example", "same-origin"}, strange},
		{"proxy, Host rewritten, old browser", names, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "https://mq.example", ""}, other},
		{"proxy, Host rewritten", names, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "https://mq.example", "same-origin"}, ""},
		{"allowed, Host kept", proxied, visitor{"127.0.0.1", "POST", "mq.example", "https://mq.example", "same-origin"}, ""},
		{"allowed, Host rewritten, old browser", proxied, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "https://mq.example", ""}, ""},
		{"allowed, with a port", proxied, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "http://mq.example:8443", ""}, ""},
		{"not the allowed one", proxied, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "https://evil.example", "cross-site"}, other},
		{"not the allowed port", proxied, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "https://mq.example:1", ""}, other},
		{"any host", open, visitor{"127.0.0.1", "GET", "evil.example", "", ""}, ""},
		{"any host is not any page", open, visitor{"127.0.0.1", "POST", "127.0.0.1:4151", "http://evil.example", "cross-site"}, other},
	} {
		status, body := statusOf(siteServer(test.sites, slog.New(slog.DiscardHandler)), test.visitor)
		want := http.StatusForbidden
		if test.want == "" {
			want, test.want = http.StatusOK, "done"
		}
		if status != want || body != test.want {
			t.Errorf("%s: %d %s, want %d %s", test.what, status, body, want, test.want)
		}
	}
}

func TestARefusedSiteIsLoggedWithTheFlagToSet(t *testing.T) {
	var log bytes.Buffer
	s := siteServer(Sites{}, slog.New(slog.NewTextHandler(&log, nil)))
	for range 100 {
		statusOf(s, visitor{"127.0.0.1", "POST", "mq.example", "", ""})
	}
	text := log.String()
	if n := strings.Count(text, "\n"); n < 1 || n > 10 || !strings.Contains(text, "--allowed-host") || !strings.Contains(text, "host=mq.example") {
		t.Errorf("%d lines: %.300s", n, text)
	}
}

// TestConnectionsToLoopbackAreKnownAsSuch over a socket, as a proxy makes them.
func TestConnectionsToLoopbackAreKnownAsSuch(t *testing.T) {
	s := siteServer(Sites{Allowed: []string{"mq.example"}}, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for _, visit := range []struct { // one after the other, on one connection
		host string
		want int
	}{{"", 200}, {"mq.example", 200}, {"mq.example", 200}, {"evil.example", 403}, {"evil.example", 403}, {"mq.example", 200}, {"evil.example", 403}} {
		host, want := visit.host, visit.want
		r, _ := http.NewRequest("POST", "http://"+l.Addr().String()+"/thing", nil)
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%q: %d", host, answer.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
