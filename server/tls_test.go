package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"qmq/protocol"
	"qmq/test/wire"
)

// selfSigned makes a certificate that is its own root.
func selfSigned(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// withTLS gives the server a certificate.
func withTLS(t testing.TB, change ...func(*tls.Config)) func(*Options) {
	config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "server")}, MinVersion: tls.VersionTLS12}
	for _, c := range change {
		c(config)
	}
	return func(o *Options) { o.TLS = config }
}

// negotiate sends an IDENTIFY that asks for the given features and reads its
// answer.
func negotiate(c *wire.Conn, features string) (answer string) {
	c.T.Helper()
	c.Send(wire.Identify(`{"feature_negotiation":true,` + features + `}`))
	kind, answer := c.Frame()
	if kind != wire.Response {
		c.T.Fatalf("got frame %d %q", kind, answer)
	}
	return answer
}

// encrypt begins TLS on the client's side.
func encrypt(c *wire.Conn, change ...func(*tls.Config)) {
	config := &tls.Config{InsecureSkipVerify: true}
	for _, f := range change {
		f(config)
	}
	c.Conn = tls.Client(c.Conn, config)
}

func TestTLSIsNegotiatedAndShown(t *testing.T) {
	r := start(t, withTLS(t))
	c := r.connect()
	if answer := negotiate(c, `"tls_v1":true`); !strings.Contains(answer, `"tls_v1":true`) {
		t.Fatal(answer)
	}
	encrypt(c)
	c.Expect("OK")
	c.Send("SUB t ch\nRDY 1\n" + wire.Pub("t", "secret"))
	c.Expect("OK")
	for range 2 { // the message and the OK, in any order
		if kind, data := c.Frame(); kind != wire.Delivery && data != "OK" {
			t.Fatalf("got frame %d %q", kind, data)
		}
	}
	if got := r.clientOf(c).TLS; got == nil || got.Version != "TLS1.3" || !strings.HasPrefix(got.CipherSuite, "TLS_") || got.Protocol != "" || !got.Mutual {
		t.Errorf("it has %+v", got)
	}
}

func TestTLSIsNotOfferedWithoutCertificate(t *testing.T) {
	c := start(t).connect()
	if answer := negotiate(c, `"tls_v1":true`); !strings.Contains(answer, `"tls_v1":false`) {
		t.Error(answer)
	}
	c.ExpectOpen()
}

func TestWithoutTLSOnlyIdentifyIsAllowedWhereItIsRequired(t *testing.T) {
	r := start(t, withTLS(t), func(o *Options) { o.TLSRequired = true })
	for _, test := range []struct{ send, name string }{
		{"SUB t ch\n", "SUB"},
		{wire.Pub("t", "x"), "PUB"},
		{"NOP\n", "NOP"},
		{"nonsense\n", "nonsense"},
		{"AUTH\n" + wire.Sized("s"), "AUTH"},
	} {
		c := r.connect(wire.Identify(`{}`))
		c.Expect("OK")
		c.Send(test.send)
		c.ExpectError("E_INVALID cannot " + test.name + " in current state (TLS required)")
		c.ExpectEnd()
	}
	c := r.connect()
	negotiate(c, `"tls_v1":true`)
	encrypt(c)
	c.Expect("OK")
	c.ExpectOpen()
	if _, there := r.broker.Existing("t"); there {
		t.Error("a topic was made without TLS")
	}
}

// TestWhatCameInClearIsNotObeyedUnderTLS: someone in the middle may have put it
// there.
func TestWhatCameInClearIsNotObeyedUnderTLS(t *testing.T) {
	r := start(t, withTLS(t))
	c := r.connect(wire.Identify(`{"feature_negotiation":true,"tls_v1":true}`) + wire.Pub("injected", "x"))
	c.Frame()
	for {
		if kind, data, err := c.AnyFrame(); err != nil {
			break
		} else if kind == wire.Response {
			t.Fatalf("got %q", data)
		}
	}
	if _, there := r.broker.Existing("injected"); there {
		t.Error("it was published")
	}
}

func TestClientCertificatePolicies(t *testing.T) {
	good, stranger := selfSigned(t, "good"), selfSigned(t, "stranger")
	roots := x509.NewCertPool()
	roots.AddCert(good.Leaf)
	for _, test := range []struct {
		name     string
		policy   tls.ClientAuthType
		shown    []tls.Certificate
		admitted bool
	}{
		{"require, none", tls.RequireAnyClientCert, nil, false},
		{"require, any", tls.RequireAnyClientCert, []tls.Certificate{stranger}, true},
		{"require-verify, none", tls.RequireAndVerifyClientCert, nil, false},
		{"require-verify, a stranger's", tls.RequireAndVerifyClientCert, []tls.Certificate{stranger}, false},
		{"require-verify, good", tls.RequireAndVerifyClientCert, []tls.Certificate{good}, true},
	} {
		r := start(t, withTLS(t, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = test.policy, roots }))
		c := r.connect()
		negotiate(c, `"tls_v1":true`)
		encrypt(c, func(c *tls.Config) {
			c.Certificates = test.shown
			// Shown whatever roots the server names.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(test.shown) == 0 {
					return new(tls.Certificate), nil
				}
				return &test.shown[0], nil
			}
		})
		if _, data, err := c.AnyFrame(); (err == nil && data == "OK") != test.admitted {
			t.Errorf("%s: %q, %v", test.name, data, err)
		}
	}
}

