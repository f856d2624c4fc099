package server

import (
	"sync"
	"time"

	"qmq/channel"
	"qmq/internal/tracing"
	"qmq/message"
	"qmq/protocol"
)

// maxTraced is how many messages in flight of a session are traced to their end at most.
const maxTraced = 4096

// traces are the spans of a session's messages that are not over; nil where nothing is
// traced.
type traces struct {
	tracer *tracing.Tracer
	client string

	// taken are the deliveries that are not written yet. Session.delivering guards it.
	taken []tracing.Span

	mu   sync.Mutex // guards what follows
	held map[message.ID]tracing.Span
}

func newTraces(t *tracing.Tracer, client string) *traces {
	if t == nil {
		return nil
	}
	return &traces{tracer: t, client: client}
}

// take notes a message that is about to be delivered. The caller holds
// session.delivering.
func (t *traces) take(m *channel.Message, topic, channelName string) {
	parent, ok := tracing.ParentOf(m.Headers())
	if !ok {
		return
	}
	s := tracing.Span{
		Parent: parent, Operation: tracing.Deliver, Start: time.Now(), Topic: topic, Channel: channelName,
		ID: m.ID.String(), Attempts: int(m.Attempts), Size: len(m.Body), Client: t.client,
	}
	t.taken = append(t.taken, s)
	t.hold(m.ID, s) // now: the answer may come before the write is known to have gone well
}

// delivered says what became of writing what was taken. The caller holds
// session.delivering.
func (t *traces) delivered(err error) {
	if t == nil || len(t.taken) == 0 {
		return
	}
	now := time.Now()
	for i := range t.taken {
		s := &t.taken[i]
		s.End = now
		if err != nil {
			s.Failed = err.Error()
		}
		t.tracer.Record(s)
	}
	clear(t.taken)
	t.taken = t.taken[:0]
}

// hold notes that the consumer has a message, from its delivery on.
func (t *traces) hold(id message.ID, s tracing.Span) {
	s.Operation = tracing.Finish
	t.mu.Lock()
	defer t.mu.Unlock()
	before, again := t.held[id]
	switch {
	case again: // it came back to the same consumer
		t.end(&before, s.Start, "timeout", "it was not answered in time")
	case len(t.held) >= maxTraced:
		t.tracer.Drop(1)
		return
	case t.held == nil:
		t.held = make(map[message.ID]tracing.Span)
	}
	t.held[id] = s
}

// end ends what came of a delivery.
func (t *traces) end(s *tracing.Span, now time.Time, outcome, failed string) {
	s.End, s.Outcome, s.Failed = now, outcome, failed
	t.tracer.Record(s)
}

// answered ends what was answered.
func (t *traces) answered(answers []channel.Answer) {
	if t == nil || len(answers) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.held) == 0 {
		return
	}
	now := time.Now()
	for i := range answers {
		a := &answers[i]
		s, ok := t.held[a.ID]
		if !ok || a.Op == channel.Touch {
			continue
		}
		delete(t.held, a.ID)
		outcome, failed := "FIN", ""
		if a.Op == channel.Requeue {
			outcome, failed = "REQ", "the consumer gave it back"
		}
		if a.Err != nil {
			failed = a.Err.Error()
		}
		t.end(&s, now, outcome, failed)
	}
}

// over ends what is not answered when the session ends.
func (t *traces) over() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, s := range t.held {
		t.end(&s, now, "disconnect", "the connection ended before the answer")
	}
	t.held = nil
}

// published notes the messages of a command that are traced, until it is known what
// became of them.
func (b *topicBatch) published(cmd *protocol.Command, client string) {
	note := func(headers, body []byte) {
		if parent, ok := tracing.ParentOf(headers); ok {
			b.traced = append(b.traced, tracing.Span{
				Parent: parent, Operation: tracing.Publish, Start: time.Now(), Topic: b.topic.name, Size: len(body), Client: client,
			})
		}
	}
	switch cmd.Kind {
	case protocol.Hpub:
		note(cmd.Headers, cmd.Body)
	case protocol.Hmpub:
		all := cmd.Messages
		for headers, body, ok := all.NextDescribed(); ok; headers, body, ok = all.NextDescribed() {
			note(headers, body)
		}
	}
}

// stored says what became of the publishes of a batch.
func (t *traces) stored(b *topicBatch) {
	if len(b.traced) == 0 {
		return
	}
	now := time.Now()
	for i := range b.traced {
		s := &b.traced[i]
		if s.End = now; b.err != nil {
			s.Failed = publishReason(b.err)
		}
		t.tracer.Record(s)
	}
}
