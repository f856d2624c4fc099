package admin

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"qmq/internal/guess"
)

// oneOption is a Config with a single option.
type oneOption struct{ value string }

func (o *oneOption) Lookup(key string) (any, bool) {
	return json.RawMessage(o.value), key == "nsqlookupd_http_addresses"
}
func (o *oneOption) Keys() []string                   { return []string{"nsqlookupd_http_addresses"} }
func (o *oneOption) Changeable(key string) bool       { return key == "nsqlookupd_http_addresses" }
func (o *oneOption) Set(_ string, value []byte) error { o.value = string(value); return nil }

func TestHeadersKeepBrowsersStrict(t *testing.T) {
	a := startNode(t, "a")
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	for _, path := range []string{"/", "/topics/x", "/static/app.js", "/api/topics", "/api/q/me", "/nothing"} {
		head := get(t, base+path).head
		policy := head.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %s", path, policy)
		}
		same(t, path, []any{head.Get("X-Content-Type-Options"), head.Get("X-Frame-Options")}, "[nosniff DENY]")
	}
}

func TestOtherSitesCannotChangeAnything(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	const act = `{"action":"delete_topic","topic":"t"}`
	for _, test := range []struct {
		method, path, body string
		head               []string
		status             int
	}{
		{"POST", "/api/q/act", act, []string{"Content-Type", "application/json", "Origin", "http://evil.example"}, 403},
		{"POST", "/api/q/act", act, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/api/q/act", act, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-site"}, 403},
		{"POST", "/api/q/act", act, []string{"Content-Type", "text/plain"}, 415},
		{"POST", "/api/q/act", act, nil, 415},
		{"DELETE", "/api/topics/t", "", []string{"Origin", "http://evil.example"}, 403},
		{"POST", "/api/topics/t", `{"action":"empty"}`, []string{"Origin", "null"}, 403},
		{"DELETE", "/api/topics/t", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if r := send(t, test.method, base+test.path, test.body, test.head...); r.status != test.status {
			t.Errorf("%s %s %v: %d", test.method, test.path, test.head, r.status)
		}
	}
	same(t, "told", a.told(), "[]")
	for _, head := range [][]string{{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}, {"Content-Type", "application/json; charset=utf-8", "Origin", base}} {
		same(t, "our own page", send(t, "POST", base+"/api/q/act", act, head...).status, 200)
	}
	same(t, "told", a.told(), "[/topic/delete?topic=t /topic/delete?topic=t]")
}

func TestOnlyAdminsOfTheHeaderMayChangeThings(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	_, base := startServer(t, Options{Nodes: []string{a.address()}, ACLHeader: "X-Forwarded-User", Admins: []string{"maria", "tom", "ines"}})
	for _, user := range []string{"", "eve", "mari", "maria "} {
		r := send(t, "DELETE", base+"/api/topics/t", "", "X-Forwarded-User", user)
		if user == "maria " {
			continue // HTTP itself takes blanks off
		}
		same(t, user, []any{r.status, r.body}, `[403 {"message":"FORBIDDEN"}]`)
		r = postJSON(t, base+"/api/q/act", `{"action":"delete_topic","topic":"t"}`, "X-Forwarded-User", user)
		same(t, user, []any{r.status, r.decoded(t)["text"]}, "[403 Your role is viewer. An admin may do this.]")
		same(t, user, postJSON(t, base+"/api/q/publish", `{}`, "X-Forwarded-User", user).status, 403)
		same(t, user, get(t, base+"/api/topics").status, 200)
	}
	a.told()
	same(t, "maria", send(t, "DELETE", base+"/api/topics/t", "", "X-Forwarded-User", "maria").status, 200)
	me := send(t, "GET", base+"/api/q/me", "", "X-Forwarded-User", "maria").decoded(t)
	same(t, "me", []any{me["user"], me["role"], me["may_act"], me["auth"]}, "[maria admin true header]")
}

