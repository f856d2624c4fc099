// Package order knows which order of deliveries an ordered channel promises: a ledger
// notes what was published with which key, what came, and what was finished, and names
// what came too early. It starts no goroutine; a Ledger may be used concurrently.
package order

import (
	"fmt"
	"slices"
	"sync"
)

// Ledger is the account of a channel. The messages of a key have numbers from 1 on, and are
// published one after the other in this order, each once.
type Ledger struct {
	mu     sync.Mutex // guards what follows
	keys   map[string]*key
	left   int // messages that were OK'd and are neither finished nor dead letters
	wrong  []string
	counts struct{ came, again, letters, lettersAgain int }
}

// key is what is known of the messages of a key.
type key struct {
	messages map[int]*message
	open     map[int]bool // those that came and are not finished
	highest  int          // that came
	// holder has a message, which is held; nil: nobody has one.
	holder any
	held   int
}

// message is what is known of one.
type message struct {
	ok, came, finished bool
	// spent says that it may be given up, and buried that it is a dead letter: behind it others
	// may come as if it were finished.
	spent, buried bool
	// overtaken is a number that came before it, 0 for none.
	overtaken int
}

// New is a ledger in which nothing is.
func New() *Ledger { return &Ledger{keys: make(map[string]*key)} }

func (l *Ledger) key(name string) *key {
	k := l.keys[name]
	if k == nil {
		k = &key{messages: make(map[int]*message), open: make(map[int]bool)}
		l.keys[name] = k
	}
	return k
}

func (k *key) message(n int) *message {
	m := k.messages[n]
	if m == nil {
		m = new(message)
		k.messages[n] = m
	}
	return m
}

// OK notes that the publish of a message was answered.
func (l *Ledger) OK(name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.key(name).message(n)
	if !m.ok && !m.over() {
		l.left++
	}
	m.ok = true
}

// over says that nothing has to become of a message any more.
func (m *message) over() bool { return m.finished || m.buried }

// Came notes that a holder, a connection, got a message. Those below it that came must be
// finished, and nobody may have another one of its key; one that was finished may come again.
func (l *Ledger) Came(holder any, name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.key(name)
	m := k.message(n)
	l.counts.came++
	if m.came {
		l.counts.again++
	}
	if m.over() || m.spent {
		return
	}
	if k.holder != nil && k.held != n {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %d came while somebody had %d", name, n, k.held))
	}
	if !m.came {
		for lower := range k.open {
			if lower < n {
				l.wrong = append(l.wrong, fmt.Sprintf("%s: %d came before %d was finished", name, n, lower))
			}
		}
		if k.highest > n {
			m.overtaken = k.highest
		}
	}
	m.came, k.open[n] = true, true
	k.highest = max(k.highest, n)
	k.holder, k.held = holder, n
}

// Finishes notes that a message is about to be finished.
func (l *Ledger) Finishes(name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.key(name)
	m := k.message(n)
	if m.ok && !m.over() {
		l.left--
	}
	m.finished = true
	delete(k.open, n)
	if k.held == n { // who else has it got it before, and was slow: it has timed out there
		k.holder = nil
	}
}

// Spends notes that a message is about to be given back that was delivered as often as it
// may be.
func (l *Ledger) Spends(holder any, name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.key(name)
	k.message(n).spent = true
	delete(k.open, n)
	l.leave(holder, name, n)
}

// Buried notes that a message is in the dead-letter topic.
func (l *Ledger) Buried(name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.key(name).message(n)
	if m.ok && !m.over() {
		l.left--
	}
	if !m.spent {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %d is a dead letter and was not delivered often enough", name, n))
	}
	if l.counts.letters++; m.buried {
		l.counts.lettersAgain++
	}
	m.buried = true
}

// Leaves notes that a message is about to be given back, or left alone.
func (l *Ledger) Leaves(holder any, name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(holder, name, n)
}

func (l *Ledger) leave(holder any, name string, n int) {
	if k := l.key(name); k.holder == holder && k.held == n {
		k.holder = nil
	}
}

// Gone notes that a holder has nothing any more.
func (l *Ledger) Gone(holder any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.keys {
		if k.holder == holder {
			k.holder = nil
		}
	}
}

// Missing is how many messages were OK'd and are neither finished nor dead letters.
func (l *Ledger) Missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// Wrong is what was not in order. A message whose publish was never answered may have come
// into the log behind later ones.
func (l *Ledger) Wrong() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := slices.Clone(l.wrong)
	for name, k := range l.keys {
		for n, m := range k.messages {
			if m.overtaken != 0 && m.ok {
				wrong = append(wrong, fmt.Sprintf("%s: %d came after %d", name, n, m.overtaken))
			}
		}
	}
	return wrong
}

// Letters is how many dead letters came.
func (l *Ledger) Letters() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.letters
}

func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d keys, %d deliveries, %d of them again, %d dead letters, %d of them again",
		len(l.keys), l.counts.came, l.counts.again, l.counts.letters, l.counts.lettersAgain)
}
