// Package guess stands before the comparison of a password with a slow hash. It
// bounds how many tries a place and an account have, and how many comparisons
// are made and waited for at a time, so that who guesses neither gets far nor
// keeps others waiting. It knows no password and has no goroutine.
package guess

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Limits of failed tries within a window. They are high enough for people, and
// for several behind one address.
const (
	Window     = 5 * time.Minute
	PerPlace   = 20 // from one place, for any accounts
	PerPair    = 5  // for one account from one place, or from one device
	PerAccount = 50 // for one account, from all places that are no known device
)

// ErrBusy means that too many comparisons wait already.
var ErrBusy = errors.New("too many passwords are being compared")

// TooManyError means that a place or an account had too many failed tries.
type TooManyError struct {
	Wait time.Duration // until the next try
	What string        // what had them: place, pair, account or device
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many failed tries (%s); the next one in %s", e.What, e.Wait.Round(time.Second))
}

// Guard counts tries. Its methods may be called concurrently.
type Guard struct {
	gate gate

	mu     sync.Mutex               // guards what follows
	counts map[string]*list.Element // of *count, by key
	oldest *list.List               // of *count, by since
	bound  int                      // counts that are kept
}

// count are the failures of one key since the first of them.
type count struct {
	key    string
	failed int
	since  time.Time
}

// maxCounts bounds the memory that tries take, to about 2 MB.
const maxCounts = 10_000

// New makes a guard that lets atOnce comparisons be made at a time, and a few
// more wait.
func New(atOnce int) *Guard {
	return &Guard{gate: gate{free: atOnce}, counts: make(map[string]*list.Element), oldest: list.New(), bound: maxCounts}
}

// Try is one try to be somebody.
type Try struct {
	Place   string // see [Place]
	Account string
	// Device is what a browser that has been this account before is known by;
	// empty: none. What others did for the account does not count against it.
	Device string
}

// rule is a limit for one key of a try.
type rule struct {
	what, key string
	most      int
}

func (t *Try) rules() []rule {
	if t.Device != "" {
		return []rule{{"device", "d " + t.Account + " " + t.Device, PerPair}}
	}
	return []rule{
		{"place", "p " + t.Place, PerPlace},
		{"pair", "b " + t.Place + " " + t.Account, PerPair},
		{"account", "a " + t.Account, PerAccount},
	}
}

// Compare calls compare when it is this try's turn and tells what that tells.
// It does not call it and returns a *[TooManyError], [ErrBusy] or the error of
// ctx when the try is refused. One that is refused as too many leaves nothing
// behind; who did not wait, or could not, has had a try.
func (g *Guard) Compare(ctx context.Context, t Try, compare func() bool) (ok bool, err error) {
	rules := t.rules()
	clean, err := g.begin(rules, time.Now())
	if err != nil {
		return false, err
	}
	if err := g.gate.enter(ctx, clean || t.Device != ""); err != nil {
		return false, err
	}
	defer g.gate.leave()
	if ok = compare(); ok {
		g.forgive(rules)
	}
	return ok, nil
}

// begin counts a try as failed before it is known to be: many at a time are no
// way around a limit. clean says that nothing had failed at the first key.
func (g *Guard) begin(rules []rule, now time.Time) (clean bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(now)
	for _, r := range rules {
		if e := g.counts[r.key]; e != nil && e.Value.(*count).failed >= r.most {
			wait := max(e.Value.(*count).since.Add(Window).Sub(now), time.Second)
			return false, &TooManyError{Wait: wait, What: r.what}
		}
	}
	for i, r := range rules {
		e := g.counts[r.key]
		if e == nil {
			e = g.add(r.key, now)
		}
		c := e.Value.(*count)
		if i == 0 {
			clean = c.failed == 0
		}
		c.failed++
	}
	return clean, nil
}

// expire forgets what is older than the window.
func (g *Guard) expire(now time.Time) {
	for e := g.oldest.Front(); e != nil && now.Sub(e.Value.(*count).since) > Window; e = g.oldest.Front() {
		g.drop(e)
	}
}

// add begins a count, in the place of the oldest one when there are too many.
func (g *Guard) add(key string, now time.Time) *list.Element {
	if g.oldest.Len() >= g.bound {
		g.drop(g.oldest.Front())
	}
	e := g.oldest.PushBack(&count{key: key, since: now})
	g.counts[key] = e
	return e
}

func (g *Guard) drop(e *list.Element) {
	delete(g.counts, g.oldest.Remove(e).(*count).key)
}

// forgive takes back that a try was counted as failed. Earlier failures stay:
// one's own password is no way to go on guessing.
func (g *Guard) forgive(rules []rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range rules {
		e := g.counts[r.key]
		if e == nil {
			continue
		}
		if c := e.Value.(*count); c.failed > 1 {
			c.failed--
		} else {
			g.drop(e)
		}
	}
}

// Place is what an address counts as: its port does not matter, and who has one
// address of IPv6 has a whole network of them. What is no address is a place
// too.
func Place(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		from, err := netip.ParseAddrPort(address)
		if err != nil {
			return address
		}
		ip = from.Addr()
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	const network = 64
	prefix, _ := ip.WithZone("").Prefix(network) // IPv6 is longer than that
	return prefix.String()
}
