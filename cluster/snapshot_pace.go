package cluster

import (
	"context"
	"sync"
	"time"
)

// pace keeps what is given to so many bytes a second, and to less while the saves of this
// member's log take longer than they do when nothing is given: then the disk is that of the
// member too that is filled, or has to be read for it, and whoever publishes waits for it.
// It is a part of the rate at least, whatever the saves take: a member is filled in the end,
// and a log that is slow for another reason costs it no more than that. Where nothing is
// saved, nobody waits, and the rate is kept.
type pace struct {
	rate int64 // bytes a second at most; 0: it is not limited, whatever the saves take

	mu     sync.Mutex    // guards what follows
	next   time.Time     // when more may be given
	now    float64       // rate of the moment
	judged time.Time     // when that was set
	usual  time.Duration // what a save takes when nothing is given, on average; 0: not known
	saves  int           // since judged
	slow   int           // those of them that took long
	late   bool          // so many did when it was judged last
	eager  bool          // there was nothing to make it give less since it began
}

const (
	// paceJudged is how often the rate of the moment is set, and paceOver how long after
	// something was given saves are as they are without.
	paceJudged, paceOver = 100 * time.Millisecond, time.Second
	// paceLeast is the part of the rate, 1 / paceLeast, that it begins at and does not fall
	// below. With one slow save in paceShare, twice in a row, it falls to paceDown of what it
	// was: once is what any disk does, whatever is given. With fewer it goes up to paceUp of
	// what it was, and to paceEager before it has fallen.
	paceLeast, paceShare        = 4, 10
	paceDown, paceUp, paceEager = 0.6, 1.15, 1.3
	// paceWeight is that of what is known of usual saves, beside another one.
	paceWeight = 32
)

// wait waits until so many bytes may go.
func (p *pace) wait(ctx context.Context, bytes int) error {
	if p.rate == 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	p.judge(now)
	if least := now.Add(-paceSlack); p.next.Before(least) {
		p.next = least
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(bytes) / p.now * float64(time.Second)))
	if most := now.Add(paceDebt); p.next.After(most) {
		p.next = most
	}
	p.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// saved is told how long a save of the log took.
func (p *pace) saved(took time.Duration) {
	if p.rate == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.usual == 0:
		p.usual = took
	case time.Since(p.next) > paceOver:
		p.usual += (took - p.usual) / paceWeight
	default:
		p.saves++
		if p.isSlow(took) {
			p.slow++
		}
	}
}

// isSlow says whether a save took much longer than usual. Of what takes less than a
// millisecond more nobody says that he waits. mu is held.
func (p *pace) isSlow(took time.Duration) bool { return took > 2*p.usual+time.Millisecond }

// judge sets the rate of the moment. mu is held.
func (p *pace) judge(now time.Time) {
	most := float64(p.rate)
	switch {
	case p.usual == 0: // of no saves anything is known
		p.now = most
	case now.Sub(p.next) > paceOver:
		p.now, p.late, p.eager = most/paceLeast, false, true
	case now.Sub(p.judged) < paceJudged:
		return
	case p.slow*paceShare <= p.saves:
		up := paceUp
		if p.eager {
			up = paceEager
		}
		p.now, p.late = min(p.now*up, most), false
	case p.late:
		p.now, p.eager = max(p.now*paceDown, most/paceLeast), false
	default:
		p.late = true
	}
	p.judged, p.saves, p.slow = now, 0, 0
}
