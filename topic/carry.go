package topic

import (
	"cmp"
	"errors"
	"slices"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/state"
)

// A few messages that are deferred or held for long must not keep whole segments:
// what is owed of such segments is carried forward into one that holds nothing
// else. It waits until a segment stands still, since the messages of one that is
// being worked through are mostly gone a moment later.

const (
	// carryFactor is how many times the bytes of the records that are owed a log
	// may hold, and carrySlack how many bytes more. What is promised is five times
	// and 256 KiB.
	carryFactor = 4
	carrySlack  = 128 << 10
	// carryAfter is for how long a segment holds much more than is owed before it
	// is carried though something happens in it, ns.
	carryAfter = 10e9
	// carryBytes bounds what one carry keeps.
	carryBytes = 32 << 20
	// carryTight is the same where there is hardly any room on the disk: the log's
	// reserve has room for it.
	carryTight = 128 << 10
	// carryHead is about what a carry segment takes beside its records.
	carryHead = 4160
	// maxGiveUp is how many ranges that a carry leaves out are journalled one by
	// one; of more, the carry segment alone tells.
	maxGiveUp = 4096
)

// errRecalled ends a carry that a channel overtook.
var errRecalled = errors.New("a channel came that needs what is there")

// portion is a segment and what of it is owed.
type portion struct {
	diskqueue.Extent
	owed  []seqset.Range
	count uint64 // of the numbers owed
	low   int64  // bytes that their records take, at least
	bytes int64  // and at most
	exact bool   // bytes is exact
	still bool   // nothing of it was finished for a while
	stood bool   // it holds much more than is owed, for long
}

// sparse says that little of the portion is owed.
func (p *portion) sparse() bool { return p.Bytes > carryFactor*p.bytes }

// sight is what former looks saw of a segment.
type sight struct {
	count  uint64
	since  int64 // it was so many then, steady ns
	sparse int64 // since when it is sparse; 0 when it is not
	bytes  int64 // of the records owed when they were count, once they were read
	read   bool
}

// carrySparse carries forward what is owed of segments that hold little else, if
// the log holds much more than the topic owes. It returns how many bytes it
// wrote. now says that nothing is waited for: the disk is full.
func (r *reclaimer) carrySparse(now bool) (written int64) {
	if r.log.Bytes() <= carrySlack || r.isStopped() || !now && r.retention.Load() != nil {
		return 0
	}
	r.mu.Lock()
	recalls := r.recalls
	r.mu.Unlock()
	list := r.portions()
	again := slices.ContainsFunc(list, func(p portion) bool { return p.doubtful() })
	if !r.withinBounds(list) {
		again = r.endSparse(&list[len(list)-1], now) || again
		n, err := r.carryGroups(list, now, recalls)
		if diskFull(err) && !now {
			var more int64
			more, err = r.carryGroups(r.portions(), true, recalls)
			n += more
		}
		if diskFull(err) {
			more, tailErr := r.carryTails(recalls)
			if n += more; more > 0 {
				err = tailErr
			}
		}
		if err != nil || n > 0 { // where nothing was tried nothing is different
			r.tell(err)
		}
		written, again = n, again || err != nil
	}
	if again && r.armed.CompareAndSwap(false, true) {
		r.lookLater()
	}
	return written
}

// carryGroups carries those portions forward that can be. tight says that there
// is hardly any room on the disk: then it begins with what needs least, so that
// what that frees is room for the next, and ends with the first that finds none.
func (r *reclaimer) carryGroups(list []portion, tight bool, recalls int) (written int64, failed error) {
	maxBytes := int64(carryBytes)
	if tight {
		maxBytes = carryTight
	}
	found := groups(list, maxBytes, func(p *portion) bool {
		return p.Full && p.sparse() && p.count > 0 && (tight || p.still || p.stood)
	})
	if tight {
		slices.SortStableFunc(found, func(a, b []portion) int { return cmp.Compare(owedBytes(a), owedBytes(b)) })
	}
	for _, group := range found {
		n, err := r.carryGroup(group, recalls)
		written = written + n
		if err != nil {
			failed = err
		}
		if diskFull(err) {
			break
		}
	}
	return written, failed
}

// owedBytes is what a carry of the portions keeps.
func owedBytes(group []portion) (n int64) {
	for _, p := range group {
		n += p.bytes
	}
	return n
}

// doubtful says that the portion may be carried once nothing of it is finished
// any more.
func (p *portion) doubtful() bool {
	return !p.still && (p.sparse() || !p.exact && p.Bytes > carryFactor*p.low)
}

// endSparse ends the segment that is appended to if little of it is owed, and
// says whether another look can take it out.
func (r *reclaimer) endSparse(p *portion, now bool) (again bool) {
	if p.Full || !p.sparse() || p.Bytes < carrySlack/2 || !now && !p.still && !p.stood {
		return false
	}
	r.log.EndSegment()
	p.Full = slices.ContainsFunc(r.log.Extents(), func(e diskqueue.Extent) bool { return e.Numbers == p.Numbers && e.Full })
	return p.count == 0 || !p.Full
}

