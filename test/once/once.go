// Package once knows that doubles are stored once: a ledger notes which ids were OK'd and
// under which messages they came, and names those that came under two. Its publishers
// send again what they have no answer for, and some of what they have one for. It starts no
// goroutine; a Ledger may be used concurrently.
package once

import (
	"fmt"
	"sync"

	"qmq/test/wire"
)

// Ledger is the account of a channel that was there before the first publish.
type Ledger struct {
	mu     sync.Mutex // guards what follows
	ids    map[string]*fate
	left   int // ids that were OK'd and did not come
	wrong  []string
	counts struct{ sent, again, came int }
}

// fate is what became of an id.
type fate struct {
	ok   bool
	as   wire.ID // the message as which it came
	came bool
}

// New is a ledger in which nothing was published.
func New() *Ledger { return &Ledger{ids: make(map[string]*fate)} }

func (l *Ledger) of(id string) *fate {
	f := l.ids[id]
	if f == nil {
		f = new(fate)
		l.ids[id] = f
	}
	return f
}

// Sent counts ids that are published, and how many of them were before.
func (l *Ledger) Sent(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if l.ids[id] != nil {
			l.counts.again++
		}
		l.of(id)
		l.counts.sent++
	}
}

// OK notes that a publish of ids was answered.
func (l *Ledger) OK(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if f := l.of(id); !f.ok {
			f.ok = true
			if !f.came {
				l.left++
			}
		}
	}
}

// Came notes that an id came as a message, maybe again.
func (l *Ledger) Came(id string, as wire.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.of(id)
	l.counts.came++
	switch {
	case !f.came:
		f.came, f.as = true, as
		if f.ok {
			l.left--
		}
	case f.as != as:
		l.wrong = append(l.wrong, fmt.Sprintf("%s came as message %s and as %s", id, f.as[:], as[:]))
	}
}

// Missing is how many ids were OK'd and did not come yet.
func (l *Ledger) Missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// Wrong names the ids that were stored more than once.
func (l *Ledger) Wrong() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.wrong...)
}

// String tells how much there was.
func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d ids, sent %d times, %d of them again; %d deliveries", len(l.ids), l.counts.sent, l.counts.again, l.counts.came)
}
