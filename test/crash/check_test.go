package crash

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fault is a broken promise.
type fault string

const (
	faultLost     fault = "lost: an OK'd message was never delivered, or never again after it was given back"
	faultPartial  fault = "partial: an unanswered message reached one channel and not the other"
	faultHalf     fault = "half an MPUB"
	faultAltered  fault = "altered body"
	faultUnsent   fault = "message that was never sent"
	faultIdentity fault = "id or timestamp is not stable and unique"
	faultUndone   fault = "undone FIN: delivered again although finished"
	faultEarly    fault = "deferred message came early"
	faultLate     fault = "deferred message came late"
	faultAttempts fault = "attempts forgotten"
	faultRisen    fault = "deleted message came back"
	faultAnswer   fault = "unexpected answer"
	faultStuck    fault = "the daemon does not answer or does not come to rest"
	faultState    fault = "depth, in flight or deferred is wrong"
	faultDeath    fault = "the daemon failed by itself"
)

// shown is how many offenders a report tells about.
const shown = 20

// violation is one offender.
type violation struct {
	fault  fault
	text   string
	c      *channelLedger // nil when it is not about one message
	s      *stream
	number uint32
}

// report notes an offence that no message is known for.
func (l *ledger) report(f fault, format string, args ...any) {
	l.record(violation{fault: f}, format, args)
}

// report notes an offence against a message in this channel.
func (c *channelLedger) report(f fault, s *stream, number uint32, format string, args ...any) {
	c.ledger.record(violation{fault: f, c: c, s: s, number: number}, format, args)
}

func (l *ledger) record(v violation, format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[v.fault]++
	if l.faults[v.fault] <= shown {
		v.text = fmt.Sprintf(format, args...)
		l.violations = append(l.violations, v)
	}
}

// check compares what is owed with what came. It is called when all
// publishers and consumers have ended.
func (l *ledger) check() {
	for _, t := range l.topics {
		t.checkIDs(l)
		for _, s := range t.streams {
			appeared := t.appeared(s)
			for _, c := range t.channels {
				c.checkOwed(s, appeared)
				c.checkBatches(s)
			}
		}
	}
}

// checkIDs: no two messages of a topic share an id, whatever the incarnation.
func (t *topicLedger) checkIDs(l *ledger) {
	type identified struct {
		id     uint64
		stream *stream
		number uint32
	}
	var all []identified
	for _, s := range t.streams {
		for number, id := range s.ids {
			if id != 0 {
				all = append(all, identified{id, s, uint32(number)})
			}
		}
	}
	slices.SortFunc(all, func(a, b identified) int {
		switch {
		case a.id < b.id:
			return -1
		case a.id > b.id:
			return 1
		}
		return 0
	})
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; a.id == b.id {
			l.report(faultIdentity, "topic %s: id %016x is that of stream %d number %d and of stream %d number %d",
				t.name, a.id, a.stream.id, a.number, b.stream.id, b.number)
		}
	}
}

// appeared says for every number whether some channel that it is owed to has
// seen it: then it is in the log, and all channels must get it.
func (t *topicLedger) appeared(s *stream) []bool {
	seen := make([]bool, s.next.Load())
	for _, c := range t.channels {
		for number := c.owed[s.index]; number < uint32(len(seen)); number++ {
			if c.entries[s.index][number].seen != 0 {
				seen[number] = true
			}
		}
	}
	return seen
}

func (c *channelLedger) checkOwed(s *stream, appeared []bool) {
	for number := c.owed[s.index]; number < uint32(len(appeared)); number++ {
		if c.entries[s.index][number].fins > 0 {
			continue
		}
		switch {
		case s.status[number]&statusOK != 0:
			c.report(faultLost, s, number, "lost")
		case appeared[number]:
			c.report(faultPartial, s, number, "in the topic, but not finished here")
		}
	}
}

