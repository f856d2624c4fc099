// Package budget bounds memory that many hold at a time and nobody may have
// without end, such as commands that have not all come yet. Who wants more than
// is left waits, the one who wants most first, and somebody can always go on. It
// has no goroutine.
package budget

import (
	"slices"
	"sync"
	"sync/atomic"
)

// share is how many times what is left of a budget one claim may have: as the
// budget fills, the largest claims wait first.
const share = 4

// FreeBatch is how many bytes a batch of messages that is being stored may take
// without asking.
const FreeBatch = 1 << 20

// tightPart is the part of a budget that is left, or less, when it is tight.
const tightPart = 8

// Budget is a number of bytes. Its methods may be called concurrently; a nil
// *Budget has no limit.
type Budget struct {
	limit int64
	used  atomic.Int64 // written with mu held

	mu      sync.Mutex // guards what follows and the claims
	holders int        // claims that are not 0
	stuck   int        // of them, those that wait
	waiting []*wish    // by what they want, the least first
}

// New makes a budget of limit bytes.
func New(limit int64) *Budget { return &Budget{limit: limit} }

// Claim is what one holder has of a budget. Its zero value has nothing, and no
// budget. It belongs to one goroutine.
type Claim struct {
	of   *Budget
	size int64 // written with of.mu held

	wish *wish // guarded by of.mu; nil when it does not wait
}

// wish is a claim that waits to grow.
type wish struct {
	claim   *Claim
	to      int64
	granted chan struct{} // closed when it is
}

// From makes the claim, which must be 0, one of b.
func (c *Claim) From(b *Budget) { c.of = b }

// Budget is what it is a claim to; nil: to none.
func (c *Claim) Budget() *Budget { return c.of }

// Size is how many bytes it has.
func (c *Claim) Size() int64 { return c.size }

// Tight tells whether so little is left that nobody should take more than it
// has use for. It takes no lock.
func (b *Budget) Tight() bool {
	return b != nil && b.used.Load() > b.limit-b.limit/tightPart
}

// Used is how many bytes are claimed now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Grow makes the claim as large as to, in bytes, and waits for that as long as
// it must. It returns false, the claim unchanged, when done is closed. One that
// is larger stays.
func (c *Claim) Grow(to int64, done <-chan struct{}) bool {
	b := c.of
	if b == nil || to <= c.size {
		return true
	}
	b.mu.Lock()
	if b.may(c, to) {
		b.set(c, to)
		b.mu.Unlock()
		return true
	}
	w := &wish{claim: c, to: to, granted: make(chan struct{})}
	c.wish = w
	at, _ := slices.BinarySearchFunc(b.waiting, to, func(w *wish, to int64) int { return int(min(max(w.to-to, -1), 1)) })
	b.waiting = slices.Insert(b.waiting, at, w)
	if c.size > 0 {
		b.stuck++
		b.grant() // others may be able to go on now
	}
	b.mu.Unlock()
	select {
	case <-w.granted:
	case <-done:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.wish == w {
		b.drop(w)
		b.grant()
	}
	return c.size >= to
}

// Set makes the claim as large as to and never waits, whatever is left: for
// what its holder has already.
func (c *Claim) Set(to int64) {
	b := c.of
	if b == nil || to == c.size {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(c, to)
	b.grant()
}

// may tells whether a claim may grow: when enough is left, or when nobody else
// could go on otherwise. mu is held.
func (b *Budget) may(c *Claim, to int64) bool {
	left := b.limit - (b.used.Load() + to - c.size)
	if to <= share*left {
		return true
	}
	others := b.holders - b.stuck
	if c.size > 0 && c.wish == nil {
		others--
	}
	return others == 0
}

// set changes a claim that does not wait. mu is held.
func (b *Budget) set(c *Claim, to int64) {
	switch {
	case c.size == 0 && to > 0:
		b.holders++
	case c.size > 0 && to == 0:
		b.holders--
	}
	b.used.Add(to - c.size)
	c.size = to
}

// drop takes a wish off the list. mu is held.
func (b *Budget) drop(w *wish) {
	b.waiting = slices.Delete(b.waiting, slices.Index(b.waiting, w), slices.Index(b.waiting, w)+1)
	w.claim.wish = nil
	if w.claim.size > 0 {
		b.stuck--
	}
}

// grant lets go on who may, those who want least first. mu is held.
func (b *Budget) grant() {
	for len(b.waiting) > 0 {
		w := b.waiting[0] // the others want more
		if !b.may(w.claim, w.to) {
			return
		}
		b.drop(w)
		b.set(w.claim, w.to)
		close(w.granted)
	}
}
