// Package httpauth says who may use an HTTP API: by credentials of a file, each of
// which is good for some roles. What a route needs is the API's to say. It
// follows its file, refuses those who guess, and has no goroutine.
package httpauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"qmq/internal/filereload"
	"qmq/internal/guess"
	"qmq/internal/httpapi"
)

// Role is what a credential is good for; a set.
type Role uint8

const (
	Stats   Role = 1 << iota // figures; nothing is changed
	Peek                     // messages; nothing is changed
	Publish                  // messages are stored
	Admin                    // everything, the others too
	Consume                  // messages are taken out of channels, and finished

	Nobody Role = 0

	readRoles = Stats | Peek
	allRoles  = readRoles | Publish | Consume | Admin
)

var roleNames = map[string]Role{"read": readRoles, "stats": Stats, "peek": Peek, "publish": Publish, "consume": Consume, "admin": allRoles}

// Credentials say who may use the API. What is changed in their file holds for
// later requests. The methods may be called concurrently.
type Credentials struct {
	current *filereload.Value[credentials]
	guard   *guess.Guard // of bcrypt: guesses cost one processor at most
	report  *guess.Report
}

// Open reads the credentials from a file; docs/http-auth.md has its format. The
// error names the line that is wrong.
func Open(file string, log *slog.Logger) (*Credentials, error) {
	current, err := filereload.OpenText("HTTP credentials", file, parseCredentials, log)
	if err != nil {
		return nil, err
	}
	return &Credentials{current: current, guard: guess.New(1), report: guess.NewReport(log)}, nil
}

// Reload reads the file now. If it is no good, what held before holds on.
func (a *Credentials) Reload() error { return a.current.Reload() }

// Admits tells whether a request comes with a credential that is good for one of
// the roles that it needs, or needs none; else it answers it.
func (a *Credentials) Admits(w http.ResponseWriter, r *http.Request, need Role) bool {
	if need == Nobody {
		return true
	}
	have, err := a.roles(r)
	if err != nil {
		refuseTry(w, err)
		return false
	}
	refusal := lacks(have, need)
	if refusal == nil {
		return true
	}
	if refusal.Status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", `Bearer realm="qd"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="qd", charset="UTF-8"`)
	}
	httpapi.Refuse(w, refusal.Status, httpapi.Text(refusal))
	return false
}

// Holds says, of a request that was admitted a while ago, whether it still would be: the file
// may have changed. The error is the refusal.
func (a *Credentials) Holds(r *http.Request, need Role) error {
	have, err := a.roles(r)
	if err != nil {
		have = Nobody // its line has changed, and nobody has looked at the password since
	}
	if refusal := lacks(have, need); refusal != nil {
		return refusal
	}
	return nil
}

// lacks is the refusal of who has none of the roles that are needed; nil: there is one.
func lacks(have, need Role) *httpapi.Error {
	switch {
	case have&need != 0:
		return nil
	case have == Nobody:
		return &httpapi.Error{Status: http.StatusUnauthorized, Code: "UNAUTHORIZED"}
	}
	return &httpapi.Error{Status: http.StatusForbidden, Code: "FORBIDDEN"}
}

// refuseTry answers a request whose password nobody looked at.
func refuseTry(w http.ResponseWriter, err error) {
	status, code, wait := http.StatusServiceUnavailable, "BUSY", time.Second
	var many *guess.TooManyError
	if errors.As(err, &many) {
		status, code, wait = http.StatusTooManyRequests, "TOO_MANY_TRIES", many.Wait
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	httpapi.Refuse(w, status, fmt.Appendf(nil, `{"message":%q}`, code))
}

// roles are those of the request's credential, if there is a good one. A
// credential that is no good is logged.
func (a *Credentials) roles(r *http.Request) (Role, error) {
	c, place := a.current.Now(), guess.Place(r.RemoteAddr)
	if name, password, ok := r.BasicAuth(); ok {
		roles, err := a.rolesOfUser(r.Context(), c, place, name, password)
		if roles == Nobody {
			a.refused(place, err, slog.String("user", shorten(name)))
		}
		return roles, err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Nobody, nil
	}
	roles := c.rolesOfToken(token)
	if roles == Nobody {
		a.refused(place, nil)
	}
	return roles, nil
}

// rolesOfUser is what a name and a password are good for. It may wait. The errors
// are those of [guess.Guard.Compare]: then nobody looked at the password.
func (a *Credentials) rolesOfUser(ctx context.Context, c *credentials, place, name, password string) (Role, error) {
	u := c.users[name]
	if u == nil && len(name) <= maxName {
		u = c.nobody
	}
	if u == nil {
		return Nobody, nil
	}
	sum := sha256.Sum256([]byte(password))
	if u.hashed == nil {
		if subtle.ConstantTimeCompare(sum[:], u.sum[:]) != 1 {
			return Nobody, nil
		}
		return u.roles, nil
	}
	if u.hasSeen(&sum) {
		return u.roles, nil // which no guesser keeps waiting
	}
	ok, err := a.guard.Compare(ctx, guess.Try{Place: place, Account: name}, func() bool {
		if u.hasSeen(&sum) {
			return true // another request came with it, and first
		}
		if bcrypt.CompareHashAndPassword(u.hashed, []byte(password)) != nil {
			return false
		}
		u.seen.Store(&sum)
		return true
	})
	if !ok {
		return Nobody, err
	}
	return u.roles, nil
}

func (a *Credentials) refused(place string, err error, attrs ...slog.Attr) {
	if err == nil {
		err = errWrongCredential
	}
	a.report.Refused("HTTP credential refused", place, append(attrs, slog.Any("reason", err))...)
}

var errWrongCredential = errors.New("there is no such credential")

// shorten cuts what is logged of what a client sent.
func shorten(text string) string { return text[:min(len(text), 100)] }
