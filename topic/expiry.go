package topic

import (
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"qmq/diskqueue"
	"qmq/internal/dueheap"
	"qmq/internal/seqset"
	"qmq/message"
)

// expiry finds the messages of a topic that are too old: by max_age in the order of the
// log, from the oldest that is not finished on; and by a time of their own those whose
// publisher gave them one, and those that were deferred, whose age counts from when they
// were due.
type expiry struct {
	o         *Options
	fanout    *fanout
	log       *diskqueue.Log
	reclaimer *reclaimer

	// maxAge is the setting, ns; 0: any age. It is written with mu held.
	maxAge atomic.Int64

	mu     sync.Mutex   // guards what follows; taken before fanout.mu
	from   uint64       // what lies below has been looked at for its age
	marked dueheap.Heap // messages with a time of their own, wall ms; those that are finished may be among them
	prune  int          // how many marked there are when the finished ones are taken out
}

// maxDiscarded is how many ranges are made void at a time: nobody publishes meanwhile.
const maxDiscarded = 1024

// minPrune is how many messages with a time of their own are kept without a look.
const minPrune = 1024

// configure has another max_age be in force, or takes up what a process has left.
func (x *expiry) configure(maxAge time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.maxAge.Store(int64(maxAge))
	x.lookAnew()
}

// reschedule looks at everything anew: a channel came that owes what the others had finished.
func (x *expiry) reschedule() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lookAnew()
}

// lookAnew finds what has a time of its own. The caller holds x.mu.
func (x *expiry) lookAnew() {
	x.from, x.marked, x.prune = 0, dueheap.Heap{}, minPrune
	marks, err := x.log.Marks(x.fanout.needed(), x.fanout.committed())
	if err != nil {
		x.o.Common.Logger.Error("messages lose their time of expiry", "topic", x.o.Name, "error", err)
	}
	x.note(marks)
}

// note notes messages with a time of their own, and returns the earliest, wall ms. The
// caller holds x.mu.
func (x *expiry) note(marks []message.Mark) (first int64) {
	first = math.MaxInt64
	for i := range marks {
		if at := x.ends(&marks[i]); at != math.MaxInt64 {
			x.marked.Push(dueheap.Item{Due: at, Seq: marks[i].Seq})
			first = min(first, at)
		}
	}
	return first
}

// ends is when a message expires for a reason of its own, wall ms.
func (x *expiry) ends(m *message.Mark) int64 {
	at := int64(math.MaxInt64)
	if m.ExpireAt != 0 {
		at = m.ExpireAt
	}
	if age := x.maxAge.Load(); age > 0 && m.DeliverAt != 0 {
		at = min(at, m.DeliverAt+age/1e6)
	}
	return at
}

// committed is told of what was committed, and says when the first of it may expire, at
// the latest, steady ns; the largest number: never.
func (x *expiry) committed(added diskqueue.Appended) (first int64) {
	first = math.MaxInt64
	if age := x.maxAge.Load(); age > 0 {
		first = x.reclaimer.now() + age
	}
	if len(added.Marks) == 0 {
		return first
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return min(first, x.steady(x.note(added.Marks)))
}

// steady is the steady time of a time on the wall clock, ms.
func (x *expiry) steady(ms int64) int64 {
	if ms > math.MaxInt64/1_000_000 {
		return math.MaxInt64
	}
	return ms*1e6 - x.o.Common.Channels.Clock.ToWall(0)
}

// expire makes void what has expired, and says when the next may, steady ns.
func (x *expiry) expire() (next int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	age := x.maxAge.Load()
	if age == 0 && x.marked.Len() == 0 {
		return math.MaxInt64
	}
	wall := x.o.Common.Channels.Clock.Wall()
	gone := x.expireMarked(wall / 1e6)
	next = math.MaxInt64
	if x.marked.Len() > 0 {
		next = x.steady(x.marked.NextDue())
	}
	if age > 0 {
		old, oldest := x.olderThan(wall - age)
		gone = append(gone, old...)
		if oldest != math.MaxInt64 {
			next = min(next, x.steady((oldest+age+1e6-1)/1e6))
		}
	}
	for part := range slices.Chunk(seqset.Union(gone), maxDiscarded) {
		x.fanout.discard(part, expired)
		x.reclaimer.reclaim()
	}
	return next
}

// expireMarked takes out what expires at a time of its own that has come, and returns what
// of it is not finished. The caller holds x.mu.
func (x *expiry) expireMarked(now int64) (gone []seqset.Range) {
	if x.marked.Len() >= x.prune {
		x.marked.RemoveRange(0, x.fanout.needed())
		x.prune = max(minPrune, 2*x.marked.Len())
	}
	for x.marked.Len() > 0 && x.marked.NextDue() <= now {
		seq := x.marked.Pop().Seq
		gone = append(gone, seqset.Range{From: seq, To: seq + 1})
	}
	return x.fanout.unfinishedOf(seqset.Union(gone))
}

// olderThan lists what is not finished and was published before a time, wall ns, and says
// when the oldest of the others was; the largest number when there is none. The caller
// holds x.mu.
func (x *expiry) olderThan(limit int64) (old []seqset.Range, oldest int64) {
	r := x.log.NewReader()
	defer r.Release()
	end := x.fanout.committed()
	x.from = max(x.from, x.fanout.needed())
	for _, e := range x.log.Extents() {
		part := seqset.Range{From: max(e.Numbers.From, x.from), To: min(e.Numbers.To, end)}
		if part.From >= part.To {
			continue
		}
		open := x.fanout.unfinishedOf([]seqset.Range{part})
		n := total(open)
		young := uint64(sort.Search(int(n), func(i int) bool {
			at, ok := published(r, open, uint64(i), n)
			return ok && at > limit
		}))
		old = append(old, x.withoutDeferred(first(open, young))...)
		if young < n {
			x.from = nth(open, young)
			at, ok := published(r, open, young, n)
			if !ok {
				at = limit + int64(time.Second) // it cannot be read now
			}
			return old, at
		}
		x.from = part.To
	}
	return old, math.MaxInt64
}

// withoutDeferred leaves out of a list what was deferred: its age counts from when it is
// due.
func (x *expiry) withoutDeferred(list []seqset.Range) []seqset.Range {
	if len(list) == 0 {
		return nil
	}
	var deferred []seqset.Range
	for _, m := range x.fanout.delayed(list[0].From, list[len(list)-1].To) {
		deferred = append(deferred, seqset.Range{From: m.Seq, To: m.Seq + 1})
	}
	return seqset.Difference(list, seqset.Union(deferred))
}

// published is when the i-th of n messages was published, or, where that cannot be read,
// one of the next ones.
func published(r *diskqueue.Reader, list []seqset.Range, i, n uint64) (at int64, ok bool) {
	const tries = 8
	for try := i; try < min(n, i+tries); try++ {
		if v, err := r.Read(nth(list, try)); err == nil {
			return v.Timestamp, true
		}
	}
	return 0, false
}

// total is how many numbers there are in a list.
func total(list []seqset.Range) (n uint64) {
	for _, r := range list {
		n += r.Len()
	}
	return n
}

// nth is the number at a place of a list, which has it.
func nth(list []seqset.Range, i uint64) uint64 {
	for _, r := range list {
		if i < r.Len() {
			return r.From + i
		}
		i -= r.Len()
	}
	return math.MaxUint64
}

// first is the first n numbers of a list.
func first(list []seqset.Range, n uint64) (part []seqset.Range) {
	for _, r := range list {
		if n == 0 {
			break
		}
		r.To = min(r.To, r.From+n)
		part = append(part, r)
		n -= r.Len()
	}
	return part
}