func TestConfigIsForTheAllowedNetworkOnly(t *testing.T) {
	for _, test := range []struct {
		network string
		status  int
	}{{"127.0.0.1/8", 200}, {"10.0.0.0/8", 403}, {"", 200}} {
		o := Options{Lookupds: []string{"127.0.0.1:1"}, Config: &oneOption{`["a:1"]`}, BasePath: "/b"}
		if test.network != "" {
			o.AllowConfigFrom = netip.MustParsePrefix(test.network)
		}
		s, base := startServer(t, o)
		r := get(t, base+"/b/config/nsqlookupd_http_addresses")
		same(t, test.network, r.status, test.status)
		put := send(t, "PUT", base+"/b/config/nsqlookupd_http_addresses", `["b:2"]`)
		same(t, test.network, put.status, test.status)
		if test.status == 200 {
			same(t, "value", put.body, `["b:2"]`)
			newest := at(t, get(t, base+"/b/api/q/activity").decoded(t), "data", "entries", 0).(object)
			same(t, "activity", []any{newest["text"], newest["result"]}, "[changed option nsqlookupd_http_addresses]")
			// Over a socket the refusal may come before all is sent.
			long := httptest.NewRequest("PUT", "/b/config/nsqlookupd_http_addresses", strings.NewReader(strings.Repeat("x", 1<<20+1)))
			long.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			s.ServeHTTP(w, long)
			same(t, "too long", w.Code, 413)
		} else {
			same(t, "refusal", put.body, `{"message":"FORBIDDEN"}`)
		}
	}
}

// TestConfigIsChangedByAdminsOnlyWhereThereAreRoles also from the allowed network.
func TestConfigIsChangedByAdminsOnlyWhereThereAreRoles(t *testing.T) {
	const path = "/config/nsqlookupd_http_addresses"
	_, base := startServer(t, Options{Lookupds: []string{"127.0.0.1:1"}, Config: &oneOption{`[]`}, ACLHeader: "X-User", Admins: []string{"maria"},
		AllowConfigFrom: netip.MustParsePrefix("127.0.0.1/8")})
	for user, status := range map[string]int{"": 403, "eve": 403, "maria": 200} {
		same(t, "put by "+user, send(t, "PUT", base+path, `["b:2"]`, "X-User", user).status, status)
		same(t, "get by "+user, send(t, "GET", base+path, "", "X-User", user).status, 200)
	}
	_, open := startServer(t, Options{Lookupds: []string{"127.0.0.1:1"}, Config: &oneOption{`[]`}})
	same(t, "without roles", send(t, "PUT", open+path, `["b:2"]`).status, 200)
}

// TestHeadersCountFromTrustedProxiesOnly: who somebody is, and from where.
func TestHeadersCountFromTrustedProxiesOnly(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/8")}
	for _, test := range []struct {
		name      string
		proxies   []netip.Prefix
		from      string // of the connection
		forwarded string
		role      role
		verified  bool
		seen      string // from where
	}{
		{"no proxy is named", nil, "192.0.2.1:5", "1.1.1.1", roleAdmin, false, "192.0.2.1"},
		{"through the proxy", proxies, "10.0.0.7:5", "1.1.1.1", roleAdmin, true, "1.1.1.1"},
		{"through it over IPv6", proxies, "[fd00::1]:5", "2001:db8::1", roleAdmin, true, "2001:db8::1"},
		{"mapped", proxies, "[::ffff:10.0.0.7]:5", "1.1.1.1", roleAdmin, true, "1.1.1.1"},
		{"through two of them", proxies, "10.0.0.7:5", "6.6.6.6, 1.1.1.1, 10.0.0.8", roleAdmin, true, "1.1.1.1"},
		{"with ports", proxies, "10.0.0.7:5", "6.6.6.6, 1.1.1.1:5, 10.0.0.8:5", roleAdmin, true, "1.1.1.1"},
		{"with a port over IPv6", proxies, "10.0.0.7:5", "[2001:db8::1]:5", roleAdmin, true, "2001:db8::1"},
		{"in brackets", proxies, "10.0.0.7:5", "[2001:db8::1]", roleAdmin, true, "2001:db8::1"},
		{"nonsense", proxies, "10.0.0.7:5", "1.1.1.1, unknown", roleAdmin, true, "10.0.0.7"},
		{"not forwarded", proxies, "10.0.0.7:5", "", roleAdmin, true, "10.0.0.7"},
		{"past the proxy", proxies, "10.0.1.7:5", "10.0.0.7", roleViewer, false, "10.0.1.7"},
		{"over a socket", proxies, "@", "1.1.1.1", roleViewer, false, "@"},
	} {
		a := &access{header: "X-User", admins: []string{"maria"}, proxies: test.proxies}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.from
		r.Header.Set("X-User", "maria")
		r.Header.Set("X-Forwarded-For", test.forwarded)
		p := a.who(r)
		same(t, test.name, []any{p.role, p.verified, a.from(r), p.in}, fmt.Sprint([]any{test.role, test.verified, test.seen, true}))
	}
}

