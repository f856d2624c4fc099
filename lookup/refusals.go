package lookup

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"sync"
)

// sameSecret tells whether a node brings the secret that is wanted, in a time
// that does not depend on how much of it is right. Empty: none is wanted.
func sameSecret(brought, wanted string) bool {
	if wanted == "" {
		return true
	}
	b, w := sha256.Sum256([]byte(brought)), sha256.Sum256([]byte(wanted))
	return subtle.ConstantTimeCompare(b[:], w[:]) == 1
}

// valueOf is what an option says that may be nil.
func valueOf(f func() string) string {
	if f == nil {
		return ""
	}
	return f()
}

// maxRefusals is how many refusals are remembered.
const maxRefusals = 1000

// refusals remember what was refused to whom. A node that is refused comes back
// within seconds, for as long as it runs, and is not worth a line each time.
type refusals struct {
	mu   sync.Mutex // guards seen
	seen map[string]struct{}
}

// isNew tells whether this was not refused before to the host of that remote
// address.
func (r *refusals) isNew(remote, text string) bool {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	key := remote + " " + text
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen[key]; ok {
		return false
	}
	if r.seen == nil || len(r.seen) == maxRefusals {
		r.seen = make(map[string]struct{})
	}
	r.seen[key] = struct{}{}
	return true
}
