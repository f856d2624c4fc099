package topic

import (
	"errors"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// maxLooked is how many messages are looked at, at most, before DeadLetters returns.
const maxLooked = 4096

// DeadLetters shows the topic's dead letters to show, in order, limit at most: of the
// messages from a number on that the topic itself or a channel still owes those that a
// channel gave up. next is where to go on, 0 when there are no more. What cannot be read
// now is left out. show gets the bodies, with no lock held; the view is valid during
// the call. An error of show ends it and is returned.
func (t *Topic) DeadLetters(from uint64, limit int, show func(message.ID, message.View) error) (next uint64, err error) {
	reader := (*channelHost)(t).NewReader()
	defer reader.Release()
	end := t.fanout.committed()
	at := max(from, t.o.Log.Start())
	for looked := 0; at < end; {
		owed, upTo := t.fanout.owedFrom(at, end)
		for _, r := range owed {
			for seq := r.From; seq < r.To; seq++ {
				if limit == 0 || looked == maxLooked {
					return seq, nil
				}
				looked++
				shown, err := t.showLetter(reader, seq, show)
				if err != nil {
					return 0, err
				}
				if shown {
					limit--
				}
			}
		}
		at = upTo
	}
	return 0, nil
}

// DeadLetter is the dead letter with a number, to be shown; ok is false when there is
// none that anybody owes.
func (t *Topic) DeadLetter(seq uint64, show func(message.ID, message.View) error) (ok bool, err error) {
	if seq >= t.fanout.committed() || seq < t.o.Log.Start() {
		return false, nil
	}
	if owed, _ := t.fanout.owedFrom(seq, seq+1); len(owed) == 0 {
		return false, nil
	}
	reader := (*channelHost)(t).NewReader()
	defer reader.Release()
	return t.showLetter(reader, seq, show)
}

func (t *Topic) showLetter(reader channel.Reader, seq uint64, show func(message.ID, message.View) error) (shown bool, err error) {
	var view message.View
	if err := reader.Read(seq, &view); err != nil {
		var lost *channel.LostError
		var unreadable *channel.UnreadableError
		if errors.As(err, &lost) || errors.As(err, &unreadable) {
			return false, nil
		}
		return false, err
	}
	if _, ok := view.DeadLetter(); !ok {
		return false, nil
	}
	return true, show(message.MakeID(t.o.IDPrefix, seq), view)
}

// TakeOut makes messages count no more, in the topic and in all its channels, wherever
// they are. It returns once that is kept. The numbers ascend.
func (t *Topic) TakeOut(seqs []uint64) error {
	var out []seqset.Range
	for _, seq := range seqs {
		out = append(out, seqset.Range{From: seq, To: seq + 1})
	}
	out = seqset.Union(out)
	if len(out) == 0 {
		return nil
	}
	t.changing.Lock()
	defer t.changing.Unlock()
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

// owedFrom is what the topic or a channel owes of the numbers from at to end, as
// ranges, up to upTo: ask again from there.
func (f *fanout) owedFrom(at, end uint64) (owed []seqset.Range, upTo uint64) {
	d, voids := f.debtorsAndVoids()
	upTo = end
	for _, c := range d.channels {
		var next uint64
		owed, next = c.Owed(owed, at, end, owedAtOnce)
		upTo = min(upTo, next)
	}
	if end > d.fanOut {
		owed = append(owed, seqset.Range{From: max(at, d.fanOut), To: end})
	}
	owed = seqset.Difference(seqset.Union(owed), append(voids, seqset.Range{From: upTo, To: end}))
	return owed, upTo
}

func (f *fanout) debtorsAndVoids() (debtors, []seqset.Range) {
	d := f.debtors()
	f.mu.Lock()
	defer f.mu.Unlock()
	return d, seqset.Union(f.voids)
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
	for _, r := range list {
		f.addVoid(r)
	}
	f.journalledFanOut = max(f.journalledFanOut, fanOut)
	if fanOut > f.fanOut {
		f.advance(fanOut, nil)
	}
}
