package crashset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// probe publishes to a topic through a member, one small message after the other, or
// notes what comes of a channel.
type probe struct {
	m       *member    // nil: of a channel
	mu      sync.Mutex // guards what follows
	last    time.Time  // of the last OK
	longest time.Duration
}

const probeEvery = 20 * time.Millisecond

// probe has a probe at work until publishing ends.
func (w *load) probe(p *probe, publisher int, send func([][]byte) error) {
	random := rand.New(rand.NewPCG(1, 1))
	for w.ctx.Err() == nil {
		bodies, first := w.l.send(publisher, 1, random)
		if send(bodies) == nil {
			w.l.ok(publisher, first)
			p.ok()
		}
		w.pause(probeEvery)
	}
}

// ok notes an OK.
func (p *probe) ok() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.longest = max(p.longest, now.Sub(p.last))
	p.last = now
}

// reset begins to measure.
func (p *probe) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.longest = time.Now(), 0
}

// pause is the longest time without an OK since reset, now included.
func (p *probe) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.longest, time.Since(p.last))
}

// publishes tells whether an OK came since a moment.
func (p *probe) publishes(since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.After(since)
}

// reset begins to measure pauses through members.
func (w *load) reset() {
	for _, p := range slices.Concat(w.probes, w.deliveries) {
		p.reset()
	}
}

// deliveryPause is the longest one of deliveries of any channel.
func (w *load) deliveryPause() (longest time.Duration) {
	for _, p := range w.deliveries {
		longest = max(longest, p.pause())
	}
	return longest
}

// pause is the longest one of publishes to any topic through some members.
func (w *load) pauseThrough(members []*member) (longest time.Duration) {
	for _, p := range w.probes {
		if slices.Contains(members, p.m) {
			longest = max(longest, p.pause())
		}
	}
	return longest
}

// awaitPublishing waits until all topics can be published to through some members.
func (w *load) awaitPublishing(members []*member, limit time.Duration) error {
	began := time.Now()
	for {
		var silent []string
		for i, p := range w.probes {
			if slices.Contains(members, p.m) && !p.publishes(began) {
				silent = append(silent, p.m.name+" "+topicNames[i%len(topicNames)])
			}
		}
		if len(silent) == 0 {
			return nil
		}
		if time.Since(began) > limit {
			return fmt.Errorf("no publishes for %v through %s", limit, strings.Join(silent, ", "))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// pauses are those of one kind of fault.
type pauses []time.Duration

// String is their median and the longest.
func (p pauses) String() string {
	slices.Sort(p)
	return fmt.Sprintf("p50 %5d ms, max %5d ms", p[len(p)/2].Milliseconds(), p[len(p)-1].Milliseconds())
}
