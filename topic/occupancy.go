package topic

import (
	"fmt"
	"sync"
	"sync/atomic"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/settings"
)

// FullError is the refusal of a publish for which a topic has no room.
type FullError struct {
	Topic   string
	Setting string // that says how much there may be: MaxMessages or MaxBytes
	Max     int64  // messages, or bytes
}

// The settings that limit what of a topic is not finished.
const (
	MaxMessages = "max_messages"
	MaxBytes    = "max_bytes"
)

func (e *FullError) Error() string {
	unit := "messages"
	if e.Setting == MaxBytes {
		unit = "bytes"
	}
	return fmt.Sprintf("topic %s is full: its messages that are not finished are limited to %d %s (%s)", e.Topic, e.Max, unit, e.Setting)
}

// load is how much there is of something.
type load struct{ messages, bytes int64 }

func (l load) plus(o load) load { return load{l.messages + o.messages, l.bytes + o.bytes} }

func (l load) minus(o load) load {
	return load{max(0, l.messages-o.messages), max(0, l.bytes-o.bytes)}
}

func loadOf(b *diskqueue.Batch) load { return load{int64(b.Len()), int64(b.Bytes())} }

// occupancy is what of a topic is not finished, as far as it is known without
// counting. It is guarded by fanout.mu.
type occupancy struct {
	counted  bool // most is a bound; else it has to be counted first
	most     load // there is no more than that
	since    load // what was committed since the count under way began
	promised load // what was admitted and is not committed
}

// limiter keeps what is not finished of a topic within max_messages and max_bytes.
// To count it takes a look at every channel, so it is counted only when a bound that
// grows with what is published reaches a limit.
type limiter struct {
	o         *Options
	fanout    *fanout
	log       *diskqueue.Log
	reclaimer *reclaimer

	later func(at int64) // has relieve called by a steady time, ns

	// limits is what is in force; nil: there is no limit.
	limits atomic.Pointer[settings.EffectiveTopic]

	mu   sync.Mutex // held while it is counted, or dropped; taken before fanout.mu and channels' locks
	next int64      // it is not counted again before, steady ns
	// asked is that relieve was called, and nobody has looked since. Who drops looks again.
	asked atomic.Bool
}

// countShare is how many times as long as a count took there is no other: where very
// many messages are open a full topic is counted less often.
const countShare = 10

// configure has limits be in force from now on.
func (l *limiter) configure(now *configured) {
	if !now.Limited() {
		l.limits.Store(nil)
		return
	}
	l.fanout.recountNext()
	l.limits.Store(&now.EffectiveTopic)
}

func (f *fanout) recountNext() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.occupancy.counted = false
}

// admit takes note of a batch that is about to be published, or refuses it. What was
// promised is to be given back with the commit or the failure.
func (l *limiter) admit(b *diskqueue.Batch) (promised load, err error) {
	limits := l.limits.Load()
	if limits == nil {
		return load{}, nil
	}
	return l.admitLoad(loadOf(b), limits)
}

// admitLoad is admit of so much.
func (l *limiter) admitLoad(add load, limits *settings.EffectiveTopic) (promised load, err error) {
	if limits.Overflow == settings.DropOldest {
		l.fanout.promise(add, nil)
		return add, nil
	}
	if l.fanout.promise(add, limits) {
		return add, nil
	}
	l.count()
	if l.fanout.promise(add, limits) {
		return add, nil
	}
	return load{}, l.full(add, limits)
}

// full says which limit a batch would break.
func (l *limiter) full(add load, limits *settings.EffectiveTopic) error {
	l.fanout.mu.Lock()
	defer l.fanout.mu.Unlock()
	o := &l.fanout.occupancy
	if m := limits.MaxMessages; m > 0 && o.most.plus(o.promised).plus(add).messages > m {
		return &FullError{Topic: l.o.Name, Setting: MaxMessages, Max: m}
	}
	return &FullError{Topic: l.o.Name, Setting: MaxBytes, Max: limits.MaxBytes}
}

// over is how much of a load is beyond limits.
func over(l load, limits *settings.EffectiveTopic) (excess load) {
	if limits.MaxMessages > 0 {
		excess.messages = max(0, l.messages-limits.MaxMessages)
	}
	if limits.MaxBytes > 0 {
		excess.bytes = max(0, l.bytes-limits.MaxBytes)
	}
	return excess
}

// promise notes what is admitted, unless it breaks the limits, if there are any.
func (f *fanout) promise(add load, limits *settings.EffectiveTopic) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &f.occupancy
	if limits != nil && (!o.counted || over(o.most.plus(o.promised).plus(add), limits) != load{}) {
		return false
	}
	o.promised = o.promised.plus(add)
	return true
}

