package admin

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
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

func TestSessionThatWasLeftIsOverInEverySpelling(t *testing.T) {
	l, err := readUsers(usersFile(t, "maria:admin:"+hashOf(t, "x")), "/")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token := l.token("maria", now)
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
	l, err := readUsers(usersFile(t, "tom:viewer:"+hashOf(t, "y"), "maria:admin:"+string(slow), "ines:viewer:"+hashOf(t, "z")), "/")
	if err != nil {
		t.Fatal(err)
	}
	cost, err := bcrypt.Cost(l.decoy)
	if err != nil || cost != bcrypt.MinCost+1 {
		t.Errorf("an unknown name costs %d, %v", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword(l.decoy, []byte("guess")); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Errorf("it is compared: %v", err)
	}
}

func TestOwnPasswordIsNoWayToGoOnGuessing(t *testing.T) {
	l, err := readUsers(usersFile(t, "maria:admin:"+hashOf(t, "secret"), "eve:viewer:"+hashOf(t, "own")), "/")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range mostFrom {
		if _, _, wait, _ := l.try(fmt.Sprint("name", i), "guess", "1.2.3.4", now); wait > 0 {
			t.Fatalf("guess %d has to wait", i)
		}
		if i == mostFrom-2 {
			if _, ok, _, err := l.try("eve", "own", "1.2.3.4", now); !ok || err != nil {
				t.Fatal("eve was refused")
			}
		}
	}
	if _, _, wait, _ := l.try("maria", "guess", "1.2.3.4", now); wait == 0 {
		t.Error("signing in took the failures away")
	}
}

func TestNetworkOfIPv6IsOnePlace(t *testing.T) {
	l, err := readUsers(usersFile(t, "maria:admin:"+hashOf(t, "secret")), "/")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range mostFrom {
		l.try(fmt.Sprint("name", i), "guess", fmt.Sprintf("2001:db8:1:2::%x", i), now)
	}
	if _, _, wait, _ := l.try("maria", "guess", "2001:db8:1:2:ffff::1", now); wait == 0 {
		t.Error("another address of the same network goes on")
	}
	for _, from := range []string{"2001:db8:1:3::1", "10.0.0.1", "::ffff:10.0.0.2", "fe80::1%eth0", "@"} {
		if _, _, wait, _ := l.try("tom"+from, "guess", from, now); wait != 0 {
			t.Errorf("%s has to wait", from)
		}
	}
}
