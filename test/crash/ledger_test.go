package crash

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"qmq/test/wire"
)

// The ledger remembers for every message what was promised and what came, in a
// few bytes each: a long run has tens of millions of deliveries.

// sure is how long before a kill something must have happened to have to
// survive it. The daemon promises 50 ms; the rest is for a busy machine.
const sure = time.Second

// tick is the grain of the times kept per message. 65,535 of them are 54
// minutes, more than any run may take.
const (
	tick      = 50 * time.Millisecond
	sureTicks = uint16(sure / tick)
)

// What a publisher knows of a message.
const (
	statusOK         = 1 << iota // answered with OK
	statusRefused                // answered with an error
	statusBatchFirst             // first of an MPUB
	statusBatch                  // of an MPUB
)

// nothingOwed is a bound above every number.
const nothingOwed = math.MaxUint32

// window is a stretch of numbers sent in one go.
type window struct {
	first, count   uint32
	run            int
	sent, answered time.Duration // since the ledger's start; answered 0 = never
}

// stream holds the messages of one publisher, numbered from 0.
type stream struct {
	id    uint16
	index int // within the topic
	topic *topicLedger

	// next: every number below it was taken before its bytes were written.
	// answered: every number below it was answered or its connection is gone.
	next, answered atomic.Uint32
	status         []byte   // written by the publisher; others read below answered
	windows        []window // the publisher's; read by others when it has ended

	ids    []uint64 // by number, 0 = not seen; atomic
	stamps []uint32 // a hash of the timestamp, 0 = not seen; atomic
}

// topicLedger is a topic by name, over all its incarnations.
type topicLedger struct {
	name     string
	streams  []*stream
	channels []*channelLedger
}

// entry is what one channel knows of one message.
type entry struct {
	seen uint16 // tick of the first delivery, 0 = none
	fin  uint16 // tick at which the last FIN was known to have been obeyed, 0 = none
	fins uint8  // FINs sent that did not fail
	_    uint8
}

type messageKey struct {
	stream uint16
	number uint32
}

// requeueMark is a REQ with a delay that was surely obeyed.
type requeueMark struct {
	due int64  // wall clock, ns
	at  uint16 // tick of the confirmation
}

// channelLedger is a channel by name, over all its incarnations.
type channelLedger struct {
	ledger *ledger
	topic  *topicLedger
	name   string

	mu       sync.Mutex // everything below
	entries  [][]entry  // by stream index, by number
	owed     []uint32   // by stream index: numbers from here on are owed
	dead     []uint32   // by stream index: OK'd numbers below were deleted
	doomed   []uint32   // what dead becomes when the re-creation is answered
	epoch    int        // grows with each re-creation
	requeues map[messageKey]requeueMark
	counts   channelCounts
}

// channelCounts are for the report.
type channelCounts struct {
	deliveries, again, fins, failed, requeued, touched, ignored int
	connections, aborts, closes, recreated                      int
	latest                                                      time.Duration // worst lateness of a deferred message
}

func (n channelCounts) String() string {
	return fmt.Sprintf("%d delivered, %d of them again; %d FINs, %d refused answers, %d requeued, %d touched, %d ignored; "+
		"%d connections, %d broken off, %d closed; created %d times; latest deferred message %v late",
		n.deliveries, n.again, n.fins, n.failed, n.requeued, n.touched, n.ignored,
		n.connections, n.aborts, n.closes, n.recreated, n.latest.Round(time.Millisecond))
}

// lifespan is one run of the daemon, in ticks.
type lifespan struct {
	from, to uint16 // to is 0 while it lasts
}

// ledger is the whole account of a scenario.
type ledger struct {
	began   time.Time
	topics  []*topicLedger
	streams []*stream

	mu         sync.Mutex
	runs       []lifespan     // by run number
	violations []violation    // the first of each fault
	faults     map[fault]int  // how many of each
	refusals   map[string]int // error answers, by code
}

func newLedger() *ledger {
	return &ledger{began: time.Now(), faults: map[fault]int{}, refusals: map[string]int{}}
}

func (l *ledger) addTopic(name string) *topicLedger {
	t := &topicLedger{name: name}
	l.topics = append(l.topics, t)
	return t
}

// addStream makes room for a publisher of at most quota messages.
func (l *ledger) addStream(t *topicLedger, quota int) *stream {
	s := &stream{
		id: uint16(len(l.streams)), index: len(t.streams), topic: t,
		status: make([]byte, quota), ids: make([]uint64, quota), stamps: make([]uint32, quota),
	}
	l.streams = append(l.streams, s)
	t.streams = append(t.streams, s)
	return s
}