// unpromise gives back what was promised and is not published.
func (f *fanout) unpromise(promised load) {
	if promised == (load{}) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.occupancy.promised = f.occupancy.promised.minus(promised)
}

// occupy notes what was committed, of which so much was promised. The caller holds f.mu.
func (f *fanout) occupy(added, promised load) {
	o := &f.occupancy
	o.promised = o.promised.minus(promised)
	o.most, o.since = o.most.plus(added), o.since.plus(added)
}

// count counts what is not finished, unless that took long a moment ago.
func (l *limiter) count() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reclaimer.now() >= l.next {
		l.countNow()
	}
}

// countNow counts, and returns what is not finished, ascending. The caller holds l.mu.
func (l *limiter) countNow() (open []seqset.Range) {
	start := l.reclaimer.now()
	open = l.fanout.beginCount()
	n := load{}
	for _, e := range l.log.Extents() {
		part := partsIn(open, e.Numbers)
		for _, r := range part {
			n.messages += int64(r.Len())
		}
		n.bytes += l.log.ShareOf(e.Numbers, part)
	}
	l.fanout.endCount(n)
	l.next = start + (countShare+1)*(l.reclaimer.now()-start)
	return open
}

// partsIn is what of a united list lies in r.
func partsIn(list []seqset.Range, r seqset.Range) (part []seqset.Range) {
	for _, x := range seqset.Between(list, r) {
		part = append(part, x.Overlap(r))
	}
	return part
}

// beginCount lists what is not finished.
func (f *fanout) beginCount() []seqset.Range {
	f.mu.Lock()
	f.occupancy.since = load{}
	all := seqset.Range{From: f.lowest(), To: f.end}
	f.mu.Unlock()
	if all.From >= all.To {
		return nil
	}
	return f.unfinishedOf([]seqset.Range{all})
}

func (f *fanout) endCount(n load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &f.occupancy
	o.counted, o.most = true, n.plus(o.since)
}

// excess is how much is beyond the limits, as far as is known.
func (f *fanout) excess(limits *settings.EffectiveTopic) load {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := &f.occupancy; o.counted {
		return over(o.most, limits)
	}
	return load{1, 1}
}

// relieve drops the oldest messages of a topic that has more than it may, and says
// whether it dropped any. While another goroutine is at it, it does nothing: that one
// looks again.
func (l *limiter) relieve() (any bool) {
	if l.overflowing() == nil {
		return false
	}
	l.asked.Store(true)
	for l.asked.Load() && l.mu.TryLock() {
		for l.asked.Swap(false) {
			for limits := l.overflowing(); limits != nil && l.dropOldest(limits); limits = l.overflowing() {
				any = true
			}
		}
		l.mu.Unlock()
	}
	return any
}

// overflowing is the limits of a topic whose oldest messages may have to be dropped; else nil.
func (l *limiter) overflowing() *settings.EffectiveTopic {
	limits := l.limits.Load()
	if limits == nil || limits.Overflow != settings.DropOldest || l.fanout.excess(limits) == (load{}) {
		return nil
	}
	return limits
}

// dropOldest drops the oldest messages that are beyond the limits and not in flight. It
// says whether it dropped any. The caller holds l.mu.
func (l *limiter) dropOldest(limits *settings.EffectiveTopic) (any bool) {
	if l.reclaimer.now() < l.next { // it took long a moment ago
		l.later(l.next)
		return false
	}
	open := l.countNow()
	excess := l.fanout.excess(limits)
	if excess == (load{}) || len(open) == 0 {
		return false
	}
	gone := l.oldest(seqset.Difference(open, l.fanout.inFlight()), excess)
	if len(gone) == 0 {
		return false
	}
	l.fanout.discard(gone, dropped)
	l.countNow()
	l.reclaimer.reclaim()
	return true
}

// oldest is the first messages of a list, as many as make up for the excess.
func (l *limiter) oldest(list []seqset.Range, excess load) (gone []seqset.Range) {
	r := l.log.NewReader()
	defer r.Release()
	for _, x := range list {
		at := x.From
		for ; at < x.To && excess != (load{}); at++ {
			n := load{messages: 1}
			if excess.bytes > 0 {
				if v, err := r.Read(at); err == nil { // else nobody can say
					n.bytes = int64(message.HeaderSize + len(v.Attrs) + len(v.Body))
				}
			} else if whole := min(excess.messages, int64(x.To-at)); whole > 1 {
				n.messages = whole
				at += uint64(whole - 1)
			}
			excess = excess.minus(n)
		}
		if at > x.From {
			gone = append(gone, seqset.Range{From: x.From, To: at})
		}
		if excess == (load{}) {
			break
		}
	}
	return gone
}
