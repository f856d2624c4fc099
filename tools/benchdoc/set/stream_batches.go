package set

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A stream takes batches in two ways, which the client library leaves to who uses it. Of an
// atomic batch all messages are stored or none; headers say what belongs to it, and the
// last message is answered. A fast one is a stream of messages that are stored as they
// come, and one in so many is answered; its number and what it is are in the subject for
// the answer:
//
//	INBOX . answered one in . fail at a gap . number in the batch . what it is . $FI
const (
	batchID       = "Nats-Batch-Id"
	batchSequence = "Nats-Batch-Sequence"
	batchCommit   = "Nats-Batch-Commit"

	fastStart, fastAdd, fastCommit = "0", "1", "2"
)

// Ways that have the batches and the window of the set: as many messages unanswered.
var (
	atomicBatches = streamPublishing{
		name: ", in atomic batches", allow: func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true }, publish: (*streamLoad).publishAtomic,
	}
	fastBatches = streamPublishing{
		name: ", in fast batches", allow: func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true }, publish: (*streamLoad).publishFast,
	}
)

// batchAnswer is what the servers answer: for a whole batch, or, with a type, for a fast
// one as far as it has come.
type batchAnswer struct {
	Type     string              `json:"type"`
	Sequence uint64              `json:"seq"`   // with a type: in the batch
	Count    int                 `json:"count"` // of a whole batch
	Error    *jetstream.APIError `json:"error"`
}

// batchAnswers are those for what is published now.
type batchAnswers struct {
	subscription *nats.Subscription
	inbox        string
	come         chan *nats.Msg
}

func (l *streamLoad) batchAnswers() (*batchAnswers, error) {
	a := &batchAnswers{inbox: l.conn.NewInbox(), come: make(chan *nats.Msg, peerPending)}
	var err error
	a.subscription, err = l.conn.ChanSubscribe(a.inbox+".>", a.come)
	return a, err
}

// close ends the subscription; what goes wrong with that does no harm.
func (a *batchAnswers) close() { _ = a.subscription.Unsubscribe() }

// next waits for an answer.
func (a *batchAnswers) next(ctx context.Context) (answer batchAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, streamStall)
	defer cancel()
	select {
	case m := <-a.come:
		return parseBatchAnswer(m.Data)
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

func parseBatchAnswer(text []byte) (answer batchAnswer, err error) {
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("a batch was answered %q: %w", text, err)
	}
	switch {
	case answer.Error != nil:
		return answer, answer.Error
	case answer.Type != "" && answer.Type != "ack":
		return answer, fmt.Errorf("a batch was answered %s", text)
	}
	return answer, nil
}

// publishAtomic publishes messages in batches, of which peerWindow are unanswered.
func (l *streamLoad) publishAtomic(ctx context.Context, messages int) error {
	answers, err := l.batchAnswers()
	if err != nil {
		return err
	}
	defer answers.close()
	answered, sent := 0, 0
	await := func() error {
		answer, err := answers.next(ctx)
		answered += answer.Count
		if err == nil && answer.Count == 0 {
			err = fmt.Errorf("a batch was answered as one of none")
		}
		return err
	}
	for sent < messages {
		if sent-answered >= peerPending {
			if err := await(); err != nil {
				return err
			}
			continue
		}
		size := min(peerBatch, messages-sent)
		if err := l.publishBatch(answers.inbox, size); err != nil {
			return err
		}
		sent += size
	}
	for answered < sent {
		if err := await(); err != nil {
			return err
		}
	}
	return nil
}

// publishBatch publishes an atomic batch, the last message of which is to be answered.
func (l *streamLoad) publishBatch(inbox string, size int) error {
	m := nats.NewMsg(streamTopic)
	id := strconv.FormatUint(l.number, 10) // of its first message: of no other batch
	m.Header[batchID] = []string{id}
	for i := range size {
		m.Header[batchSequence] = []string{strconv.Itoa(i + 1)}
		if i == size-1 {
			m.Header[batchCommit] = []string{"1"}
			m.Reply = inbox + "." + id
		}
		m.Data = l.next()
		if err := l.conn.PublishMsg(m); err != nil {
			return err
		}
	}
	return nil
}

// publishFast publishes messages as one batch, of which peerPending are unanswered.
func (l *streamLoad) publishFast(ctx context.Context, messages int) error {
	answers, err := l.batchAnswers()
	if err != nil {
		return err
	}
	defer answers.close()
	var known batchAnswer
	prefix := fmt.Sprintf("%s.%d.fail.", answers.inbox, peerBatch)
	for number := 1; number <= messages; number++ {
		what := fastAdd
		switch number {
		case 1:
			what = fastStart
		case messages:
			what = fastCommit
		}
		if err := l.conn.PublishRequest(streamTopic, prefix+strconv.Itoa(number)+"."+what+".$FI", l.next()); err != nil {
			return err
		}
		// The first answer says that there is a batch, and may be before its message is stored.
		for wait := number == 1; wait || number < messages && number-int(known.Sequence) >= peerPending; wait = false {
			if known, err = answers.next(ctx); err != nil {
				return fmt.Errorf("message %d of a batch: %w", number, err)
			}
		}
	}
	for known.Count == 0 {
		if known, err = answers.next(ctx); err != nil {
			return err
		}
	}
	if known.Count != messages {
		return fmt.Errorf("a batch of %d was answered as one of %d", messages, known.Count)
	}
	return nil
}
