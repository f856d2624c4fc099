package api

import (
	"time"

	"qmq/diskqueue"
	"qmq/internal/redact"
	"qmq/internal/tracing"
	"qmq/message"
	"qmq/topic"
)

// stampedBatch is a batch whose messages get what their bodies say of them.
type stampedBatch struct {
	*diskqueue.Batch
	stamp  *topic.Stamp
	tracer *tracing.Tracer // nil: nothing is traced
	traced []tracing.Span  // of messages that are, until it is known what became of them
}

// Add adds a message.
func (b *stampedBatch) Add(m message.Meta, body []byte) {
	b.stamp.Apply(&m, body)
	b.Batch.Add(&m, body)
	if b.tracer == nil {
		return
	}
	if parent, ok := tracing.ParentOf(m.Headers); ok {
		b.traced = append(b.traced, tracing.Span{Parent: parent, Operation: tracing.Publish, Start: time.Now(), Size: len(body)})
	}
}

// stored says what became of the publish to a topic.
func (b *stampedBatch) stored(topicName string, err error) {
	now := time.Now()
	for i := range b.traced {
		s := &b.traced[i]
		s.End, s.Topic = now, topicName
		if err != nil {
			s.Failed = redact.Paths(err)
		}
		b.tracer.Record(s)
	}
}
