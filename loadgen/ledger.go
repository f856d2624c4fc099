package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// progress is how far a publisher is: numbers below sent may arrive, those
// below acked must. Both only grow.
type progress struct {
	sent, acked atomic.Uint64
}

// ledger is what came to one channel. Its methods may be called concurrently.
type ledger struct {
	bodies     *bodies
	shared     bool // others publish to the topic too
	publishers []*progress
	seen       []bitmap // by publisher

	delivered   atomic.Int64 // different messages
	duplicated  atomic.Int64 // deliveries of one that had come before
	redelivered atomic.Int64 // deliveries with attempts above 1
	altered     atomic.Int64 // deliveries that are no message of this run
	foreign     atomic.Int64 // the same in a shared topic, where they may be others'
	disordered  atomic.Int64 // deliveries with attempts 1 after one with a higher number on the same connection
	latest      atomic.Int64 // time of the newest delivery, ns since start
	start       time.Time

	more chan struct{} // holds a value after something came
}

func newLedger(b *bodies, publishers []*progress, start time.Time, more chan struct{}) *ledger {
	return &ledger{bodies: b, publishers: publishers, seen: make([]bitmap, len(publishers)), start: start, more: more}
}

// lost counts messages that were OK'd and did not come.
func (l *ledger) lost() (lost int64) {
	for i, p := range l.publishers {
		lost += l.seen[i].missing(p.acked.Load())
	}
	return lost
}

// tally is what comes to one consumer. It gathers marks of messages that
// follow one another and the counts of a read, so that consumers seldom meet in
// the ledger. It belongs to one goroutine.
type tally struct {
	ledger  *ledger
	highest []uint64 // by publisher, the highest number seen + 1

	publisher uint32 // of the marks that are not in the ledger yet
	word      uint64
	marks     uint64

	delivered, duplicated, redelivered, altered, foreign, disordered int64
}

func newTally(l *ledger) *tally {
	return &tally{ledger: l, highest: make([]uint64, len(l.publishers))}
}

// take notes a delivery and tells which message it is; ok is false when it is
// none of this run.
func (t *tally) take(body []byte, attempts uint16) (publisher uint32, number uint64, ok bool) {
	publisher, number, ok = t.ledger.bodies.read(body)
	// What was never sent cannot have come unaltered. The comparison also
	// bounds the ledger.
	if !ok || uint64(publisher) >= uint64(len(t.highest)) || number >= t.ledger.publishers[publisher].sent.Load() {
		if t.ledger.shared && !t.ledger.bodies.isOurs(body) {
			t.foreign++
		} else {
			t.altered++
		}
		return 0, 0, false
	}
	again := t.mark(publisher, number)
	switch highest := &t.highest[publisher]; {
	case again:
		t.duplicated++
	case number >= *highest:
		*highest = number + 1
	case attempts == 1:
		t.disordered++
	}
	if attempts > 1 {
		t.redelivered++
	}
	return publisher, number, true
}

// mark notes a number and tells whether it came just before, as far as that is
// known without the ledger.
func (t *tally) mark(publisher uint32, number uint64) (again bool) {
	if word := number / 64; word != t.word || publisher != t.publisher {
		t.fold()
		t.publisher, t.word = publisher, word
	}
	bit := uint64(1) << (number % 64)
	if t.marks&bit != 0 {
		return true
	}
	t.marks |= bit
	return false
}

// fold brings the gathered marks into the ledger. Those that another
// consumer, or this one long ago, brought before are repetitions.
func (t *tally) fold() {
	if t.marks == 0 {
		return
	}
	before := bits.OnesCount64(t.ledger.seen[t.publisher].add(t.word, t.marks))
	t.delivered += int64(bits.OnesCount64(t.marks) - before)
	t.duplicated += int64(before)
	t.marks = 0
}

// flush makes what came at now known to all.
func (t *tally) flush(now time.Time) {
	t.fold()
	l := t.ledger
	add(&l.delivered, &t.delivered)
	add(&l.duplicated, &t.duplicated)
	add(&l.redelivered, &t.redelivered)
	add(&l.altered, &t.altered)
	add(&l.foreign, &t.foreign)
	add(&l.disordered, &t.disordered)
	l.latest.Store(int64(now.Sub(l.start)))
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func add(total *atomic.Int64, n *int64) {
	if *n != 0 {
		total.Add(*n)
		*n = 0
	}
}
