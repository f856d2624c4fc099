package topic

import (
	"log/slog"
	"sync"

	"qmq/channel"
	"qmq/diskqueue"
)

// DeadLetters publishes what the channels of a node give up to the topics that their
// settings name. It has a goroutine for each channel that has something to give up,
// which ends when all is published, or cannot be for now. All methods may be called
// concurrently.
type DeadLetters struct {
	wall    func() int64 // ns since 1970
	publish PublishLetters
	logger  *slog.Logger

	mu      sync.Mutex // guards what follows; no other lock is taken under it
	begun   bool
	closed  bool
	early   []func()       // what came before Begin
	working sync.WaitGroup // it grows with mu held, while closed is false
}

// PublishLetters publishes dead letters of a topic's channel to another topic, which is
// made if need be. letters makes them, with that one's Stamp. It may wait.
type PublishLetters func(topic, channel, to string, letters func(*Stamp) *diskqueue.Batch) error

// NewDeadLetters returns one that publishes with publish. wall is the wall clock.
func NewDeadLetters(wall func() int64, publish PublishLetters, logger *slog.Logger) *DeadLetters {
	return &DeadLetters{wall: wall, publish: publish, logger: logger}
}

// Begin has it publish; what is given up before waits for it: not all topics may be there.
func (d *DeadLetters) Begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun = true
	for _, send := range d.early {
		d.working.Go(send)
	}
	d.early = nil
}

// Close lets it end what it is at, and waits for it. The channels have been closed, or
// are about to be: what is left stays in them.
func (d *DeadLetters) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.working.Wait()
}

// of has what c, a channel of t, gives up published. It does not wait.
func (d *DeadLetters) of(t *Topic, c *channel.Channel) {
	send := func() {
		c.SendDeadLetters(func(to string, letters []channel.DeadLetter) error {
			return d.send(t.o.Name, to, letters)
		})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
	case !d.begun:
		d.early = append(d.early, send)
	default:
		d.working.Go(send)
	}
}

// send publishes letters of a topic.
func (d *DeadLetters) send(origin, to string, letters []channel.DeadLetter) error {
	now := d.wall()
	err := d.publish(origin, letters[0].Channel, to, func(stamp *Stamp) *diskqueue.Batch {
		records := new(diskqueue.Batch)
		stamp = stamp.Begin(records)
		for i := range letters {
			letters[i].Topic = origin
			m := letters[i].Description
			m.Timestamp, m.DeadLetter = now, &letters[i].DeadLetter
			stamp.ApplyAgain(&m, letters[i].Body)
			records.Add(&m, letters[i].Body)
		}
		return records
	})
	if err != nil {
		d.logger.Warn("dead letters cannot be published now and are kept", "topic", origin, "channel", letters[0].Channel,
			"dead_letter_topic", to, "error", err)
	}
	return err
}
