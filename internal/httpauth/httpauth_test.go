package httpauth

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

// open writes lines to a file and reads it.
func open(t *testing.T, lines ...string) (a *Credentials, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "http-auth")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a, file
}

// request comes with a credential: nothing, "Bearer token" or "user:password".
func request(credential string) *http.Request {
	r := httptest.NewRequest("GET", "/stats", nil)
	if user, password, basic := strings.Cut(credential, ":"); basic {
		r.SetBasicAuth(user, password)
	} else if credential != "" {
		r.Header.Set("Authorization", credential)
	}
	return r
}

// ask is what a request for figures is answered; 200 stands for no answer.
func ask(a *Credentials, credential string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.Admits(w, request(credential), Stats)
	return w
}

// TestCredentialsAreGoodForTheirRoles and for no others.
func TestCredentialsAreGoodForTheirRoles(t *testing.T) {
	a, _ := open(t, "read basic u "+digestOf("p"), "stats bearer "+digestOf("s"), "publish,peek bearer "+digestOf("pp"), "admin bearer "+digestOf("a"))
	for credential, good := range map[string]Role{
		"u:p": Stats | Peek, "u:wrong": Nobody, "v:p": Nobody, "": Nobody, "Digest s": Nobody,
		"Bearer s": Stats, "bearer pp": Publish | Peek, "Bearer a": Stats | Peek | Publish | Admin, "Bearer wrong": Nobody,
	} {
		for _, need := range []Role{Nobody, Stats, Peek, Publish, Admin} {
			w := httptest.NewRecorder()
			if got, want := a.Admits(w, request(credential), need), need == Nobody || good&need != 0; got != want {
				t.Errorf("%q, who needs %d: %v", credential, need, got)
			} else if status := map[bool]int{true: http.StatusUnauthorized, false: http.StatusForbidden}[good == Nobody]; !want && w.Code != status {
				t.Errorf("%q, who needs %d, is answered %d", credential, need, w.Code)
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

// TestWhoIsGoneDoesNotWaitForBcrypt: those who guess and leave take no place
// in the queue.
func TestWhoIsGoneDoesNotWaitForBcrypt(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := open(t, "read basic u "+string(hash))
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
	if got, err := a.rolesOfUser(gone, c, "x", "u", "p"); got != Nobody || err == nil {
		t.Errorf("it has been checked: %v, %v", got, err)
	}
	waits := make(chan Role, 1)
	go func() {
		got, _ := a.rolesOfUser(t.Context(), c, "x", "u", "p")
		waits <- got
	}()
	close(release)
	if got := <-waits; got != readRoles {
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
	_, file := open(t, "read basic seen "+string(hash), "read basic new "+string(hash), "read bearer "+digestOf("token"))
	var log strings.Builder
	a, err := Open(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(a, "seen:p"); w.Code != http.StatusOK {
		t.Fatalf("the right one: %d", w.Code)
	}
	statuses := make(map[int]int)
	for range 40 {
		statuses[ask(a, "new:guess").Code]++
	}
	if statuses[http.StatusUnauthorized] != guess.PerPair || statuses[http.StatusTooManyRequests] != 40-guess.PerPair {
		t.Errorf("guesses are answered %v", statuses)
	}
	w := ask(a, "new:p")
	if wait, _ := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusTooManyRequests || w.Body.String() != `{"message":"TOO_MANY_TRIES"}` || wait < 200 || wait > 300 {
		t.Errorf("from there: %d %s, retry after %d s", w.Code, w.Body, wait)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, credential := range []string{"seen:p", "Bearer token"} {
		if w := ask(a, credential); w.Code != http.StatusOK {
			t.Errorf("%s: %d", credential, w.Code)
		}
	}
	q := request("new:p")
	q.RemoteAddr = "10.0.0.1:1"
	if elsewhere := httptest.NewRecorder(); !a.Admits(elsewhere, q, Stats) {
		t.Errorf("from elsewhere: %d", elsewhere.Code)
	}
	lines := strings.Count(log.String(), `msg="HTTP credential refused" from=192.0.2.1 user=new`)
	if lines < 1 || lines > 10 || strings.Contains(log.String(), "guess") {
		t.Errorf("logged %s", log.String())
	}
}

// TestNothingTellsWhoIsAUser: a name that is none is compared, takes as long and
// is refused after as many guesses as one that is.
func TestNothingTellsWhoIsAUser(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(map[string]string)
	for _, name := range []string{"user", "stranger"} {
		a, _ := open(t, "read basic user "+string(hash))
		for range 3 * guess.PerPair {
			w := ask(a, name+":guess")
			answers[name] += fmt.Sprintln(w.Code, w.Body)
		}
	}
	if answers["user"] != answers["stranger"] || !strings.Contains(answers["user"], "429") {
		t.Errorf("a user's name is answered\n%sand a stranger's\n%s", answers["user"], answers["stranger"])
	}
	a, _ := open(t, "read basic user "+string(hash))
	if w := ask(a, "stranger:p"); w.Code != http.StatusUnauthorized { // which is somebody's
		t.Errorf("a stranger with a user's password: %d", w.Code)
	}
	if w := ask(a, strings.Repeat("n", maxName+1)+":p"); w.Code != http.StatusUnauthorized {
		t.Errorf("a name that nobody can have: %d", w.Code)
	}
}

func TestCredentialsFollowTheirFile(t *testing.T) {
	a, file := open(t, "read bearer "+digestOf("old"))
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err == nil {
		t.Error("nonsense is read")
	}
	if w := ask(a, "Bearer old"); w.Code != http.StatusOK {
		t.Errorf("with a bad file: %d", w.Code)
	}
	if err := os.WriteFile(file, []byte("read bearer "+digestOf("new")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if w := ask(a, "Bearer old"); w.Code != http.StatusUnauthorized {
		t.Errorf("the old token: %d", w.Code)
	}
	if w := ask(a, "Bearer new"); w.Code != http.StatusOK {
		t.Errorf("the new token: %d", w.Code)
	}
}
