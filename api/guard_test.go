package api

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"qmq/internal/httpauth"
)

func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// withCredentials closes the API but for the given lines.
func withCredentials(t *testing.T, lines ...string) (file string, change func(*options)) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "http-auth")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := httpauth.Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return file, func(o *options) { o.Auth = a }
}

// as calls the API with a credential: nothing, "Bearer token" or "user:password".
func (r *rig) as(credential, method, target string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, target, strings.NewReader("x"))
	if user, password, basic := strings.Cut(credential, ":"); basic {
		q.SetBasicAuth(user, password)
	} else if credential != "" {
		q.Header.Set("Authorization", credential)
	}
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, q)
	return w
}

func TestRolesOfTheHTTPAPI(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("pa:ss"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file, with := withCredentials(t,
		"# people",
		"read basic reader "+digestOf("r"),
		"  admin   basic boss "+string(hash),
		"",
		"publish bearer "+digestOf("p"),
		"read,publish bearer "+digestOf("rp"),
		"consume bearer "+digestOf("c"))
	r := start(t, with)
	r.as("boss:pa:ss", "POST", "/topic/create?topic=t")
	requests := []struct {
		method, target string
		role           string
	}{
		{"GET", "/ping", "nobody"},
		{"GET", "/info", "read"},
		{"GET", "/stats", "read"},
		{"GET", "/stats?format=json", "read"},
		{"POST", "/pub?topic=t", "publish"},
		{"POST", "/mpub?topic=t", "publish"},
		{"POST", "/sub?topic=t&channel=c", "consume"},
		{"POST", "/fin?topic=t&channel=c&id=0000000000000000", "consume"},
		{"POST", "/req?topic=t&channel=c&id=0000000000000000", "consume"},
		{"POST", "/touch?topic=t&channel=c&id=0000000000000000", "consume"},
		{"POST", "/stats", "admin"},
		{"POST", "/topic/create?topic=t", "admin"},
		{"POST", "/topic/adopt?directory=d", "admin"},
		{"POST", "/damage/ack", "admin"},
		{"POST", "/deadletter/putback?topic=t&all=true", "admin"},
		{"POST", "/channel/create?topic=t&channel=c", "admin"},
		{"POST", "/topic/pause?topic=t", "admin"},
		{"GET", "/debug/pprof/cmdline", "admin"},
		{"PUT", "/debug/setblockrate?rate=0", "admin"},
		{"GET", "/config/log_level", "admin"},
		{"GET", "/nowhere", "admin"},
		{"GET", "/Stats", "admin"},
		{"GET", "//debug/pprof/", "admin"},
	}
	for credential, roles := range map[string]string{
		"":             "",
		"Bearer wrong": "",
		"Bearer":       "",
		"Digest p":     "",
		"reader:wrong": "",
		"stranger:r":   "",
		"boss:wrong":   "",
		"boss:":        "",
		"reader:r":     "read",
		"Bearer p":     "publish",
		"bearer rp":    "read publish",
		"Bearer c":     "consume",
		"boss:pa:ss":   "read publish consume admin",
	} {
		for _, q := range requests {
			a, err := httpauth.Open(file, slog.New(slog.DiscardHandler)) // how often one may try is another matter
			if err != nil {
				t.Fatal(err)
			}
			r.http.o.Auth = a
			for range 2 { // the second time bcrypt is not asked
				w := r.as(credential, q.method, q.target)
				allowed := q.role == "nobody" || strings.Contains(roles, q.role)
				switch {
				case allowed && (w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden):
					t.Errorf("%q may not %s %s: %d", credential, q.method, q.target, w.Code)
				case allowed:
				case roles == "" && (w.Code != http.StatusUnauthorized || w.Body.String() != `{"message":"UNAUTHORIZED"}` || len(w.Header()["Www-Authenticate"]) != 2):
					t.Errorf("%q: %s %s is answered %d %s", credential, q.method, q.target, w.Code, w.Body)
				case roles != "" && (w.Code != http.StatusForbidden || w.Body.String() != `{"message":"FORBIDDEN"}`):
					t.Errorf("%q: %s %s is answered %d %s", credential, q.method, q.target, w.Code, w.Body)
				}
			}
		}
	}
}

func TestPagesOfOtherSitesMayNotUseABrowsersPassword(t *testing.T) {
	_, with := withCredentials(t, "admin basic boss "+digestOf("p"))
	r := start(t, with)
	for _, test := range []struct {
		method, site, origin string
		status               int
	}{
		{"POST", "", "", http.StatusOK}, // no browser
		{"POST", "same-origin", "", http.StatusOK},
		{"POST", "cross-site", "", http.StatusForbidden},
		{"POST", "same-site", "", http.StatusForbidden},
		{"POST", "", "http://other.example", http.StatusForbidden},
		{"POST", "", "http://example.com", http.StatusOK}, // httptest's host
		{"GET", "cross-site", "http://other.example", http.StatusOK},
	} {
		target := map[string]string{"GET": "/stats", "POST": "/topic/create?topic=t"}[test.method]
		q := httptest.NewRequest(test.method, target, nil)
		q.SetBasicAuth("boss", "p")
		if test.site != "" {
			q.Header.Set("Sec-Fetch-Site", test.site)
		}
		if test.origin != "" {
			q.Header.Set("Origin", test.origin)
		}
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, q)
		if w.Code != test.status {
			t.Errorf("%+v: %d", test, w.Code)
		}
	}
}

// A credential that is taken out of its file has nothing given out any more, also to requests
// that came before.
func TestWhoLosesTheCredentialWhileWaitingGetsNothing(t *testing.T) {
	boss := "admin bearer " + digestOf("boss")
	file, with := withCredentials(t, "consume bearer "+digestOf("gone"), boss)
	r := start(t, with)
	address := r.listen()
	as := func(token, path, accept, body string) (*http.Response, error) {
		q, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		q.Header.Set("Authorization", "Bearer "+token)
		q.Header.Set("Accept", accept)
		return http.DefaultClient.Do(q)
	}
	streamed, err := as("gone", "/sub?topic=t&channel=c&lease=60000", "text/event-stream", "")
	if err != nil {
		t.Fatal(err)
	}
	defer streamed.Body.Close()
	stream := bufio.NewReader(streamed.Body)
	event(t, stream) // the lease
	refused := make(chan string, 1)
	go func() {
		answer, err := as("gone", "/sub?topic=t&channel=d&wait=60000&lease=60000", "*/*", "")
		if err != nil {
			refused <- err.Error()
			return
		}
		answer.Body.Close()
		refused <- answer.Status
	}()
	eventually(t, func() bool { // a request counts before its channel is there
		_, err := r.broker.Channel("t", "d")
		return err == nil && r.http.leases.Counts().Polls == 2
	})
	if err := os.WriteFile(file, []byte(boss), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.http.o.Auth.Reload(); err != nil {
		t.Fatal(err)
	}
	if answer, err := as("boss", "/pub?topic=t", "*/*", "x"); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	if status := <-refused; status != "401 Unauthorized" {
		t.Error(status)
	}
	if name, data := event(t, stream); name != "end" || data != `{"message":"UNAUTHORIZED"}` {
		t.Error(name, data)
	}
	for _, channel := range []string{"c", "d"} {
		var got subAnswer
		answer, err := as("boss", "/sub?topic=t&channel="+channel, "*/*", "")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(&got)
		answer.Body.Close()
		if err != nil || len(got.Messages) != 1 || got.Messages[0].Attempts != 1 {
			t.Errorf("%s: %+v, %v", channel, got, err)
		}
	}
}