// TestNamesThatNobodyCheckedAreSaidToBeSo in the log and the list of activity.
func TestNamesThatNobodyCheckedAreSaidToBeSo(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	for _, proxies := range [][]netip.Prefix{nil, {netip.MustParsePrefix("127.0.0.0/8")}} {
		var log lockedBuilder
		_, base := startServer(t, Options{Nodes: []string{a.address()}, ACLHeader: "X-User", TrustedProxies: proxies, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		same(t, "pause", postJSON(t, base+"/api/q/act", `{"action":"pause_topic","topic":"t"}`, "X-User", "maria").status, 200)
		newest := at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries", 0).(object)
		same(t, "entry", []any{newest["user"], newest["unverified"] == true}, fmt.Sprint([]any{"maria", proxies == nil}))
		if text := log.String(); strings.Contains(text, "activity user_verified=false user=maria") != (proxies == nil) {
			t.Errorf("with %v it logs %s", proxies, text)
		}
	}
}

func TestAdminsAreNotListedToOthers(t *testing.T) {
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}, ACLHeader: "X-User", Admins: []string{"maria", "tom"}})
	for user, want := range map[string]string{"": "[]", "eve": "[]", "maria": "[maria tom]"} {
		same(t, user, send(t, "GET", base+"/api/q/me", "", "X-User", user).decoded(t)["admins"], want)
	}
}

func usersFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func hashOf(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestSigningIn(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	file := usersFile(t, "# people", "", "maria:admin:"+hashOf(t, "secret"), "tom:viewer:"+hashOf(t, "other"))
	_, base := startServer(t, Options{Nodes: []string{a.address()}, UsersFile: file, Config: &oneOption{`[]`}})
	for _, path := range []string{"/api/topics", "/api/q/overview", "/api/q/stream?view=overview", "/api/counter", "/config/x", "/api/q/peek", "//api/topics", "/static/../api/topics", "/api/topics/../..", "/config/..", "/api/q/overview/../me"} {
		if r := get(t, base+path); r.status != 401 && r.status != 301 && r.status != 307 {
			t.Errorf("%s without a session: %d %.80s", path, r.status, r.body)
		}
	}
	for _, path := range []string{"/", "/login", "/static/app.js", "/ping", "/api/q/me"} {
		same(t, path, get(t, base+path).status, 200)
	}
	same(t, "me", get(t, base+"/api/q/me").decoded(t)["logged_in"], false)

	cookie := signIn(t, base, "maria", "secret")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie is %s", cookie)
		}
	}
	session, _, _ := strings.Cut(cookie, ";")
	same(t, "with a session", send(t, "GET", base+"/api/topics", "", "Cookie", session).status, 200)
	same(t, "admin", postJSON(t, base+"/api/q/act", `{"action":"pause_topic","topic":"t"}`, "Cookie", session).status, 200)
	last, other := len(session)-2, "A" // the last but one: of the last not all bits count
	if session[last] == 'A' {
		other = "B"
	}
	changed := session[:last] + other + session[last+1:]
	same(t, "with another signature", send(t, "GET", base+"/api/topics", "", "Cookie", changed).status, 401)
	same(t, "a header does not help", send(t, "GET", base+"/api/topics", "", "X-Forwarded-User", "maria").status, 401)

	viewer, _, _ := strings.Cut(signIn(t, base, "tom", "other"), ";")
	r := postJSON(t, base+"/api/q/act", `{"action":"pause_topic","topic":"t"}`, "Cookie", viewer)
	same(t, "viewer", []any{r.status, r.decoded(t)["text"]}, "[403 Your role is viewer. An admin may do this.]")
	same(t, "viewer's config", send(t, "PUT", base+"/config/nsqlookupd_http_addresses", `[]`, "Cookie", viewer).status, 403)

	same(t, "signing out", postJSON(t, base+"/api/q/logout", `{}`, "Cookie", session).status, 200)
	same(t, "after it", send(t, "GET", base+"/api/topics", "", "Cookie", session).status, 401)
	same(t, "the other session", send(t, "GET", base+"/api/topics", "", "Cookie", viewer).status, 200)
}