func (r *reclaimer) isStopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

// withinBounds says that the log holds no more than it may for what it owes. One
// that owes nothing is not carried: it goes, see look.
func (r *reclaimer) withinBounds(list []portion) bool {
	held, owed := int64(0), int64(0)
	for _, p := range list {
		held, owed = held+p.Bytes, owed+p.bytes
	}
	return owed == 0 || held <= carryFactor*owed+carrySlack
}

// portions lists the segments and what of each is owed. Only the cleaner calls it.
func (r *reclaimer) portions() []portion {
	d, now := r.fanout.debtors(), r.now()
	seen := make(map[uint64]sight)
	var list []portion
	for _, e := range r.log.Extents() {
		p := portion{Extent: e, low: e.Bytes, bytes: e.Bytes, exact: true, still: true}
		if e.Numbers.From < d.fresh { // or nobody has begun with it
			p.owed = d.owed(e.Numbers)
			for _, o := range p.owed {
				p.count += o.Len()
			}
			seen[e.Numbers.From] = r.see(&p, now)
		}
		list = append(list, p)
	}
	r.seen = seen
	r.took.Store(r.now() - now)
	return list
}

// see finds out how much the owed records of a portion take: by the index, or,
// once nothing is finished any more, by reading them.
func (r *reclaimer) see(p *portion, now int64) sight {
	s, ok := r.seen[p.Numbers.From]
	if !ok || s.count != p.count {
		s = sight{count: p.count, since: now, sparse: s.sparse}
	}
	p.still = now-s.since >= lookEvery
	low, high := r.log.OwedBytes(p.Numbers, p.owed)
	p.low, p.bytes, p.exact = low, high, low == high
	if s.read {
		p.bytes, p.exact = s.bytes, true
	} else if p.still && !p.exact && p.Bytes > carryFactor*low {
		if n, err := r.log.Measure(p.owed); err == nil {
			s.bytes, s.read = n, true
			p.bytes, p.exact = n, true
		}
	}
	switch {
	case !p.sparse():
		s.sparse = 0
	case s.sparse == 0:
		s.sparse = now
	default:
		p.stood = now-s.sparse >= carryAfter
	}
	return s
}

// groups finds adjacent portions that are to be carried into one segment, which
// keeps about maxBytes.
func groups(list []portion, maxBytes int64, ready func(*portion) bool) (found [][]portion) {
	for len(list) > 0 {
		n, bytes := 0, int64(0)
		for n < len(list) && ready(&list[n]) && (n == 0 || bytes+list[n].bytes <= maxBytes) {
			bytes += list[n].bytes
			n++
		}
		if n > 0 {
			found = append(found, list[:n])
		}
		list = list[max(n, 1):]
	}
	return found
}

// carryGroup carries portions into one segment if that frees at least half of
// what they take. It returns how many bytes it wrote; after an error all is as
// before, and it may be tried again.
func (r *reclaimer) carryGroup(group []portion, recalls int) (written int64, err error) {
	var numbers, keep []seqset.Range
	held, owed := int64(0), int64(carryHead)
	for _, p := range group {
		numbers = append(numbers, p.Numbers)
		keep = append(keep, p.owed...)
		held, owed = held+p.Bytes, owed+p.bytes
	}
	if held < 2*owed {
		return 0, nil
	}
	err = r.log.Carry(numbers, keep, func(gaps []seqset.Range) error { return r.giveUp(gaps, recalls) })
	r.carried()
	if err != nil {
		return 0, err
	}
	r.o.Common.Logger.Debug("carried forward", "topic", r.o.Name, "segments", len(group), "bytes", held, "owed", owed)
	return owed, nil
}

// carried ends a carry, be it that it failed.
func (r *reclaimer) carried() {
	r.mu.Lock()
	r.givingUp = nil
	r.mu.Unlock()
	r.logChanged()
}

// tell logs that segments stay, once until something is different, or a long time after.
func (r *reclaimer) tell(err error) {
	switch {
	case err == nil:
		r.told = remark{}
		return
	case diskqueue.InUse(err):
		return
	}
	if r.told.news(err, r.now()) {
		r.o.Common.Logger.Warn("segments of which little is owed stay for now", "topic", r.o.Name, "error", err)
	}
}

// giveUp has it journalled that gaps will not be held any more. It refuses when
// a channel came that owes everything from the log's start on.
func (r *reclaimer) giveUp(gaps []seqset.Range, recalls int) error {
	r.mu.Lock()
	if r.stopped || r.recalls != recalls {
		r.mu.Unlock()
		return errRecalled
	}
	r.givingUp = gaps
	r.mu.Unlock()
	if err := r.keepIDs(); err != nil {
		return err
	}
	if r.o.Ephemeral || len(gaps) > maxGiveUp {
		return nil
	}
	entries := make([]state.Entry, 0, len(gaps))
	for _, g := range gaps {
		entries = append(entries, state.Entry{Op: state.GiveUp, Topic: r.o.Incarnation, Void: g})
	}
	return r.cleaner().journal.CommitDurable(entries...)
}
