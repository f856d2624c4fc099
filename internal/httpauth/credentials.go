package httpauth

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// credentials are the lines of a file. They do not change, but remember which
// passwords they have seen.
type credentials struct {
	tokens map[[sha256.Size]byte]Role
	users  map[string]*user
	// nobody is compared with who is not in users, so that the time that an
	// answer takes does not tell who is; nil when no password is slow to compare.
	nobody *user
}

// maxName bounds the names that are compared with nobody, in bytes.
const maxName = 255

// user is somebody with a password.
type user struct {
	roles  Role
	sum    [sha256.Size]byte // of the password, unless hashed
	hashed []byte            // by bcrypt; nil when sum counts

	// seen is the SHA-256 of the password that bcrypt accepted: bcrypt takes
	// long, and clients send the password with every request.
	seen atomic.Pointer[[sha256.Size]byte]
}

const digestPrefix = "sha256:"

// parseCredentials reads the lines of a file:
//
//	ROLES bearer sha256:HEX
//	ROLES basic USER sha256:HEX or bcrypt
//
// before is what they said until now, or nil.
func parseCredentials(text []byte, before *credentials) (*credentials, error) {
	c := &credentials{tokens: make(map[[sha256.Size]byte]Role), users: make(map[string]*user)}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := c.add(fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	c.remember(before)
	return c, nil
}

func (c *credentials) add(fields []string) error {
	bearer := len(fields) == 3 && fields[1] == "bearer"
	basic := len(fields) == 4 && fields[1] == "basic"
	if !bearer && !basic {
		return errors.New("want ROLES bearer DIGEST or ROLES basic USER DIGEST")
	}
	roles, err := parseRoles(fields[0])
	if err != nil {
		return err
	}
	if basic {
		return c.addUser(fields[2], fields[3], roles)
	}
	sum, err := parseDigest(fields[2])
	if err != nil {
		return err
	}
	c.tokens[sum] |= roles
	return nil
}

func (c *credentials) addUser(name, digest string, roles Role) error {
	if c.users[name] != nil {
		return fmt.Errorf("user %s comes twice", name)
	}
	u := &user{roles: roles}
	if strings.HasPrefix(digest, "$2") {
		if _, err := bcrypt.Cost([]byte(digest)); err != nil {
			return err
		}
		u.hashed = []byte(digest)
		if c.nobody == nil {
			c.nobody = &user{hashed: u.hashed} // without roles, whatever the password is
		}
	} else {
		var err error
		if u.sum, err = parseDigest(digest); err != nil {
			return err
		}
	}
	c.users[name] = u
	return nil
}

func parseRoles(text string) (roles Role, err error) {
	for name := range strings.SplitSeq(text, ",") {
		r, ok := roleNames[name]
		if !ok {
			return 0, fmt.Errorf("%q is no role: read, stats, peek, publish and admin are", name)
		}
		roles |= r
	}
	return roles, nil
}

// parseDigest does not say in its error what it got: it may be the secret
// itself, and errors are logged.
func parseDigest(text string) (sum [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(text, digestPrefix)
	if b, err := hex.DecodeString(digits); ok && err == nil && len(b) == len(sum) {
		return [sha256.Size]byte(b), nil
	}
	return sum, fmt.Errorf("no digest at its end: %s and %d hexadecimal digits are one, and for users bcrypt", digestPrefix, 2*len(sum))
}

// rolesOfToken is what a bearer token is good for. It is looked up by its
// digest, which tells nobody anything about how close a guess is.
func (c *credentials) rolesOfToken(token string) Role {
	return c.tokens[sha256.Sum256([]byte(token))]
}

// remember takes over which passwords an older state of the file has seen, where
// they are the same still.
func (c *credentials) remember(before *credentials) {
	if before == nil {
		return
	}
	for name, u := range c.users {
		if old := before.users[name]; old != nil && u.hashed != nil && bytes.Equal(old.hashed, u.hashed) {
			u.seen.Store(old.seen.Load())
		}
	}
}

func (u *user) hasSeen(sum *[sha256.Size]byte) bool {
	seen := u.seen.Load()
	return seen != nil && subtle.ConstantTimeCompare(sum[:], seen[:]) == 1
}