func signIn(t *testing.T, base, user, password string) (cookie string) {
	t.Helper()
	r := postJSON(t, base+"/api/q/login", `{"user":"`+user+`","password":"`+password+`"}`)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return r.head.Get("Set-Cookie")
}

func TestPasswordsCannotBeTriedForLong(t *testing.T) {
	file := usersFile(t, "maria:admin:"+hashOf(t, "secret"), "tom:viewer:"+hashOf(t, "other"))
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}, UsersFile: file})
	for range guess.PerPair {
		r := postJSON(t, base+"/api/q/login", `{"user":"maria","password":"guess"}`)
		same(t, "guess", []any{r.status, r.decoded(t)["error"]}, "[401 WRONG_LOGIN]")
	}
	r := postJSON(t, base+"/api/q/login", `{"user":"maria","password":"secret"}`)
	same(t, "even the right one", []any{r.status, r.decoded(t)["error"]}, "[429 TOO_MANY]")
	if wait := r.decoded(t)["retry_after_s"].(float64); wait < 200 || wait > 301 {
		t.Errorf("wait for %v s", wait)
	}
	same(t, "somebody else", postJSON(t, base+"/api/q/login", `{"user":"tom","password":"other"}`).status, 200)
}

func TestSessionsEnd(t *testing.T) {
	l, _ := startLogin(t, "maria:admin:"+hashOf(t, "x"))
	now := time.Now()
	token := l.token(l.users.Now().byName["maria"], now)
	if s, ok := l.read(token, now.Add(sessionAge-time.Minute)); !ok || s.user.name != "maria" {
		t.Error("it ended early")
	}
	if _, ok := l.read(token, now.Add(sessionAge+time.Second)); ok {
		t.Error("it did not end")
	}
	for _, wrong := range []string{"", ".", "a.b", "====", token + "x", token[1:]} {
		if _, ok := l.read(wrong, now); ok {
			t.Errorf("%q is a session", wrong)
		}
	}
}

func TestWrongFilesOfUsersAreRefused(t *testing.T) {
	hash := hashOf(t, "x")
	for want, lines := range map[string][]string{
		"it names no user":       {"# nobody"},
		"not name:role:hash":     {"maria"},
		"the role must be":       {"maria:root:" + hash},
		"is no bcrypt hash":      {"maria:admin:secret"},
		"takes too long":         {"maria:admin:" + strings.Replace(hash, "$04$", "$16$", 1)},
		`"maria" is there twice`: {"maria:admin:" + hash, "maria:viewer:" + hash},
	} {
		if _, err := openUsers(usersFile(t, lines...), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", lines, err)
		}
	}
	if _, err := openUsers("/no/such/file", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is not there")
	}
}

func TestAnswersAreCompressedForThoseWhoTakeIt(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	for _, path := range []string{"/api/topics", "/static/app.js", "/", "/api/q/overview"} {
		plain := get(t, base+path)
		packed := send(t, "GET", base+path, "", "Accept-Encoding", "br, gzip;q=0.8")
		same(t, path, []any{plain.head.Get("Content-Encoding"), packed.head.Get("Content-Encoding"), packed.head.Get("Vary")}, "[ gzip Accept-Encoding]")
		z, err := gzip.NewReader(strings.NewReader(packed.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil || path != "/api/q/overview" && string(text) != plain.body {
			t.Errorf("%s: %v %.100s", path, err, text)
		}
	}
	same(t, "refused", send(t, "GET", base+"/", "", "Accept-Encoding", "gzip;q=0").head.Get("Content-Encoding"), "")
}

func TestFilesAreCachedByTheirContent(t *testing.T) {
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}})
	r := get(t, base+"/static/css/all.css")
	same(t, "file", []any{r.status, r.body, r.head.Get("Content-Type"), r.head.Get("Cache-Control")}, "[200 a{} text/css; charset=utf-8 no-cache]")
	again := send(t, "GET", base+"/static/css/all.css", "", "If-None-Match", r.head.Get("ETag"))
	same(t, "again", []any{again.status, again.body}, "[304 ]")
	same(t, "by version", get(t, base+"/static/css/all.css?v=1").head.Get("Cache-Control"), "public, max-age=31536000, immutable")
	for _, path := range []string{"/static/", "/static/../server.go", "/static/..%2fserver.go", "/static/css", "/static/index.html"} {
		if r := get(t, base+path); r.status == 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}
