package apiclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func anybody(string) bool { return true }
func secret() string      { return "secret" }

func TestCredentialIsForSomeAndNotInClear(t *testing.T) {
	only := func(host string) bool { return host == "node" || host == "::1" }
	for _, test := range []struct {
		url        string
		credential Credential
		verify     bool
		kept       string
	}{
		{"https://node:1/", Credential{For: only}, true, ""},
		{"https://node:1/", Credential{For: only}, false, "the certificate is not verified"},
		{"https://node:1/", Credential{For: only, Insecure: true}, false, ""},
		{"https://other:1/", Credential{For: only, Insecure: true}, true, "it is not for other"},
		{"https://node:1/", Credential{}, true, "it is not for node"},
		{"http://node:1/", Credential{For: only}, true, "the connection is in clear"},
		{"http://node:1/", Credential{For: only, Insecure: true}, true, ""},
		{"http://[::1]:1/", Credential{For: only}, true, ""},
		{"http://127.0.0.9:1/", Credential{For: only}, true, "it is not for 127.0.0.9"},
		{"http://127.0.0.9:1/", Credential{For: anybody}, true, ""},
		{"http://localhost:1/", Credential{For: anybody}, true, ""},
		{"http://localhost.evil:1/", Credential{For: anybody}, true, "the connection is in clear"},
		{"http://127.0.0.1.evil:1/", Credential{For: anybody}, true, "the connection is in clear"},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := test.credential.keptFrom(u, &tls.Config{InsecureSkipVerify: !test.verify}); got != test.kept {
			t.Errorf("%s with %+v: kept because %q", test.url, test.credential, got)
		}
	}
}

// tlsNode is a node that refuses requests in clear, as qd does with
// --tls-required. It tells what it was shown on both sides.
type tlsNode struct {
	plain, secure *httptest.Server
	shown         chan string
}

func startTLSNode(t *testing.T) *tlsNode {
	n := &tlsNode{shown: make(chan string, 100)}
	n.secure = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.shown <- "TLS " + r.Header.Get("Authorization")
		modern(w)
	}))
	t.Cleanup(n.secure.Close)
	_, port, _ := net.SplitHostPort(n.secure.Listener.Addr().String())
	n.plain = serve(t, func(w http.ResponseWriter, r *http.Request) {
		n.shown <- "clear " + r.Header.Get("Authorization")
		modern(w)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"message": "TLS_REQUIRED", "https_port": %s}`, port)
	})
	return n
}

func (n *tlsNode) roots() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(n.secure.Certificate())
	return &tls.Config{RootCAs: pool}
}

// TestUpgradeIsRemembered: after the first refusal nothing goes out in clear,
// until nobody is there any more.
func TestUpgradeIsRemembered(t *testing.T) {
	n := startTLSNode(t)
	c := client(t, Options{TLS: n.roots()})
	for _, want := range [][]string{{"clear ", "TLS "}, {"TLS "}, {"TLS "}} {
		if err := c.Get(t.Context(), n.plain.URL+"/stats", nil); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if got := <-n.shown; got != w {
				t.Errorf("shown %q, want %q", got, w)
			}
		}
	}
	n.secure.Close()
	if err := c.Get(t.Context(), n.plain.URL, nil); err == nil {
		t.Error("there is nobody, and yet an answer")
	}
	if at := c.secure.of(n.plain.URL); at != n.plain.URL {
		t.Errorf("it is still asked at %s", at)
	}
}

// TestCredentialNeverGoesInClearToANodeWithTLS: not even with the request that
// tells that it wants TLS. The host is not this machine by its name.
func TestCredentialNeverGoesInClearToANodeWithTLS(t *testing.T) {
	n := startTLSNode(t)
	c := client(t, Options{TLS: n.roots(), Credential: Credential{Header: secret, For: anybody}})
	_, port, _ := net.SplitHostPort(n.plain.Listener.Addr().String())
	plain := "http://0.0.0.0:" + port // reaches this machine, and is no loopback
	if err := c.Get(t.Context(), plain, nil); err != nil && !strings.Contains(err.Error(), "certificate") {
		t.Fatal(err)
	}
	if got := <-n.shown; got != "clear " {
		t.Errorf("in clear it was shown %q", got)
	}
}

// TestRefusalSaysThatTheCredentialWasKeptBack and why.
func TestRefusalSaysThatTheCredentialWasKeptBack(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	for c, want := range map[*Credential]string{
		{Header: secret, For: anybody}:                            "",
		{Header: secret, For: func(string) bool { return false }}: "; the credential is kept back: it is not for 127.0.0.1",
		{}: `got response 401 Unauthorized ""`,
	} {
		err := client(t, Options{Credential: *c}).Get(t.Context(), s.URL, nil)
		if (err == nil) != (want == "") || err != nil && (!strings.HasSuffix(err.Error(), want) || !IsStatus(err, http.StatusUnauthorized)) {
			t.Errorf("%+v: %v", *c, err)
		}
	}
}
