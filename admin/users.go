package admin

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"qmq/internal/filereload"
)

// users are those who may sign in, as their file names them. What is changed there
// holds for the next request.
type users = filereload.Value[roster]

// roster is what one state of the file says. It does not change.
type roster struct {
	byName map[string]user
	admins []string // names, in the order of the file
	decoy  []byte   // a hash that no password has, as slow as the slowest
}

// user is a line of the file.
type user struct {
	name string
	hash []byte
	role role
	// entry is a digest of all of it: what was signed for another entry of the
	// same name is worth nothing.
	entry [sha256.Size]byte
}

const maxCost = 15 // of a hash: about two seconds

// openUsers reads a file, and follows it from then on.
func openUsers(file string, log *slog.Logger) (*users, error) {
	return filereload.OpenText("file of users", file, func(text []byte, _ *roster) (*roster, error) { return parseUsers(text) }, log)
}

// parseUsers reads lines "name:role:bcrypt hash". Lines that begin with # and
// empty ones are comments.
func parseUsers(text []byte) (*roster, error) {
	r := &roster{byName: make(map[string]user)}
	slowest := bcrypt.MinCost
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseUser(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if _, ok := r.byName[u.name]; ok {
			return nil, fmt.Errorf("line %d: %q is there twice", n, u.name)
		}
		r.byName[u.name] = u
		cost, _ := bcrypt.Cost(u.hash) // it is a hash
		slowest = max(slowest, cost)
		if u.role == roleAdmin {
			r.admins = append(r.admins, u.name)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(r.byName) == 0 {
		return nil, errors.New("it names no user")
	}
	r.decoy = fmt.Appendf(nil, "$2a$%02d$%s", slowest, strings.Repeat(".", 53))
	return r, nil
}

func parseUser(line string) (user, error) {
	fields := strings.SplitN(line, ":", 3)
	if len(fields) != 3 || fields[0] == "" {
		return user{}, errors.New("not name:role:hash")
	}
	u := user{name: fields[0], role: role(fields[1]), hash: []byte(fields[2]), entry: sha256.Sum256([]byte(line))}
	if u.role != roleViewer && u.role != roleStats && u.role != roleAdmin {
		return user{}, fmt.Errorf("the role must be viewer, stats-viewer or admin, not %q", fields[1])
	}
	cost, err := bcrypt.Cost(u.hash)
	if err != nil {
		return user{}, fmt.Errorf("the third field is no bcrypt hash: %w", err)
	}
	if cost > maxCost {
		return user{}, fmt.Errorf("the hash has cost %d: more than %d takes too long", cost, maxCost)
	}
	return u, nil
}

// matches compares a password. It takes as long for a name that is not there, so
// that the time does not tell which are.
func (r *roster) matches(name, password string) (u user, ok bool) {
	u, known := r.byName[name]
	hash := r.decoy
	if known {
		hash = u.hash
	}
	ok = bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return u, ok && known
}
