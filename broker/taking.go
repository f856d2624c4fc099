package broker

import (
	"fmt"

	"qmq/internal/redact"
)

// Takes is which of its clients' publishes a node takes.
type Takes int

const (
	TakesAll  Takes = iota
	TakesSome       // some are refused: those to some topics, or to new ones
	TakesNone
)

// Taking says which of its clients' publishes the node takes now, and why not all.
// What settings of a single topic refuse does not count.
func (b *Broker) Taking() (takes Takes, why string) {
	if b.Draining() {
		return TakesNone, ErrDraining.Error()
	}
	if low := b.door.lowSpace(); low != nil {
		if b.o.Replicas != nil {
			return TakesSome, "only replicated topics: " + low.Error()
		}
		return TakesNone, low.Error()
	}
	err := b.unwritable()
	if err == nil && b.o.Replicas != nil {
		err = b.o.Replicas.Health()
	}
	if err != nil {
		return TakesSome, redact.Paths(err)
	}
	b.mu.Lock()
	topics := len(b.topics)
	b.mu.Unlock()
	if limit := b.o.MaxTopics; limit > 0 && topics >= limit {
		return TakesSome, fmt.Sprintf("no new topics: there are %d, which is --max-topics", topics)
	}
	return TakesAll, ""
}

// TakingChanged says that Taking may say something else: the broker does when that is
// its own doing, others when it is theirs. It waits for nobody.
func (b *Broker) TakingChanged() {
	if b.o.Directory != nil {
		b.o.Directory.TakingChanged()
	}
}