func TestFatalErrorIsReadableUnderTLS(t *testing.T) {
	r := start(t, withTLS(t))
	c := r.connect()
	negotiate(c, `"tls_v1":true`)
	encrypt(c)
	c.Expect("OK")
	c.Send("nonsense\n" + strings.Repeat("x", 100_000))
	c.ExpectError("E_INVALID invalid command nonsense")
	c.ExpectEnd()
}

func TestSecondUpgradeIsRefused(t *testing.T) {
	for _, features := range [][2]string{
		{`"tls_v1":true`, `"tls_v1":true`},
	} {
		c := start(t, withTLS(t)).connect()
		negotiate(c, features[0])
		encrypt(c)
		c.Expect("OK")
		c.Send(wire.Identify(`{"feature_negotiation":true,` + features[1] + `}`))
		c.ExpectError("E_IDENTIFY_FAILED IDENTIFY failed the connection is upgraded already")
		c.ExpectEnd()
	}
}

func TestIdentifyMayComeAgainUnderTLS(t *testing.T) {
	c := start(t, withTLS(t)).connect()
	negotiate(c, `"tls_v1":true`)
	encrypt(c)
	c.Expect("OK")
	if answer := negotiate(c, `"msg_timeout":5000`); !strings.Contains(answer, `"msg_timeout":5000`) {
		t.Error(answer)
	}
	c.ExpectOpen()
}

// TestCloseEndsHandshakes: one that the client never finishes does not hold up
// the server.
func TestCloseEndsHandshakes(t *testing.T) {
	inFakeTime(t, withTLS(t), func(t *testing.T, server *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic)
		negotiate(c, `"tls_v1":true`)
		began := time.Now()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took >= closeGently {
			t.Errorf("Close took %v", took)
		}
		for {
			if _, _, err := c.AnyFrame(); err != nil {
				break
			}
		}
	})
}

func TestTLSAcrossSmallPackets(t *testing.T) {
	r := start(t, withTLS(t))
	c := r.connect()
	negotiate(c, `"tls_v1":true`)
	c.Conn = slowly{c.Conn}
	encrypt(c)
	c.Expect("OK")
	for range 3 {
		c.Send(wire.Pub("t", strings.Repeat("x", 1000)))
		c.Expect("OK")
	}
}

// slowly writes one byte at a time.
type slowly struct{ net.Conn }

func (s slowly) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := s.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func (s slowly) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{s}, r) }

// TestRecordsThatCameTogetherAreNotHeldBack: they are answered although another
// one has only begun.
func TestRecordsThatCameTogetherAreNotHeldBack(t *testing.T) {
	c := start(t, withTLS(t)).connect()
	negotiate(c, `"tls_v1":true`)
	held := &holding{Conn: c.Conn}
	c.Conn = held
	encrypt(c)
	c.Expect("OK")
	held.hold = true
	for range 5 {
		c.Send(wire.Pub("t", "x")) // a record each
	}
	whole := len(held.held)
	c.Send(wire.Pub("t", "last"))
	held.let(whole + 3) // into its head
	c.Expect("OK", "OK", "OK", "OK", "OK")
	held.let(20) // into its body
	held.let(len(held.held))
	c.Expect("OK")
}

// holding keeps what is written to it.
type holding struct {
	net.Conn
	hold bool
	held []byte
}

func (h *holding) Write(b []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(b)
	}
	h.held = append(h.held, b...)
	return len(b), nil
}

// let writes n bytes of what was kept.
func (h *holding) let(n int) {
	h.Conn.Write(h.held[:n])
	h.held = h.held[n:]
}

func TestLongDeliveriesUnderTLSAreWhole(t *testing.T) {
	c := start(t, withTLS(t)).connect()
	negotiate(c, `"tls_v1":true`)
	encrypt(c)
	c.Expect("OK")
	c.Send("SUB t ch\n")
	c.Expect("OK")
	var sizes []int
	for size := 1; size < 1_000_000; size = size*3 + 1 { // around records and pieces
		sizes = append(sizes, size)
		c.Send(wire.Pub("t", strings.Repeat("x", size)))
		c.Expect("OK")
	}
	c.Send("RDY 100\n")
	for _, size := range sizes {
		if m := c.Message(); m.Body != strings.Repeat("x", size) {
			t.Fatalf("%d bytes came, want %d", len(m.Body), size)
		}
	}
}
