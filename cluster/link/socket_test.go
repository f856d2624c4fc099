package link

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

type (
	ecdhKey  = ecdh.PrivateKey
	skewTime = time.Duration
)

// oneWay is a connection of which bytes come and to which none go.
type oneWay struct {
	net.Conn
	in io.Reader
}

func (o oneWay) Read(b []byte) (int, error)  { return o.in.Read(b) }
func (o oneWay) Write(b []byte) (int, error) { return len(b), nil }

// authority makes certificates for 127.0.0.1.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "members"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// mutual is TLS of a member with a certificate of issuer, that trusts a.
func (a *authority) mutual(issuer *authority) func(*Options) {
	pair := []tls.Certificate{issuer.issue()}
	return func(o *Options) {
		o.Secrets = nil
		o.Server = &tls.Config{Certificates: pair, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
		o.Client = func(address string) (*tls.Config, error) {
			host, _, err := net.SplitHostPort(address)
			return &tls.Config{Certificates: pair, RootCAs: a.pool, ServerName: host, MinVersion: tls.VersionTLS13}, err
		}
	}
}

// socketPair starts two members over TCP.
func socketPair(t testing.TB, edits ...func(*Options)) (members [2]*Links, up chan string, came chan string) {
	up, came = make(chan string, 16), make(chan string, 1024)
	var list []string
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
		list = append(list, l.Addr().String())
	}
	for i := range members {
		hello := Hello{Member: uint64(i + 1), Address: list[i], Peers: list, Level: 1, Number: -1, Sync: "always"}
		o := Options{
			Address: list[i], Listener: listeners[i], Hello: func() Hello { return hello },
			Secrets: secrets("the secret of the tests"), Logger: testLogger(t), Alive: time.Minute, // however busy the machine
			Up: func(p Peer) { up <- p.Address },
		}
		if i < len(edits) {
			edits[i](&o)
		}
		members[i] = New(o)
		members[i].Handle(testKind, func(_ uint64, body []byte) { came <- string(body) })
		members[i].HandleCall(1, func(_ context.Context, _ uint64, body []byte) ([]byte, error) { return body, nil })
	}
	for _, m := range members {
		m.Start(list)
		t.Cleanup(m.Close)
	}
	return members, up, came
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func TestMembersConnectOverSockets(t *testing.T) {
	ca := newAuthority(t)
	for name, edit := range map[string]func(*Options){"secret": func(*Options) {}, "TLS": ca.mutual(ca), "open": func(o *Options) { o.Secrets = nil }} {
		t.Run(name, func(t *testing.T) {
			members, up, came := socketPair(t, edit, edit)
			<-up
			<-up
			long := strings.Repeat("long ", 1<<20)
			for from, to := range []uint64{2, 1} {
				for _, body := range []string{"short", long} {
					if !members[from].Send(to, Bulk, testKind, []byte(body)) {
						t.Fatal("not sent")
					}
					if got := <-came; got != body {
						t.Errorf("%d bytes came of %d", len(got), len(body))
					}
				}
			}
			var calling sync.WaitGroup
			for range 50 {
				calling.Go(func() {
					if got, err := members[0].Call(context.Background(), 2, 1, []byte(long[:100_000])); err != nil || len(got) != 100_000 {
						t.Errorf("%d bytes, %v", len(got), err)
					}
				})
			}
			calling.Wait()
		})
	}
}

func TestCertificateOfAnotherAuthorityIsRefused(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	members, _, _ := socketPair(t, ours.mutual(ours), theirs.mutual(theirs))
	deadline := time.Now().Add(time.Minute)
	for said := false; !said; time.Sleep(5 * time.Millisecond) {
		for _, m := range members {
			said = said || strings.Contains(m.Peers()[0].Failure, "certificate")
		}
		if time.Now().After(deadline) {
			t.Fatal(members[0].Peers(), members[1].Peers())
		}
	}
}
