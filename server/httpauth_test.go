package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"qmq/internal/guess"
)

func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// withCredentials closes the API but for the given lines.
func withCredentials(t *testing.T, lines ...string) (file string, change func(*Options)) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "http-auth")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := OpenHTTPAuth(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return file, func(o *Options) { o.HTTPAuth = a }
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
	_, with := withCredentials(t,
		"# people",
		"read basic reader "+digestOf("r"),
		"  admin   basic boss "+string(hash),
		"",
		"publish bearer "+digestOf("p"),
		"read,publish bearer "+digestOf("rp"))
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
		{"POST", "/stats", "admin"},
		{"POST", "/topic/create?topic=t", "admin"},
		{"POST", "/topic/adopt?directory=d", "admin"},
		{"POST", "/damage/ack", "admin"},
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
		"boss:pa:ss":   "read publish admin",
	} {
		for range 2 { // the second time bcrypt is not asked
			for _, q := range requests {
				r.http.o.HTTPAuth.guard = guess.New(1) // how often one may try is another matter
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

func TestMistakesInCredentials(t *testing.T) {
	for line, want := range map[string]string{
		"read":                    "want ROLES bearer DIGEST",
		"read bearer":             "want ROLES bearer DIGEST",
		"read basic u":            "want ROLES bearer DIGEST",
		"own bearer x":            `"own" is no role`,
		"read, bearer x":          `"" is no role`,
		"5ecret":                  "want ROLES bearer DIGEST",
		"read bearer 5ecret":      "no digest",
		"read bearer sha256:5ec4": "no digest",
		"read basic u 5ecret":     "no digest",
		"read basic u $2y$short":  "too short",
		"read basic u " + digestOf("a") + "\nread basic u " + digestOf("b"): "line 3: user u comes twice",
	} {
		_, err := parseCredentials([]byte("# comment\n"+line), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%s: %v", line, err)
		}
		if err != nil && strings.Contains(err.Error(), "5ec") {
			t.Errorf("%v gives a secret away", err)
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

// TestWhoIsGoneDoesNotWaitForBcrypt: those who guess and leave take no place
// in the queue.
func TestWhoIsGoneDoesNotWaitForBcrypt(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	_, with := withCredentials(t, "read basic u "+string(hash))
	a := start(t, with).http.o.HTTPAuth
	c := a.current.Now()
	held, release := make(chan struct{}), make(chan struct{})
	go a.guard.Compare(t.Context(), guess.Try{Place: "elsewhere", Account: "somebody else"}, func() bool {
		close(held)
		<-release
		return true
	})
	<-held
	gone, leave := context.WithCancel(t.Context())
	leave()
	if got, err := a.rolesOfUser(gone, c, "x", "u", "p"); got != nobody || err == nil {
		t.Errorf("it has been checked: %v, %v", got, err)
	}
	waits := make(chan role, 1)
	go func() {
		got, _ := a.rolesOfUser(t.Context(), c, "x", "u", "p")
		waits <- got
	}()
	close(release)
	if got := next(t, waits); got != readRoles {
		t.Errorf("the right password is good for %v", got)
	}
	if got, _ := a.rolesOfUser(gone, c, "x", "u", "p"); got != readRoles {
		t.Error("it waits again for what it was told")
	}
}

// TestGuessersAreRefusedAndLogged while those whose password was seen before, or
// who come from elsewhere, go on.
func TestGuessersAreRefusedAndLogged(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file, _ := withCredentials(t, "read basic seen "+string(hash), "read basic new "+string(hash), "read bearer "+digestOf("token"))
	var log strings.Builder
	a, err := OpenHTTPAuth(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *Options) { o.HTTPAuth = a })
	if w := r.as("seen:p", "GET", "/stats"); w.Code != http.StatusOK {
		t.Fatalf("the right one: %d", w.Code)
	}
	statuses := make(map[int]int)
	for range 40 {
		statuses[r.as("new:guess", "GET", "/stats").Code]++
	}
	if statuses[http.StatusUnauthorized] != guess.PerPair || statuses[http.StatusTooManyRequests] != 40-guess.PerPair {
		t.Errorf("guesses are answered %v", statuses)
	}
	w := r.as("new:p", "GET", "/stats")
	if wait, _ := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusTooManyRequests || w.Body.String() != `{"message":"TOO_MANY_TRIES"}` || wait < 200 || wait > 300 {
		t.Errorf("from there: %d %s, retry after %d s", w.Code, w.Body, wait)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, credential := range []string{"seen:p", "Bearer token"} {
		if w := r.as(credential, "GET", "/stats"); w.Code != http.StatusOK {
			t.Errorf("%s: %d", credential, w.Code)
		}
	}
	q := httptest.NewRequest("GET", "/stats", nil)
	q.RemoteAddr = "10.0.0.1:1"
	q.SetBasicAuth("new", "p")
	elsewhere := httptest.NewRecorder()
	r.http.ServeHTTP(elsewhere, q)
	if elsewhere.Code != http.StatusOK {
		t.Errorf("from elsewhere: %d", elsewhere.Code)
	}
	lines := strings.Count(log.String(), `msg="HTTP credential refused" from=192.0.2.1 user=new`)
	if lines < 1 || lines > 10 || strings.Contains(log.String(), "guess") {
		t.Errorf("logged %s", log.String())
	}
}

func TestCredentialsFollowTheirFile(t *testing.T) {
	file, with := withCredentials(t, "read bearer "+digestOf("old"))
	r := start(t, with)
	a := r.http.o.HTTPAuth
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err == nil {
		t.Error("nonsense is read")
	}
	if w := r.as("Bearer old", "GET", "/stats"); w.Code != http.StatusOK {
		t.Errorf("with a bad file: %d", w.Code)
	}
	if err := os.WriteFile(file, []byte("read bearer "+digestOf("new")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if w := r.as("Bearer old", "GET", "/stats"); w.Code != http.StatusUnauthorized {
		t.Errorf("the old token: %d", w.Code)
	}
	if w := r.as("Bearer new", "GET", "/stats"); w.Code != http.StatusOK {
		t.Errorf("the new token: %d", w.Code)
	}
}
