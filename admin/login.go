package admin

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// login is the built-in way to sign in. Passwords are in a file; a session is a
// signed cookie and lasts as long as the daemon or sessionAge. Its methods may
// be called concurrently.
type login struct {
	users  map[string]user
	names  []string // of admins, in the order of the file
	secret []byte   // new at each start
	decoy  []byte   // a hash that no password has, as slow as the slowest
	path   string   // of the cookie

	hashing chan struct{} // bounds how many passwords are compared at a time

	mu    sync.Mutex // guards tries and ended
	tries map[string]*tries
	ended map[string]time.Time // what was signed in sessions that were left, until they would have ended
}

type user struct {
	name string
	hash []byte
	role role
}

// tries are the failures from one address or for one name.
type tries struct {
	failed int
	since  time.Time
}

const (
	cookieName  = "qadmin_session"
	sessionAge  = 12 * time.Hour
	mostTries   = 5  // for one name
	mostFrom    = 20 // from one address, behind which there may be many people
	triesWindow = 5 * time.Minute
	mostTracked = 10_000
	mostCost    = 15 // of a hash: about two seconds
	tokenRandom = 16
)

// errTooMany means that somebody tries passwords.
var errTooMany = errors.New("too many tries")

// readUsers reads a file of lines "name:role:bcrypt hash". Lines that begin with
// # and empty ones are comments.
func readUsers(file, path string) (*login, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	l := &login{
		users: make(map[string]user), secret: make([]byte, 32), path: path,
		hashing: make(chan struct{}, 2), tries: make(map[string]*tries), ended: make(map[string]time.Time),
	}
	rand.Read(l.secret)
	slowest := bcrypt.MinCost
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseUser(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", n, file, err)
		}
		if _, ok := l.users[u.name]; ok {
			return nil, fmt.Errorf("line %d of %s: %q is there twice", n, file, u.name)
		}
		l.users[u.name] = u
		cost, _ := bcrypt.Cost(u.hash) // it is a hash
		slowest = max(slowest, cost)
		if u.role == roleAdmin {
			l.names = append(l.names, u.name)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(l.users) == 0 {
		return nil, fmt.Errorf("%s names no user", file)
	}
	l.decoy = fmt.Appendf(nil, "$2a$%02d$%s", slowest, strings.Repeat(".", 53))
	return l, nil
}

func parseUser(line string) (user, error) {
	fields := strings.SplitN(line, ":", 3)
	if len(fields) != 3 || fields[0] == "" {
		return user{}, errors.New("not name:role:hash")
	}
	u := user{name: fields[0], role: role(fields[1]), hash: []byte(fields[2])}
	if u.role != roleViewer && u.role != roleAdmin {
		return user{}, fmt.Errorf("the role must be viewer or admin, not %q", fields[1])
	}
	cost, err := bcrypt.Cost(u.hash)
	if err != nil {
		return user{}, fmt.Errorf("the third field is no bcrypt hash: %w", err)
	}
	if cost > mostCost {
		return user{}, fmt.Errorf("the hash has cost %d: more than %d takes too long", cost, mostCost)
	}
	return u, nil
}

func (l *login) admins() []string { return l.names }

// try compares a password. The error is errTooMany with how long to wait.
func (l *login) try(name, password, from string, now time.Time) (u user, ok bool, wait time.Duration, err error) {
	place, account := "from "+placeOf(from), "name "+name
	limits := map[string]int{place: mostFrom, account: mostTries}
	if wait := l.begin(limits, now); wait > 0 {
		return u, false, wait, errTooMany
	}
	u, known := l.users[name]
	hash := l.decoy // so that the time does not tell which names are known
	if known {
		hash = u.hash
	}
	l.hashing <- struct{}{}
	ok = bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
	<-l.hashing
	if ok {
		l.forgive(place, account)
	}
	return u, ok, 0, nil
}

// forgive takes back that a try was counted as failed. The failures of others
// from the same place stay: one's own password is no way to go on guessing.
func (l *login) forgive(place, account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tries, account)
	if t := l.tries[place]; t != nil {
		t.failed--
	}
}

// placeOf is what an address counts as: who has one of IPv6 has a whole network
// of them.
func placeOf(from string) string {
	address, err := netip.ParseAddr(from)
	if err != nil || address.Unmap().Is4() {
		return from
	}
	network, _ := address.WithZone("").Prefix(64) // IPv6 is longer than that
	return network.String()
}

// begin counts a try as failed before it is known to be: many at a time are no
// way around the limit.
func (l *login) begin(limits map[string]int, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tries) > mostTracked {
		for key, t := range l.tries {
			if now.Sub(t.since) > triesWindow {
				delete(l.tries, key)
			}
		}
		if len(l.tries) > mostTracked {
			return triesWindow
		}
	}
	for key, most := range limits {
		t := l.tries[key]
		if t == nil || now.Sub(t.since) > triesWindow {
			t = &tries{since: now}
			l.tries[key] = t
		}
		if t.failed >= most {
			wait = max(wait, t.since.Add(triesWindow).Sub(now), time.Second)
		}
	}
	if wait > 0 {
		return wait
	}
	for key := range limits {
		l.tries[key].failed++
	}
	return 0
}

// token makes a session: when it ends, some random bytes and the name, signed.
func (l *login) token(name string, now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.Add(sessionAge).Unix()))
	random := make([]byte, tokenRandom)
	rand.Read(random)
	b = append(append(b, random...), name...)
	return encode(b) + "." + encode(l.sign(b))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (l *login) sign(b []byte) []byte {
	mac := hmac.New(sha256.New, l.secret)
	mac.Write(b)
	return mac.Sum(nil)
}

// session is what a token says.
type session struct {
	name   string
	ends   time.Time
	signed string // all of it: the same token can be written in several ways
}

// read checks a token.
func (l *login) read(token string, now time.Time) (s session, ok bool) {
	text, signature, _ := strings.Cut(token, ".")
	b, err1 := base64.RawURLEncoding.DecodeString(text)
	mac, err2 := base64.RawURLEncoding.DecodeString(signature)
	if err1 != nil || err2 != nil || len(b) < 8+tokenRandom || !hmac.Equal(mac, l.sign(b)) {
		return s, false
	}
	s = session{string(b[8+tokenRandom:]), time.Unix(int64(binary.BigEndian.Uint64(b)), 0), string(b)}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, left := l.ended[s.signed]
	return s, !left && now.Before(s.ends)
}

func (l *login) who(r *http.Request) person {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return person{}
	}
	s, ok := l.read(cookie.Value, time.Now())
	u, known := l.users[s.name]
	if !ok || !known {
		return person{}
	}
	return person{name: u.name, role: u.role, in: true}
}

// leave ends a session.
func (l *login) leave(r *http.Request, now time.Time) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return
	}
	s, ok := l.read(cookie.Value, now)
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

// cookie carries a session; an empty one takes it away.
func (l *login) cookie(r *http.Request, token string) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName, Value: token, Path: l.path, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" || r.Header.Get("X-Scheme") == "https",
		MaxAge: int(sessionAge.Seconds()),
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}
