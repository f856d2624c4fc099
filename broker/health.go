package broker

import (
	"fmt"
	"maps"
	"time"

	"qmq/topic"
)

// probeEvery is how often a log that refused to be written is tried again.
const probeEvery = 500 * time.Millisecond

// reading is a channel that reads its topic's log.
type reading struct {
	topic   *topic.Topic
	channel string
}

// readFailed is called when a channel's messages cannot be read, and with nil
// when they can be again or the channel is gone.
func (b *Broker) readFailed(t *topic.Topic, channel string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.unread, reading{t, channel})
		return
	}
	b.unread[reading{t, channel}] = err
}

// unreadable says why the messages of a channel cannot be read, of those that
// still exist.
func (b *Broker) unreadable() error {
	b.mu.Lock()
	unread := maps.Clone(b.unread)
	b.mu.Unlock()
	for r, err := range unread {
		if t, ok := b.Existing(r.topic.Name()); ok && t == r.topic {
			if _, ok := t.ExistingChannel(r.channel); ok {
				return fmt.Errorf("topic %s, channel %s: %w", t.Name(), r.channel, err)
			}
		}
		b.readFailed(r.topic, r.channel, nil)
	}
	return nil
}

// Health is nil when the node can store messages and read them back, or else
// the reason why it cannot.
func (b *Broker) Health() error {
	if err := b.unwritable(); err != nil {
		return err
	}
	if low := b.door.lowSpace(); low != nil {
		return low
	}
	if err := b.unreadable(); err != nil || b.o.Replicas == nil {
		return err
	}
	return b.o.Replicas.Health()
}

func (b *Broker) unwritable() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var journal error
	if b.journals != nil {
		journal = fmt.Errorf("journal: %w", b.journals)
	}
	for t, err := range b.refusing {
		err = fmt.Errorf("topic %s: %w", t.Name(), err)
		if journal != nil {
			err = fmt.Errorf("%w; %w", err, journal)
		}
		return err
	}
	return journal
}

func (b *Broker) journalHealth(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journals = err
	b.TakingChanged()
}

// failureChanged is called when a topic's log refused to be written, or can be
// again. Meanwhile it is probed.
func (b *Broker) failureChanged(t *topic.Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.TakingChanged()
	err := t.Failure() // under the lock, so that what is known here is never older than what is written here
	if err == nil {
		if _, was := b.refusing[t]; was {
			b.o.Logger.Info("publishes are accepted again", "topic", t.Name())
		}
		delete(b.refusing, t)
		return
	}
	b.refusing[t] = err
	if b.probing || b.closed {
		return
	}
	b.probing = true
	b.background.Go(b.probe)
}

func (b *Broker) probe() {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-ticker.C:
		}
		if !b.probeAll() {
			return
		}
	}
}

// probeAll tries all refusing logs and says whether one still refuses.
func (b *Broker) probeAll() bool {
	b.mu.Lock()
	var list []*topic.Topic
	for t := range b.refusing {
		list = append(list, t)
	}
	b.mu.Unlock()
	if len(list) > 0 {
		b.freeSpace() // what is done may be what fills the disk
	}
	for _, t := range list {
		err := t.Probe()
		b.mu.Lock()
		if _, still := b.refusing[t]; still && err != nil {
			b.refusing[t] = err
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = len(b.refusing) > 0
	return b.probing
}

// freeSpace gives back what is finished, because the disk may be full, and says
// whether that was anything. When nothing is, what is owed is carried out of
// segments that hold little else.
func (b *Broker) freeSpace() bool {
	b.freeing.Lock()
	defer b.freeing.Unlock()
	b.disk.FreeReserve() // for the journal, which is told before anything goes, and for what is carried
	defer b.disk.FillReserve()
	topics, spare := b.Topics(), b.disk.DropSpare()
	any := b.cleaner.FreeFinished(topics) || spare || b.cleaner.CarryNow(topics)
	b.disk.DropSpare() // files of what went would wait to be used again
	return any
}
