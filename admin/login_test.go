package admin

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"qmq/internal/guess"
)

// otherSpelling is the same base64 with other unused bits in its last letter.
func otherSpelling(t *testing.T, text string) string {
	t.Helper()
	want, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		other := text[:len(text)-1] + string(last)
		if got, err := base64.RawURLEncoding.DecodeString(other); err == nil && other != text && string(got) == string(want) {
			return other
		}
	}
	t.Fatal("there is none")
	return ""
}

// startLogin makes a login with a file of these lines.
func startLogin(t *testing.T, lines ...string) (l *login, file string) {
	t.Helper()
	file = usersFile(t, lines...)
	l, err := openLogin(file, "/", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l, file
}

func TestSessionThatWasLeftIsOverInEverySpelling(t *testing.T) {
	l, _ := startLogin(t, "maria:admin:"+hashOf(t, "x"))
	now := time.Now()
	token := l.token(l.users.Now().byName["maria"], now)
	text, signature, _ := strings.Cut(token, ".")
	other := text + "." + otherSpelling(t, signature)
	if _, ok := l.read(other, now); !ok {
		t.Fatal("the other spelling is no session to begin with")
	}
	r, _ := http.NewRequest("POST", "/", nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: token})
	l.leave(r, now)
	for _, spelling := range []string{token, other} {
		if _, ok := l.read(spelling, now); ok {
			t.Errorf("%s is still a session", spelling)
		}
	}
}

func TestUnknownNamesTakeAsLongAsKnownOnes(t *testing.T) {
	slow, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost+1)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := startLogin(t, "tom:viewer:"+hashOf(t, "y"), "maria:admin:"+string(slow), "ines:viewer:"+hashOf(t, "z"))
	decoy := l.users.Now().decoy
	cost, err := bcrypt.Cost(decoy)
	if err != nil || cost != bcrypt.MinCost+1 {
		t.Errorf("an unknown name costs %d, %v", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword(decoy, []byte("guess")); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Errorf("it is compared: %v", err)
	}
}

// TestStrangersDoNotLockABrowserThatWasSignedInBefore though they lock the name
// for others, and not for ever.
func TestStrangersDoNotLockABrowserThatWasSignedInBefore(t *testing.T) {
	l, file := startLogin(t, "maria:admin:"+hashOf(t, "secret"), "eve:viewer:"+hashOf(t, "own"))
	maria := l.users.Now().byName["maria"]
	device := maria.newDevice()
	for i := range guess.PerAccount {
		if _, ok, err := l.try(t.Context(), "maria", "guess", fmt.Sprintf("10.0.0.%d", i%10), ""); ok || err != nil {
			t.Fatalf("guess %d: %v, %v", i, ok, err)
		}
	}
	try := func(l *login, password, device string) string {
		_, ok, err := l.try(t.Context(), "maria", password, "10.0.0.1", device)
		if err != nil {
			return "refused"
		}
		return fmt.Sprint(ok)
	}
	eve := l.users.Now().byName["eve"]
	for name, other := range map[string]string{"none": "", "nonsense": "a.b", "that of another name": eve.newDevice(), "altered": "A" + device} {
		same(t, name, try(l, "secret", other), "refused")
	}
	same(t, "its own", try(l, "secret", device), "true")
	again, err := openLogin(file, "/", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * guess.PerAccount {
		again.try(t.Context(), "maria", "guess", "10.0.0.1", "")
	}
	same(t, "after a restart", try(again, "secret", device), "true")
	for range guess.PerPair {
		same(t, "a wrong password", try(again, "guess", device), "false")
	}
	same(t, "no way to guess either", try(again, "secret", device), "refused")
}

// TestRefusedSigningInIsLogged once a second for a place, without the password.
func TestRefusedSigningInIsLogged(t *testing.T) {
	var log strings.Builder
	l, err := openLogin(usersFile(t, "maria:admin:"+hashOf(t, "secret")), "/", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.try(t.Context(), "maria", "guess", "10.0.0.1", "")
	if text := log.String(); !strings.Contains(text, `level=WARN msg="signing in refused" from=10.0.0.1 user=maria reason="wrong name or password"`) || strings.Contains(text, "guess") {
		t.Errorf("logged %s", text)
	}
}

// TestSessionsEndWhenTheirEntryChanges: removed, another role, another password;
// and who was removed cannot sign in anew.
func TestSessionsEndWhenTheirEntryChanges(t *testing.T) {
	maria, tom := "maria:admin:"+hashOf(t, "secret"), "tom:viewer:"+hashOf(t, "other")
	for name, after := range map[string]string{
		"removed":          tom,
		"another role":     tom + "\n" + strings.Replace(maria, ":admin:", ":viewer:", 1),
		"another password": tom + "\nmaria:admin:" + hashOf(t, "secret"),
	} {
		l, file := startLogin(t, maria, tom)
		token := func(name string) string { return l.token(l.users.Now().byName[name], time.Now()) }
		marias, toms := token("maria"), token("tom")
		write := func(text string) error {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return l.users.Reload()
		}
		if err := write("nonsense"); err == nil {
			t.Error("nonsense is a file of users")
		}
		if _, ok := l.read(marias, time.Now()); !ok {
			t.Errorf("%s: a mistake in the file ends sessions", name)
		}
		if err := write(after); err != nil {
			t.Fatal(err)
		}
		if _, ok := l.read(marias, time.Now()); ok {
			t.Errorf("%s: the session goes on", name)
		}
		if _, ok := l.read(toms, time.Now()); !ok {
			t.Errorf("%s: it ends the sessions of others", name)
		}
		if _, ok, err := l.try(t.Context(), "maria", "secret", "10.0.0.1", ""); err != nil || ok != (name != "removed") {
			t.Errorf("%s: signing in anew: %v, %v", name, ok, err)
		}
	}
}
