package channel

import (
	"bytes"
	"errors"

	"qmq/message"
)

// maxLetterBytes is how many bytes of bodies are published together, one message at
// least.
const maxLetterBytes = 1 << 20

// DeadLetter is a message that a channel gives up.
type DeadLetter struct {
	message.DeadLetter // but for the topic's name
	Body               []byte
	Description        message.Meta // see message.View.Description
}

// SendDeadLetters has what is spent published with send, and finishes it then. It
// returns when there is nothing left, or nothing that can be published or read now: Host.Spent is
// called again when it is to be called again. It reads the log and waits for send, so
// it is called by a goroutine of its own, and only after Host.Spent.
//
// What was published is published again if the process ends before the journal knows
// that it is finished.
func (c *Channel) SendDeadLetters(send func(topic string, letters []DeadLetter) error) {
	for {
		topic, list := c.nextSpent()
		if len(list) == 0 {
			return
		}
		r := c.readSpent(list)
		err := r.err
		if len(r.letters) > 0 {
			err = send(topic, r.letters)
		}
		c.concludeLetters(&r, err)
	}
}

// nextSpent is what is to be published next, and where to.
func (c *Channel) nextSpent() (topic string, list []spentMessage) {
	c.mu.Lock()
	defer c.unlock()
	return c.core.conf.deadLetterTopic, c.core.nextSpent()
}

// spentRead is what became of reading spent messages.
type spentRead struct {
	letters []DeadLetter
	read    []spentMessage // those of letters
	unread  []spentMessage // those that cannot be read now
	err     error          // why
}

// readSpent reads messages, as many as are published together.
func (c *Channel) readSpent(list []spentMessage) (r spentRead) {
	reader := c.o.Host.NewReader()
	defer reader.Release()
	var view message.View
	size := 0
	for _, x := range list {
		err := reader.Read(x.seq, &view)
		var gone *LostError
		switch {
		case errors.As(err, &gone):
			c.lost(rangeOf(gone, x.seq))
			continue
		case err != nil:
			r.unread, r.err = append(r.unread, x), err
			continue
		case len(r.letters) > 0 && size+len(view.Body) > maxLetterBytes:
			return r
		}
		size += len(view.Body)
		r.read = append(r.read, x)
		r.letters = append(r.letters, DeadLetter{Body: bytes.Clone(view.Body), Description: view.Description(), DeadLetter: message.DeadLetter{
			Channel: c.o.Name, ID: message.MakeID(c.o.IDPrefix, x.seq), Published: view.Timestamp,
			Attempts: x.attempts, Reason: x.reason, Ended: x.ended + wallShift(c.o.Clock),
		}})
	}
	return r
}

// concludeLetters takes up what became of a round; err is why nothing was published.
func (c *Channel) concludeLetters(r *spentRead, err error) {
	now := c.o.Clock.Now()
	c.mu.Lock()
	c.core.conf.spent.putLast(r.unread)
	switch {
	case err != nil:
		c.core.notSent(now)
	default:
		c.core.sent(r.read)
	}
	c.core.conf.letterError = err
	c.unlockAndTell()
}
