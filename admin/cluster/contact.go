package cluster

import "time"

// contact is how questions to a node or a directory have gone.
type contact struct {
	missed  int // in a row without an answer
	missAt  time.Time
	streak  int // in a row with one
	problem string
	silent  time.Time // since when there is no answer; zero while there are
	lost    bool      // it has missed so many that it must answer well to be back
	told    bool      // the log has that it is lost
}

// noAnswer notes a question without an answer. Those that come sooner than
// apart count as one: because somebody has just changed something, or because
// one was late before it failed.
func (k *contact) noAnswer(now time.Time, apart time.Duration, problem string) {
	k.streak, k.problem = 0, problem
	if now.Sub(k.missAt) >= apart {
		k.missed, k.missAt = k.missed+1, now
	}
	if k.silent.IsZero() {
		k.silent = now
	}
	k.lost = k.lost || k.missed >= missedPolls
}

// answered notes an answer.
func (k *contact) answered() {
	k.missed, k.streak, k.problem = 0, k.streak+1, ""
	k.lost = k.lost && k.streak < missedPolls
	if !k.lost {
		k.silent = time.Time{}
	}
}

// miss notes a question without an answer.
func (n *node) miss(now time.Time, problem string) {
	answering := n.silent.IsZero()
	n.noAnswer(now, LiveInterval*9/10, problem)
	if answering && !n.at.IsZero() {
		n.silent = n.at // as charts have it
	}
}

// miss notes a question without an answer.
func (l *lookupd) miss(now time.Time, problem string) { l.noAnswer(now, LookupEvery/2, problem) }
