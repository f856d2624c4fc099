package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"qmq/internal/auth"
	"qmq/test/process"
	"qmq/test/wire"
)

// authServer is an auth server: it answers what it is told to.
type authServer struct {
	mu     sync.Mutex
	answer string // empty: refuse
	asked  []url.Values
}

func (a *authServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.URL.Query())
	if a.answer == "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	io.WriteString(w, a.answer)
}

func (a *authServer) say(answer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *authServer) questions() []url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// withAuth gives the server an auth server.
func withAuth(t *testing.T, answer string) (*authServer, func(*Options)) {
	t.Helper()
	a := &authServer{answer: answer}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	c := auth.New(auth.Options{Addresses: []string{s.Listener.Addr().String()}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(c.Close)
	return a, func(o *Options) { o.Auth = c }
}

const (
	maySome = `{"ttl":3600,"identity":"joe","identity_url":"http://joe","authorizations":[` +
		`{"topic":"^in$","channels":[".*"],"permissions":["publish"]},` +
		`{"topic":"^out$","channels":["^c$"],"permissions":["subscribe","publish"]}]}`
	mayAll = `{"ttl":3600,"authorizations":[{"topic":".*","channels":[".*"],"permissions":["subscribe","publish"]}]}`
	secret = "AUTH\n\x00\x00\x00\x03s3c"
)

func TestAuthErrorsInTheirOrder(t *testing.T) {
	a, with := withAuth(t, maySome)
	r := start(t, with, func(o *Options) { o.MaxMsgSize, o.MaxBodySize = 10, 40 })
	for _, test := range []struct{ send, want string }{
		{"AUTH x\n" + wire.Sized("s"), "E_INVALID AUTH invalid number of parameters"},
		{"AUTH\n" + wire.Size(41), "E_BAD_BODY AUTH body too big 41 > 40"},
		{"AUTH\n" + wire.Size(0), "E_BAD_BODY AUTH invalid body size 0"},
		{"SUB out c\n", "E_AUTH_FIRST AUTH required before SUB"},
		{"SUB $ c\n", `E_BAD_TOPIC SUB topic name "$" is not valid`},
		{wire.Pub("in", "x"), "E_AUTH_FIRST AUTH required before PUB"},
		{wire.Pub("in", strings.Repeat("x", 11)), "E_BAD_MESSAGE PUB message too big 11 > 10"},
		{wire.DPub("in", 5, "x"), "E_AUTH_FIRST AUTH required before DPUB"},
		{"MPUB in\n", "E_AUTH_FIRST AUTH required before MPUB"}, // before its body has come
		{"MPUB in\n" + wire.Size(-1), "E_AUTH_FIRST AUTH required before MPUB"},
	} {
		c := r.connect(test.send)
		c.ExpectError(test.want)
		c.ExpectEnd()
	}
	for _, test := range []struct{ send, want string }{
		{"AUTH\n" + wire.Size(41), "E_BAD_BODY AUTH body too big 41 > 40"},
		{secret, "E_INVALID AUTH already set"},
		{"SUB in c\n", `E_UNAUTHORIZED AUTH failed for SUB on "in" "c"`},
		{"SUB out d\n", `E_UNAUTHORIZED AUTH failed for SUB on "out" "d"`},
		{wire.Pub("out", "x"), `E_UNAUTHORIZED AUTH failed for PUB on "out" ""`},
		{wire.DPub("other", 5, "x"), `E_UNAUTHORIZED AUTH failed for DPUB on "other" ""`},
		{"MPUB other\n" + wire.Size(-1), `E_UNAUTHORIZED AUTH failed for MPUB on "other" ""`},
	} {
		c := r.connect(secret)
		c.Expect(`{"identity":"joe","identity_url":"http://joe","permission_count":2}`)
		c.Send(wire.Pub("in", "x") + test.send) // what came before is done
		c.Expect("OK")
		c.ExpectError(test.want)
		c.ExpectEnd()
	}
	c := r.connect(secret)
	c.Frame()
	c.Send("SUB out c\n" + wire.Pub("in", "x") + wire.MPub("in", "y", "z") + wire.DPub("in", 5, "x"))
	c.Expect("OK", "OK", "OK", "OK")
	c.Send(secret)
	c.ExpectError("E_INVALID cannot AUTH in current state")

	a.say("")
	c = r.connect(secret)
	c.ExpectError("E_AUTH_FAILED AUTH failed")
	c.ExpectEnd()
	a.say(`{"ttl":1,"authorizations":[]}`)
	c = r.connect(secret)
	c.ExpectError("E_UNAUTHORIZED AUTH no authorizations found")
	c.ExpectEnd()
	for _, name := range []string{"other", "still.open"} {
		if _, there := r.broker.Existing(name); there {
			t.Errorf("topic %s was made for one who may not", name)
		}
	}
}

func TestAuthIsAnnouncedAndShown(t *testing.T) {
	_, with := withAuth(t, maySome)
	r := start(t, with)
	c := r.connect()
	if answer := negotiate(c, `"client_id":"c"`); !strings.Contains(answer, `"auth_required":true`) {
		t.Error(answer)
	}
	c.Send(secret + wire.Pub("in", "x"))
	c.Frame()
	c.Expect("OK")
	if who := r.clientOf(c).Identity; who == nil || *who != (Identity{Name: "joe", URL: "http://joe"}) {
		t.Errorf("it is %+v", who)
	}
}

func TestAuthServerLearnsWhoAsks(t *testing.T) {
	a, with := withAuth(t, mayAll)
	me := selfSigned(t, "client name")
	r := start(t, with, withTLS(t, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }))
	c := r.connect(secret)
	c.Frame()
	c = r.connect()
	negotiate(c, `"tls_v1":true`)
	encrypt(c, func(c *tls.Config) { c.Certificates = []tls.Certificate{me} })
	c.Expect("OK")
	c.Send(secret)
	c.Frame()
	got := fmt.Sprint(a.questions())
	want := "[map[common_name:[] remote_ip:[127.0.0.1] secret:[s3c] tls:[false]] map[common_name:[client name] remote_ip:[127.0.0.1] secret:[s3c] tls:[true]]]"
	if got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// TestAuthServerLearnsVerifiedNamesAloneWhereThatIsWanted: under the policy that
// verifies nothing there are none.
func TestAuthServerLearnsVerifiedNamesAloneWhereThatIsWanted(t *testing.T) {
	me := selfSigned(t, "client name")
	roots := x509.NewCertPool()
	roots.AddCert(me.Leaf)
	for policy, want := range map[tls.ClientAuthType]string{tls.RequireAnyClientCert: "", tls.RequireAndVerifyClientCert: "client name"} {
		a, with := withAuth(t, mayAll)
		r := start(t, with, withTLS(t, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = policy, roots }), func(o *Options) { o.AuthVerifiedNames = true })
		c := r.connect()
		negotiate(c, `"tls_v1":true`)
		encrypt(c, func(c *tls.Config) { c.Certificates = []tls.Certificate{me} })
		c.Expect("OK")
		c.Send(secret)
		c.Frame()
		if got := a.questions()[0].Get("common_name"); got != want {
			t.Errorf("%v: told %q, want %q", policy, got, want)
		}
	}
}

// TestGrantHoldsUntilItsTTL: the auth server is not asked before, so that it
// may be down; after that its word counts.
func TestGrantHoldsUntilItsTTL(t *testing.T) {
	a, with := withAuth(t, mayAll)
	r := start(t, with)
	c := r.connect(secret)
	c.Frame()
	a.say("")
	for range 3 {
		c.Send(wire.Pub("t", "x") + wire.MPub("u", "y"))
		c.Expect("OK", "OK")
	}
	if n := len(a.questions()); n != 1 {
		t.Errorf("asked %d times", n)
	}

	a.say(strings.Replace(mayAll, "3600", "1", 1))
	renewed, refused := r.connect(secret+wire.Pub("t", "x")), r.connect(secret+wire.Pub("t", "x"))
	for _, c := range []*wire.Conn{renewed, refused} {
		c.Frame()
		c.Expect("OK")
	}
	a.say(mayAll)
	for asked := len(a.questions()); len(a.questions()) == asked; {
		renewed.Send(wire.Pub("t", "x"))
		renewed.Expect("OK")
	}
	a.say("")
	renewed.ExpectOpen()
	for {
		refused.Send(wire.Pub("t", "x"))
		if _, data := refused.Frame(); data == "OK" {
			continue
		} else if data != "E_AUTH_FAILED AUTH failed" {
			t.Errorf("got %q", data)
		}
		break
	}
	refused.ExpectEnd()
}

// TestCloseDoesNotWaitForAuthServers ends a question that nobody answers.
func TestCloseDoesNotWaitForAuthServers(t *testing.T) {
	came, leave := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(came)
		<-leave
	}))
	defer s.Close()
	defer close(leave)
	client := auth.New(auth.Options{Addresses: []string{s.Listener.Addr().String()}, Logger: slog.New(slog.DiscardHandler)})
	r := start(t, func(o *Options) { o.Auth = client })
	r.connect(secret)
	process.Next(t, came)
	if err := r.tcp.Close(); err != nil {
		t.Error(err)
	}
}