// addChannel comes after all streams of the topic. Nothing is owed to the
// channel before created is called.
func (l *ledger) addChannel(t *topicLedger, name string) *channelLedger {
	c := &channelLedger{ledger: l, topic: t, name: name, requeues: map[messageKey]requeueMark{}}
	for _, s := range t.streams {
		c.entries = append(c.entries, make([]entry, len(s.status)))
		c.owed = append(c.owed, nothingOwed)
	}
	c.dead = make([]uint32, len(t.streams))
	c.doomed = make([]uint32, len(t.streams))
	t.channels = append(t.channels, c)
	return c
}

func (l *ledger) now() time.Duration { return time.Since(l.began) }

// tickAt rounds up, so that a tick is never before what it stands for; 0 stays
// free to mean never.
func tickAt(d time.Duration) uint16 { return uint16(d/tick) + 1 }

// runStarted and runEnds keep the life spans; runEnds comes before the kill.
func (l *ledger) runStarted(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.runs) <= number {
		l.runs = append(l.runs, lifespan{from: tickAt(l.now())})
	}
}

func (l *ledger) runEnds(number int) {
	l.runStarted(number)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[number].to = uint16(l.now() / tick)
}

// survived reports whether something known at a tick of an earlier run must
// have outlived the end of that run. It is false for ticks of the run itself.
func (l *ledger) survived(at uint16, present int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range min(present, len(l.runs)) {
		// Rounded up, a tick may lie one above the floor of the end.
		if r := l.runs[n]; at <= r.to+1 {
			return at+sureTicks <= r.to
		}
	}
	return false
}

// started is the tick at which a run began.
func (l *ledger) started(number int) uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number < len(l.runs) {
		return l.runs[number].from
	}
	return math.MaxUint16
}

// refused counts an error answer. Only failures that a deletion or an exit
// explains are expected; anything else is a fault.
func (l *ledger) refused(where, text string) {
	code := text
	for i, c := range text {
		if c == ' ' {
			code = text[:i]
			break
		}
	}
	l.mu.Lock()
	l.refusals[code]++
	l.mu.Unlock()
	switch code {
	case "E_PUB_FAILED", "E_MPUB_FAILED", "E_DPUB_FAILED", "E_SUB_FAILED",
		"E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED", "503":
	default:
		l.report(faultAnswer, "%s answered %q", where, text)
	}
}

// vanishing is called before a deletion is sent: from now on nothing is owed.
func (c *channelLedger) vanishing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.topic.streams {
		c.owed[i] = nothingOwed
		c.doomed[i] = s.answered.Load()
	}
}

// created is called after a creation was answered: what is sent from now on is
// owed, and what was deleted must not come back.
func (c *channelLedger) created() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.topic.streams {
		c.owed[i] = s.next.Load()
	}
	copy(c.dead, c.doomed)
	c.epoch++
	c.counts.recreated++
}

// take reserves n numbers for messages about to be sent.
func (s *stream) take(n int, at time.Duration, run int) (first uint32) {
	first = s.next.Load()
	s.windows = append(s.windows, window{first: first, count: uint32(n), run: run, sent: at})
	s.next.Store(first + uint32(n))
	return first
}

// setAnswered notes that everything below number is answered.
func (s *stream) setAnswered(number uint32) { s.answered.Store(number) }

// sighting is where and when a batch of messages came in.
type sighting struct {
	run   int
	epoch int
	at    time.Duration
	wall  int64
	// stale: the connection was not read for so long that frames may have
	// been overtaken by their own redelivery.
	stale bool
}

