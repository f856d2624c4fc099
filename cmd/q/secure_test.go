package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/daemon"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.file, _, a.key = a.issue("root", a.cert)
	return a
}

// pair issues a certificate for this machine and returns its files.
func (a *authority) pair(name string) (cert, key string) {
	a.t.Helper()
	cert, key, _ = a.issue(name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return cert, key
}

func (a *authority) issue(name string, template *x509.Certificate) (certFile, keyFile string, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(end, kind string, der []byte) string {
		file := filepath.Join(a.dir, name+end)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return file
	}
	return write(".pem", "CERTIFICATE", der), write(".key", "PRIVATE KEY", secret), key
}

// startAuth runs an authorization server that lets who has the secret do
// permissions with topics whose name begins with t.
func startAuth(t *testing.T, secret string, permissions string) (address string) {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("secret") != secret {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"ttl":60,"identity":"somebody","authorizations":[{"topic":"^t","channels":[".*"],"permissions":[%s]}]}`, permissions)
	}))
	t.Cleanup(web.Close)
	return strings.TrimPrefix(web.URL, "http://")
}

// startSecure runs a qd that wants TLS, a certificate and a secret, and returns the
// flags that it is reached with, over TCP and over HTTP.
func startSecure(t *testing.T, a *authority, secret, permissions string) (s *server, tcp, web []string) {
	t.Helper()
	cert, key := a.pair("server")
	dir := t.TempDir()
	d, err := daemon.Launch(daemon.QD, []string{
		"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=127.0.0.1:0", "--broadcast-address=127.0.0.1", "--data-path=" + dir,
		"--tls-cert=" + cert, "--tls-key=" + key, "--tls-required=tcp-https", "--tls-root-ca-file=" + a.file, "--tls-client-auth-policy=require-verify",
		"--auth-http-address=" + startAuth(t, secret, permissions),
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	s = &server{t, d, d.Addresses()["TCP"], d.Addresses()["HTTP"], dir}
	own, ownKey := a.pair("client")
	certified := []string{"--tls-root-ca-file=" + a.file, "--tls-cert=" + own, "--tls-key=" + ownKey}
	return s, append(slices.Clone(certified), "--addr="+s.tcp, "--tls", "--auth-secret="+secret), append(certified, "--http-addr=https://"+d.Addresses()["HTTPS"])
}

// TestEveryKindOfCommandWorksOverTLSWithASecret, also compressed.
func TestEveryKindOfCommandWorksOverTLSWithASecret(t *testing.T) {
	for _, encoding := range [][]string{nil, {"--snappy"}, {"--deflate=6"}} {
		a := newAuthority(t)
		s, tcp, web := startSecure(t, a, "open sesame", `"publish","subscribe"`)
		tcp = append(tcp, encoding...)
		with := func(reach []string, args ...string) []string { return append(args, reach...) }
		must(t, "", with(web, "topics", "create", "t")...)
		must(t, "", with(web, "channels", "create", "t", "c")...)
		must(t, numbered(3000), with(tcp, "pub", "t")...)
		if out := must(t, "", with(tcp, "sub", "t", "c", "--yes", "--count=3000")...); out != numbered(3000) {
			t.Errorf("%v: other messages, or in another order", encoding)
		}
		must(t, numbered(100), with(tcp, "pub", "t")...)
		if out := lined(must(t, "", with(web, "stat", "t", "c")...)); !strings.Contains(out, "t c running 0 100") {
			t.Errorf("%v: %s", encoding, out)
		}
		must(t, "", with(web, "health")...)
		if out := must(t, "", with(web, "top", "-i", "1ms")...); !strings.Contains(lined(out), "t c running 0 100") {
			t.Errorf("%v: %s", encoding, out)
		}

		dir := t.TempDir()
		r := begin(t, strings.NewReader(""), with(tcp, "archive", "t", "--channel=c", "-d", dir, "--sync-interval=10ms")...)
		eventually(t, "all is archived", func() bool { c := s.figures("t").Channels[0]; return c.Depth+c.InFlight == 0 || len(r.exit) > 0 })
		if code := r.stop(); code != exitOK {
			t.Fatalf("%v: exit code %d, %s", encoding, code, r.errors)
		}
		if out := must(t, "", with(tcp, append([]string{"restore", "--topic=t2"}, archived(t, dir)...)...)...); out != "100 messages of 1 file published\n" {
			t.Errorf("%v: %s", encoding, out)
		}
		r = begin(t, strings.NewReader(""), with(tcp, "forward", "t2", "--channel=c", "--to-qd="+s.tcp, "--destination-topic=t3")...)
		eventually(t, "all is forwarded", func() bool { return s.figures("t3").MessageCount == 100 || len(r.exit) > 0 })
		if code := r.stop(); code != exitOK {
			t.Errorf("%v: exit code %d, %s", encoding, code, r.errors)
		}
	}
}

// TestWhatKeepsSomebodyOutIsNamed, and nothing is published.
func TestWhatKeepsSomebodyOutIsNamed(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	s, tcp, _ := startSecure(t, a, "open sesame", `"publish","subscribe"`)
	strangers, strangersKey := other.pair("stranger")
	without := func(flags ...string) []string {
		return slices.DeleteFunc(slices.Clone(tcp), func(arg string) bool {
			return slices.ContainsFunc(flags, func(flag string) bool { return strings.HasPrefix(arg, flag) })
		})
	}
	for _, test := range []struct {
		why   string
		reach []string
	}{
		{"TLS required", without("--tls")},
		{"certificate signed by unknown authority", append(without("--tls-root-ca-file"), "--tls-root-ca-file="+other.file)},
		{"certificate required", without("--tls-cert", "--tls-key")},
		{"unknown certificate authority", append(without("--tls-cert", "--tls-key"), "--tls-cert="+strangers, "--tls-key="+strangersKey)},
		{"the node wants a secret (AUTH) and none is given", without("--auth-secret")},
		{"AUTH", append(without("--auth-secret"), "--auth-secret=wrong")},
	} {
		wantRefusal(t, exitFailed, test.why, append([]string{"pub", "t", "x"}, test.reach...)...)
		wantRefusal(t, exitFailed, test.why, append([]string{"sub", "t", "c", "--yes", "--count=1"}, test.reach...)...)
	}
	wantRefusal(t, exitFailed, "AUTH failed for PUB on \"other\"", append([]string{"pub", "other", "x"}, tcp...)...)
	for _, topic := range []string{"t", "other"} {
		if f := s.figures(topic); f.MessageCount != 0 {
			t.Errorf("%+v", f)
		}
	}
	_, reader, _ := startSecure(t, newAuthority(t), "read", `"subscribe"`)
	wantRefusal(t, exitFailed, "for PUB on \"t\"", append([]string{"pub", "t", "x"}, reader...)...)
}

// TestSecretsComeFromTheEnvironmentAndFromContexts, so that nobody reads them on a
// command line.
func TestSecretsComeFromTheEnvironmentAndFromContexts(t *testing.T) {
	a := newAuthority(t)
	s, tcp, _ := startSecure(t, a, "open sesame", `"publish","subscribe"`)
	clear := slices.DeleteFunc(slices.Clone(tcp), func(arg string) bool { return strings.HasPrefix(arg, "--auth-secret") })
	file := writeFile(t, filepath.Join(t.TempDir(), "config.toml"), "[contexts.prod]\nauth-secret = \"open sesame\"\n")
	must(t, "", append([]string{"pub", "t", "one", "--config=" + file, "--context=prod"}, clear...)...)
	t.Setenv("Q_AUTH_SECRET", "open sesame")
	must(t, "", append([]string{"pub", "t", "two"}, clear...)...)
	if f := s.figures("t"); f.MessageCount != 2 {
		t.Errorf("%+v", f)
	}
}
