package topic

import (
	"errors"

	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// maxLooked is how many messages are looked at, at most, before DeadLetters returns.
const maxLooked = 4096

var errEnough = errors.New("no more is wanted")

// DeadLetters shows dead letters to show, in order, limit at most: of the messages from a
// number on that the topic itself or a channel still owes those that a channel gave up.
// next is where to go on, 0 when there are no more. What cannot be read now is left out.
// The view is valid during the call. An error of show ends it and is returned.
func (l *Look) DeadLetters(from uint64, limit int, show func(message.ID, message.View) error) (next uint64, err error) {
	looked := 0
	next, err = l.Each(from, func(v message.View) error {
		if limit == 0 || looked == maxLooked {
			return errEnough
		}
		looked++
		if _, ok := v.DeadLetter(); !ok || !l.owes(v.Seq) {
			return nil
		}
		limit--
		return show(message.MakeID(l.IDPrefix, v.Seq), v)
	})
	switch {
	case errors.Is(err, errEnough):
		return next - 1, nil // Each says what is behind the one that was not wanted
	case err != nil:
		return 0, err
	}
	return 0, nil
}

// TakeOut makes messages count no more, in the topic and in all its channels, wherever
// they are. It returns once that is kept.
func (t *Topic) TakeOut(list []seqset.Range) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.takeOut(list)
}

// takeOut is TakeOut. The caller holds t.changing.
func (t *Topic) takeOut(list []seqset.Range) error {
	out := seqset.Union(list)
	if len(out) == 0 {
		return nil
	}
	fanOut := t.fanout.without(out)
	if !t.o.Ephemeral {
		entries := make([]state.Entry, 0, len(out))
		for _, r := range out {
			entries = append(entries, state.Entry{Op: state.VoidRange, Topic: t.o.Incarnation, Void: r, FanOut: fanOut})
		}
		if err := t.o.State.Commit(entries...); err != nil {
			return err
		}
	}
	t.fanout.takeOut(out, fanOut)
	t.reclaimer.reclaim()
	t.o.Common.Changed()
	return nil
}

// without is where the fan-out position is once ranges are void: nothing of what is
// void has to wait for a channel. The caller holds Topic.changing.
func (f *fanout) without(list []seqset.Range) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range seqset.Union(f.voids, list) {
		if r.From <= f.fanOut && f.fanOut < r.To {
			return min(r.To, f.end)
		}
	}
	return f.fanOut
}

// takeOut makes ranges void, and has the fan-out position, if it stands, be at least at
// fanOut.
func (f *fanout) takeOut(list []seqset.Range, fanOut uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addVoids(list)
	f.journalledFanOut = max(f.journalledFanOut, fanOut)
	if fanOut > f.fanOut {
		f.advance(fanOut, nil)
	}
}
