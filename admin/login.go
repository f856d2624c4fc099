package admin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"qmq/admin/words"
	"qmq/internal/guess"
)

// login is the built-in way to sign in. Passwords are in a file; a session is a
// signed cookie and lasts until the entry of the file changes, the daemon stops
// or sessionAge is over. Its methods may be called concurrently.
type login struct {
	users  *users
	secret []byte // new at each start
	path   string // of the cookies

	guard  *guess.Guard
	report *guess.Report

	mu    sync.Mutex           // guards ended
	ended map[string]time.Time // what was signed in sessions that were left, until they would have ended
}

const (
	cookieName   = "qadmin_session"
	sessionAge   = 12 * time.Hour
	deviceCookie = "qadmin_device"
	deviceAge    = 365 * 24 * time.Hour
	randomBytes  = 16 // of a token
	hashesAtOnce = 2  // passwords that are compared at a time
)

// openLogin reads the file of users, and follows it. Path is that of the
// cookies.
func openLogin(file, path string, log *slog.Logger) (*login, error) {
	u, err := openUsers(file, log)
	if err != nil {
		return nil, err
	}
	l := &login{
		users: u, secret: make([]byte, 32), path: path, ended: make(map[string]time.Time),
		guard: guess.New(hashesAtOnce), report: guess.NewReport(log),
	}
	rand.Read(l.secret)
	return l, nil
}

func (l *login) admins() []string { return l.users.Now().admins }

// try compares a password. The errors are those of [guess.Guard.Compare]: then it
// was not compared. Device is the cookie of a browser, or empty.
func (l *login) try(ctx context.Context, name, password, from, device string) (u user, ok bool, err error) {
	now := l.users.Now()
	t := guess.Try{Place: guess.Place(from), Account: name}
	if known, ok := now.byName[name]; ok {
		t.Device = known.device(device)
	}
	ok, err = l.guard.Compare(ctx, t, func() (matches bool) {
		u, matches = now.matches(name, password)
		return matches
	})
	switch {
	case err != nil:
		l.report.Refused("signing in refused", t.Place, slog.String("user", words.Shorten(name)), slog.Any("reason", err))
	case !ok:
		l.report.Refused("signing in refused", t.Place, slog.String("user", words.Shorten(name)), slog.String("reason", "wrong name or password"))
	}
	return u, ok, err
}

// token makes a session: when it ends, some random bytes and the name, signed.
func (l *login) token(u user, now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.Add(sessionAge).Unix()))
	b = append(append(b, random()...), u.name...)
	return encode(b) + "." + encode(seal(l.secret, b, u.entry[:]))
}

func random() []byte {
	b := make([]byte, randomBytes)
	rand.Read(b)
	return b
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func seal(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// decode splits a token into what was signed and the signature.
func decode(token string) (signed, mac []byte, ok bool) {
	text, signature, _ := strings.Cut(token, ".")
	signed, err1 := base64.RawURLEncoding.DecodeString(text)
	mac, err2 := base64.RawURLEncoding.DecodeString(signature)
	return signed, mac, err1 == nil && err2 == nil
}

// session is what a token says.
type session struct {
	user   user
	ends   time.Time
	signed string // all of it: the same token can be written in several ways
}

// read checks a token against what the file says now.
func (l *login) read(token string, now time.Time) (s session, ok bool) {
	b, mac, ok := decode(token)
	if !ok || len(b) < 8+randomBytes {
		return s, false
	}
	u, known := l.users.Now().byName[string(b[8+randomBytes:])]
	if !known || !hmac.Equal(mac, seal(l.secret, b, u.entry[:])) {
		return s, false
	}
	s = session{u, time.Unix(int64(binary.BigEndian.Uint64(b)), 0), string(b)}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, left := l.ended[s.signed]
	return s, !left && now.Before(s.ends)
}

func (l *login) who(r *http.Request) person {
	s, ok := l.read(cookieOf(r, cookieName), time.Now())
	if !ok {
		return person{}
	}
	return person{name: s.user.name, role: s.user.role, in: true, verified: true}
}

func cookieOf(r *http.Request, name string) string {
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// leave ends a session.
func (l *login) leave(r *http.Request, now time.Time) {
	s, ok := l.read(cookieOf(r, cookieName), now)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for signed, ends := range l.ended {
		if now.After(ends) {
			delete(l.ended, signed)
		}
	}
	l.ended[s.signed] = s.ends
}

// newDevice makes what a browser is known by that has signed in as u: random
// bytes, signed with what only the file has, so that it holds over restarts and
// ends with the password. It opens nothing; see [guess.Try].
func (u *user) newDevice() string {
	b := random()
	return encode(b) + "." + encode(u.signDevice(b))
}

func (u *user) signDevice(b []byte) []byte {
	return seal(u.entry[:], []byte("device "+u.name+" "), b)
}

// device is what a good cookie says; empty for any other.
func (u *user) device(cookie string) string {
	b, mac, ok := decode(cookie)
	if !ok || len(b) != randomBytes || !hmac.Equal(mac, u.signDevice(b)) {
		return ""
	}
	return encode(b)
}

// cookies are those of somebody who has signed in; an empty token takes the
// session away and leaves the device.
func (l *login) cookies(r *http.Request, token, device string) []*http.Cookie {
	session := l.cookie(r, cookieName, token, sessionAge)
	if token == "" {
		session.MaxAge = -1
		return []*http.Cookie{session}
	}
	return []*http.Cookie{session, l.cookie(r, deviceCookie, device, deviceAge)}
}

func (l *login) cookie(r *http.Request, name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: l.path, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(age.Seconds()),
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" || r.Header.Get("X-Scheme") == "https",
	}
}
