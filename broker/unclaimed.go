package broker

import (
	"log/slog"
	"time"

	"qmq/topic"
)

// unclaimedAfter is how often it is looked for ephemeral topics that nobody consumes: one
// that has no channel, and got nothing from one look to the next, ends. So it lasts that
// long at least, and twice as long at most.
const unclaimedAfter = 30 * time.Minute

// watchUnclaimed is called when an ephemeral topic was made. It ends with its last channel;
// but one that was published to for nobody, as the inbox of an asker that is gone by the
// time of the reply, never gets any.
func (b *Broker) watchUnclaimed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watching || b.closed {
		return
	}
	b.watching = true
	b.unclaimedTimer.Arm(b.clock.Now() + int64(unclaimedAfter))
}

// unclaimedDue is called by the timer.
func (b *Broker) unclaimedDue(int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watching = false // a topic that comes from now on may be overlooked
	if !b.closed {
		b.background.Go(b.endUnclaimed)
	}
}

// endUnclaimed ends the ephemeral topics without a channel that have as many messages as at
// the last look.
func (b *Broker) endUnclaimed() {
	b.mu.Lock()
	before := b.unclaimed
	b.mu.Unlock()
	found := make(map[*topic.Topic]uint64)
	for _, t := range b.Topics() {
		if !t.Ephemeral() || len(t.Channels()) > 0 {
			continue
		}
		messages := t.Stats().MessageCount
		if was, known := before[t]; known && was == messages {
			b.o.Logger.Info("ephemeral topic ends: it has no channel", slog.String("topic", t.Name()), slog.Uint64("messages", messages))
			b.abandoned(t)
			continue
		}
		found[t] = messages
	}
	b.mu.Lock()
	b.unclaimed = found
	b.mu.Unlock()
	if len(found) > 0 {
		b.watchUnclaimed()
	}
}
