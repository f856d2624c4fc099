package topic

import (
	"math"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/settings"
)

// What all have finished is kept for a while where the settings say so, segment by
// segment: until all of a segment was published longer ago than retention_time, or what
// is kept takes more than retention_bytes. On a full disk it goes first.

// retains has what is finished be kept, or not.
func (r *reclaimer) retains(s *settings.EffectiveTopic) {
	if !s.Retains() {
		s = nil
	}
	r.retention.Store(s)
	r.logChanged()
	r.due.Store(true)
	r.lookSoon()
}

// lookSoon has the log looked at now, if there is a cleaner and anything to look at.
func (r *reclaimer) lookSoon() {
	if r.log.Bytes() > 0 && !r.o.Replicated && !r.o.Ephemeral && !r.isStopped() {
		r.cleaner().add(r)
	}
}

// retired lists which of the finished segments are not kept any more, and says when the
// next is not, steady ns; the largest number: not because time passes.
func (r *reclaimer) retired(finished []seqset.Range) (going []seqset.Range, next int64) {
	keep := r.retention.Load()
	if keep == nil {
		return finished, math.MaxInt64
	}
	bytes, left := make(map[uint64]int64), int64(0)
	for _, e := range r.log.Extents() {
		bytes[e.Numbers.From] = e.Bytes
	}
	for _, n := range finished {
		left += bytes[n.From]
	}
	clock := r.o.Common.Channels.Clock
	reader := r.log.NewReader()
	defer reader.Release()
	for _, n := range finished { // the oldest first
		tooMuch := keep.RetentionBytes > 0 && left > keep.RetentionBytes
		if !tooMuch {
			if keep.RetentionTime == 0 {
				break
			}
			until := r.published(reader, n) + int64(keep.RetentionTime)
			if until > clock.Wall() {
				return going, until - clock.ToWall(0)
			}
		}
		going = append(going, n)
		left -= bytes[n.From]
	}
	return going, math.MaxInt64
}

// keepRetained leaves out of the finished segments what is kept, and sees to it later.
func (r *reclaimer) keepRetained(finished []seqset.Range) []seqset.Range {
	going, next := r.retired(finished)
	r.retireAt.Store(next)
	r.retireLater(next)
	return going
}

// Retained is how many messages are kept though everybody has finished them, those before
// the first that somebody has not.
func (t *Topic) Retained() (messages uint64) {
	if t.reclaimer.retention.Load() == nil {
		return 0
	}
	floor := t.fanout.needed()
	for _, e := range t.o.Log.Extents() {
		if to := min(e.Numbers.To, floor); e.Numbers.From < to {
			messages += to - e.Numbers.From
		}
	}
	return messages
}

// published is when the last message of a segment was, wall ns; where that cannot be read,
// it was just now.
func (r *reclaimer) published(reader *diskqueue.Reader, numbers seqset.Range) int64 {
	v, err := reader.Read(numbers.To - 1)
	if err != nil {
		return r.o.Common.Channels.Clock.Wall()
	}
	return v.Timestamp
}

// retire has the log looked at when something is not kept any more, and says when to ask
// again, steady ns.
func (r *reclaimer) retire() (next int64) {
	at := r.retireAt.Load()
	if at > r.now() {
		return at
	}
	r.retireAt.Store(math.MaxInt64)
	r.due.Store(true)
	r.lookSoon()
	return math.MaxInt64
}