// checkBatches: every MPUB is seen whole or not at all. OK'd ones are owed in
// any case.
func (c *channelLedger) checkBatches(s *stream) {
	end := s.next.Load()
	for first := c.owed[s.index]; first < end; first++ {
		if s.status[first]&statusBatchFirst == 0 {
			continue
		}
		last := first + 1
		for last < end && s.status[last]&(statusBatch|statusBatchFirst) == statusBatch {
			last++
		}
		seen := 0
		for _, e := range c.entries[s.index][first:last] {
			if e.seen != 0 {
				seen++
			}
		}
		if seen != 0 && seen != int(last-first) {
			c.report(faultHalf, s, first, "%d of the %d messages from here on were seen", seen, last-first)
		}
	}
}

// published tells how a message was sent.
func (s *stream) published(number uint32) string {
	var b strings.Builder
	i := sort.Search(len(s.windows), func(i int) bool { return s.windows[i].first > number }) - 1
	if i >= 0 {
		w := s.windows[i]
		fmt.Fprintf(&b, "sent %v in run %d", w.sent.Round(time.Microsecond), w.run)
		if s.status[number]&statusBatch != 0 {
			fmt.Fprintf(&b, " in a batch of %d from %d", w.count, w.first)
		}
		if w.answered != 0 {
			fmt.Fprintf(&b, ", answered ≤ %v", w.answered.Round(time.Microsecond))
		}
	}
	switch {
	case s.status[number]&statusOK != 0:
		b.WriteString(" with OK")
	case s.status[number]&statusRefused != 0:
		b.WriteString(" with an error")
	default:
		b.WriteString(", not answered")
	}
	return b.String()
}

// describe tells all that is known of a message.
func (c *channelLedger) describe(s *stream, number uint32) string {
	e := c.entries[s.index][number]
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s stream %d number %d: %s", c.topic.name, c.name, s.id, number, s.published(number))
	if id := atomic.LoadUint64(&s.ids[number]); id != 0 {
		fmt.Fprintf(&b, ", id %016x", id)
	}
	if e.seen == 0 {
		b.WriteString(", never delivered here")
	} else {
		fmt.Fprintf(&b, ", first delivered ≤ %v, FINs %d", time.Duration(e.seen)*tick, e.fins)
	}
	if e.fin != 0 {
		fmt.Fprintf(&b, ", FIN obeyed ≤ %v", time.Duration(e.fin)*tick)
	}
	if c.owed[s.index] > number {
		b.WriteString(", not owed to the present incarnation")
	}
	return b.String()
}

// summary counts what was done.
func (l *ledger) summary() string {
	var b strings.Builder
	var sent, ok, refused int
	for _, s := range l.streams {
		sent += int(s.next.Load())
		for _, status := range s.status[:s.next.Load()] {
			ok += int(status & statusOK)
			refused += int(status & statusRefused / statusRefused)
		}
	}
	fmt.Fprintf(&b, "%d messages sent in %v and %d runs: %d OK, %d refused, %d unanswered\n",
		sent, l.now().Round(time.Millisecond), len(l.runs), ok, refused, sent-ok-refused)
	for n, r := range l.runs {
		fmt.Fprintf(&b, "  run %d: %v to %v\n", n, time.Duration(r.from)*tick, time.Duration(r.to)*tick)
	}
	for _, t := range l.topics {
		for _, c := range t.channels {
			fmt.Fprintf(&b, "  %s/%s: %v\n", t.name, c.name, c.counts)
		}
	}
	fmt.Fprintf(&b, "  error answers: %v", l.refusals)
	return b.String()
}

// verdict lists every fault with its first offenders; it is empty when all
// promises were kept.
func (l *ledger) verdict() string {
	var b strings.Builder
	faults := make([]fault, 0, len(l.faults))
	for f := range l.faults {
		faults = append(faults, f)
	}
	slices.Sort(faults)
	for _, f := range faults {
		fmt.Fprintf(&b, "%s: %d times\n", f, l.faults[f])
		for _, v := range l.violations {
			if v.fault != f {
				continue
			}
			fmt.Fprintf(&b, "  %s", v.text)
			if v.c != nil {
				fmt.Fprintf(&b, " (%s)", v.c.describe(v.s, v.number))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// require fails the test unless every promise was kept.
func (l *ledger) require(t testing.TB) {
	t.Helper()
	t.Log(l.summary())
	if v := l.verdict(); v != "" {
		t.Errorf("promises were broken\n%s", v)
	}
}
