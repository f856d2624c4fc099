package serve

import "time"

const (
	// lingerAt is how many bytes an entry has for the next one to wait until those who were
	// answered have published again, at most for as long as the entry took, nor longer than
	// lingerMost: an entry costs much CPU time whatever is in it, so that who publishes much
	// pays for half as many. Where they do not come it is tried ever more rarely, up to
	// every lingerRarely entries.
	lingerAt     = 128 << 10
	lingerMost   = 2 * time.Millisecond
	lingerRarely = 64
)

// linger is for what the next entry of a queue waits, under its mu.
type linger struct {
	proposed int64 // steady ns: when the entry under way was
	until    int   // bytes that have to be there; 0: it does not wait
	turn     int   // of the waits, to tell a timer that is late
	skip     int   // entries after which it does not wait
	vain     int   // what skip was when it had waited in vain
}

// wait has the next entry wait after one of so many bytes, and says for how long. The
// caller holds q.mu.
func (l *linger) wait(applied, queued int, now int64) (d time.Duration) {
	d = min(time.Duration(now-l.proposed), lingerMost)
	if applied < lingerAt || queued >= maxGroup || d <= 0 {
		return 0
	}
	if l.skip > 0 {
		l.skip--
		return 0
	}
	l.until, l.turn = min(queued+applied, maxGroup), l.turn+1
	return d
}

// end ends a wait, if there is one, for all that was awaited is there.
func (l *linger) end() {
	if l.until > 0 {
		l.until, l.vain = 0, 0
	}
}

// inVain ends a wait that has taken too long.
func (l *linger) inVain() {
	l.until, l.vain = 0, min(2*l.vain+1, lingerRarely)
	l.skip = l.vain
}

// lingered ends a wait in vain.
func (q *queue) lingered(turn int) {
	q.mu.Lock()
	l := &q.linger
	over := l.until > 0 && l.turn == turn
	if over {
		l.inVain()
	}
	first := over && q.begin()
	q.mu.Unlock()
	if first {
		q.propose()
	}
}