// received notes a delivery and checks what can be checked at once. ok is false
// for a body that cannot be accounted for. mu is held.
func (c *channelLedger) received(sight *sighting, head wire.Head, body []byte) (key messageKey, ok bool) {
	c.counts.deliveries++
	m, err := parseBody(body)
	if err != nil {
		c.ledger.report(faultAltered, "%s/%s at %v: %v: id %s, %d bytes, beginning %q",
			c.topic.name, c.name, sight.at, err, head.ID, len(body), body[:min(len(body), 80)])
		return key, false
	}
	s := c.streamOf(m)
	if s == nil {
		c.ledger.report(faultUnsent, "%s/%s at %v: stream %d number %d (kind %c) was never sent to this topic, id %s",
			c.topic.name, c.name, sight.at, m.stream, m.number, m.kind, head.ID)
		return key, false
	}
	key = messageKey{m.stream, m.number}
	e := &c.entries[s.index][m.number]
	c.checkIdentity(s, m, head)
	if m.due != 0 {
		c.checkDue(sight, s, m)
	}
	if m.number < c.dead[s.index] && sight.epoch == c.epoch && s.status[m.number]&statusOK != 0 {
		c.report(faultRisen, s, m.number, "came at %v in run %d", sight.at, sight.run)
	}
	if e.seen != 0 {
		c.checkAgain(sight, s, m, e, head.Attempts)
	} else {
		e.seen = tickAt(sight.at)
	}
	return key, true
}

// streamOf is nil when m cannot have been published to this topic.
func (c *channelLedger) streamOf(m content) *stream {
	if int(m.stream) >= len(c.ledger.streams) {
		return nil
	}
	s := c.ledger.streams[m.stream]
	if s.topic != c.topic || m.number >= s.next.Load() {
		return nil
	}
	return s
}

// checkIdentity: id and timestamp of a message are the same in all channels and
// all runs.
func (c *channelLedger) checkIdentity(s *stream, m content, head wire.Head) {
	id, ok := parseHex(head.ID[:])
	if !ok || id == 0 {
		c.report(faultIdentity, s, m.number, "its id is %q", head.ID)
		return
	}
	if was, same := setOnce64(&s.ids[m.number], id); !same {
		c.report(faultIdentity, s, m.number, "it came with id %016x and with id %016x", was, id)
	}
	stamp := uint32(head.Timestamp) | 1
	if was, same := setOnce32(&s.stamps[m.number], stamp); !same {
		c.report(faultIdentity, s, m.number, "it came with two timestamps, %08x and %08x in the low bits", was, stamp)
	}
}

func setOnce64(p *uint64, v uint64) (was uint64, same bool) {
	was = atomic.LoadUint64(p)
	if was == 0 && atomic.CompareAndSwapUint64(p, 0, v) {
		return v, true
	}
	was = atomic.LoadUint64(p)
	return was, was == v
}

func setOnce32(p *uint32, v uint32) (was uint32, same bool) {
	was = atomic.LoadUint32(p)
	if was == 0 && atomic.CompareAndSwapUint32(p, 0, v) {
		return v, true
	}
	was = atomic.LoadUint32(p)
	return was, was == v
}

func (c *channelLedger) checkDue(sight *sighting, s *stream, m content) {
	late := time.Duration(sight.wall - m.due)
	if late < 0 {
		c.report(faultEarly, s, m.number, "came at %v in run %d, %v before it was due", sight.at, sight.run, -late)
	}
	c.counts.latest = max(c.counts.latest, late)
}

// checkAgain judges the delivery of a message that has been delivered before.
func (c *channelLedger) checkAgain(sight *sighting, s *stream, m content, e *entry, attempts uint16) {
	c.counts.again++
	present := c.ledger.started(sight.run)
	if attempts < 2 && !sight.stale && (e.seen > present || c.ledger.survived(e.seen, sight.run)) {
		c.report(faultAttempts, s, m.number, "came again at %v in run %d with attempts %d", sight.at, sight.run, attempts)
	}
	if e.fin != 0 {
		at := tickAt(sight.at)
		if e.fin <= present && c.ledger.survived(e.fin, sight.run) {
			c.report(faultUndone, s, m.number, "came again at %v in run %d", sight.at, sight.run)
		} else if e.fin > present && !sight.stale && at > e.fin+3*sureTicks {
			c.report(faultUndone, s, m.number, "came again at %v within the same run %d", sight.at, sight.run)
		}
	}
	if r, ok := c.requeues[messageKey{m.stream, m.number}]; ok {
		delete(c.requeues, messageKey{m.stream, m.number})
		held := r.at > present || c.ledger.survived(r.at, sight.run)
		if early := time.Duration(r.due - sight.wall); early > 0 && held && !sight.stale {
			c.report(faultEarly, s, m.number, "requeued, came at %v in run %d, %v before it was due", sight.at, sight.run, early)
		}
	}
}

// entryOf is the account of a message that was received; mu is held.
func (c *channelLedger) entryOf(k messageKey) *entry {
	return &c.entries[c.ledger.streams[k.stream].index][k.number]
}
