package admin

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestThePageShowsMessagesToThoseWhoMaySeeThem: who has signed in, or is on this
// machine, or everybody with the option.
func TestThePageShowsMessagesToThoseWhoMaySeeThem(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 3, aChannel("c", 3, 0)))
	a.set(func(n *fakeNode) {
		n.peek = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"messages":[],"total":0}`)) }
	})
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for _, test := range []struct {
		what   string
		o      Options
		from   string
		header [2]string
		status int
	}{
		{"stranger", Options{}, "192.0.2.1:1", [2]string{}, 403},
		{"on this machine", Options{}, "127.0.0.1:1", [2]string{}, 200},
		{"through a proxy on this machine", Options{}, "127.0.0.1:1", [2]string{"X-Forwarded-For", "192.0.2.1"}, 403},
		{"with the option", Options{Peek: true}, "192.0.2.1:1", [2]string{}, 200},
		{"who says who they are", Options{ACLHeader: "X-User"}, "192.0.2.1:1", [2]string{"X-User", "maria"}, 403},
		{"of whom a proxy says it", Options{ACLHeader: "X-User", TrustedProxies: proxies}, "127.0.0.1:1", [2]string{"X-User", "maria"}, 200},
	} {
		test.o.Nodes = []string{a.address()}
		s, _ := startServer(t, test.o)
		r := httptest.NewRequest("GET", "/api/q/peek?topic=t&channel=c", nil)
		r.RemoteAddr = test.from
		if test.header[0] != "" {
			r.Header.Set(test.header[0], test.header[1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != test.status || w.Code == 403 && !strings.Contains(w.Body.String(), "--page-peek") {
			t.Errorf("%s: %d %s", test.what, w.Code, w.Body)
		}
	}
}

func TestStatsViewersSeeFiguresAndNoMessages(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 3, aChannel("c", 3, 0)))
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("vera:viewer:"+string(hash)+"\nstan:stats-viewer:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, base := startServer(t, Options{Nodes: []string{a.address()}, UsersFile: file, Peek: true})
	for user, want := range map[string]int{"vera": 200, "stan": 403} {
		r, _ := http.NewRequest("POST", base+"/api/q/login", strings.NewReader(`{"user":"`+user+`","password":"p"}`))
		r.Header.Set("Content-Type", "application/json")
		in, err := http.DefaultClient.Do(r)
		if err != nil || in.StatusCode != 200 {
			t.Fatal(in, err)
		}
		in.Body.Close()
		for path, status := range map[string]int{"/api/q/overview": 200, "/api/q/peek?topic=t&channel=c": want} {
			r, _ := http.NewRequest("GET", base+path, nil)
			for _, c := range in.Cookies() {
				r.AddCookie(c)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != status {
				t.Errorf("%s %s: %d", user, path, answer.StatusCode)
			}
		}
	}
}
