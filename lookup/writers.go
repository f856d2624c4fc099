package lookup

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strconv"

	"qmq/internal/address"
)

// Tiers of nodes that take publishes for a topic: those of one are as good as one
// another, those of a lower number are better.
const (
	tierHasTopic     = iota // it has the topic, and nothing speaks against it
	tierHealthy             // nothing speaks against it, but it does not have the topic
	tierPoorHasTopic        // it takes only some publishes, or is not heard of as it should be
	tierPoor
)

// Writer is a node that takes publishes for a topic.
type Writer struct {
	Producer
	Takes    Takes  `json:"takes,omitempty"` // all, some; empty: it does not say, as NSQ's nodes
	Why      string `json:"why,omitempty"`   // why it takes not all
	HasTopic bool   `json:"has_topic"`
	// Tier is 0 for the best; who has the choice takes the lowest that there is, and
	// spreads what it publishes over its nodes.
	Tier int `json:"tier"`
}

// RefusingNode is a node that says that it takes no publish.
type RefusingNode struct {
	Node string `json:"node"` // broadcast_address:http_port
	Why  string `json:"why"`
}

// WritersAnswer is that of GET /lookup?access=w: the nodes that take publishes for
// a topic, healthiest first. Where no node has the topic yet, all nodes may.
type WritersAnswer struct {
	Channels  []string       `json:"channels"`
	Producers []Writer       `json:"producers"`
	Refusing  []RefusingNode `json:"refusing,omitempty"`
	Index     string         `json:"index"` // see [DB.writers]
}

// noMoment is later than any moment of a DB's clock.
const noMoment = math.MaxInt64

// writers is the answer, to somebody, to where a topic is published to. The index
// is another one when other nodes are listed, or the same otherwise; next is the
// first moment at which time alone may change the answer.
func (d *DB) writers(topic string, by address.Asker) (answer WritersAnswer, next int64) {
	now := d.monotonic()
	next = noMoment
	has := make(map[*producer]bool) // the topic, and false: it is tombstoned there
	s := d.shardOf(topic)
	s.mu.RLock()
	e := s.topics.all[topic]
	answer.Channels = e.channelNames()
	if e != nil {
		for _, r := range e.registrations {
			dead := r.isTombstoned(d, now)
			has[r.producer] = !dead
			if dead {
				next = min(next, r.tombstonedAt.Load()+int64(d.o.TombstoneLifetime))
			}
		}
	}
	s.mu.RUnlock()
	slices.Sort(answer.Channels)

	listed := d.producerList()
	slices.SortFunc(listed, inOrder)
	answer.Producers = []Writer{}
	for _, p := range listed {
		hasTopic, known := has[p]
		if !p.isHeardOf(now) || known && !hasTopic {
			continue
		}
		next = min(next, p.nextChange(now))
		answer.add(p, hasTopic, now, by)
	}
	slices.SortStableFunc(answer.Producers, compareWriters)
	answer.Index = answer.index()
	return answer, next
}

// add lists a producer, or says that it refuses.
func (a *WritersAnswer) add(p *producer, hasTopic bool, now int64, by address.Asker) {
	w := Writer{Producer: p.seenBy(by), HasTopic: hasTopic, Tier: tierHealthy}
	if t := p.taking.Load(); t != nil {
		w.Takes, w.Why = t.Takes, t.Why
	}
	if w.Takes == TakesNone {
		a.Refusing = append(a.Refusing, RefusingNode{w.WebAddress(), w.Why})
		return
	}
	if w.Takes == TakesSome || p.isLate(now) {
		w.Tier = tierPoor
	}
	if hasTopic {
		w.Tier-- // the tiers are pairs
	}
	a.Producers = append(a.Producers, w)
}

// compareWriters puts the healthiest first.
func compareWriters(x, y Writer) int {
	return cmp.Or(cmp.Compare(x.Tier, y.Tier), cmp.Compare(rankOf(x.Takes), rankOf(y.Takes)))
}

// rankOf orders, within a tier, those that say that all is well before those that
// say nothing.
func rankOf(t Takes) int {
	if t == TakesAll {
		return 0
	}
	return 1
}

// nextChange is when time alone makes a producer that is heard of less healthy.
func (p *producer) nextChange(now int64) int64 {
	heard := p.heard.Load()
	next := heard + int64(p.db.o.InactiveTimeout) + 1
	if !p.isLate(now) {
		next = min(next, heard+int64(lateAfter)+1)
	}
	return next
}

// The index of an answer is a sum of the nodes that it lists and what they are
// good for, and of nothing else: two that are equal list the same nodes, whenever
// and by whichever process they were made. So whoever shows the one that it has
// is answered as soon as that is not the last word, and misses no change between
// two questions.

func (a *WritersAnswer) index() string {
	sum := fnv.New64a()
	for i := range a.Producers {
		w := &a.Producers[i]
		w.sum(sum)
		fmt.Fprintf(sum, " %s %v %d\n", w.Takes, w.HasTopic, w.Tier)
	}
	for _, r := range a.Refusing {
		fmt.Fprintf(sum, "not %s\n", r.Node)
	}
	return strconv.FormatUint(sum.Sum64(), 16)
}

// index is that of an answer to who has a topic; there is one too if nobody has.
func (a *LookupAnswer) index(known bool) string {
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%v\n", known)
	for i := range a.Producers {
		a.Producers[i].sum(sum)
		io.WriteString(sum, "\n")
	}
	return strconv.FormatUint(sum.Sum64(), 16)
}

// sum adds what tells one node, on one connection, from another.
func (p *Producer) sum(to io.Writer) {
	fmt.Fprintf(to, "%s %s %d %d", p.RemoteAddress, p.BroadcastAddress, p.TCPPort, p.HTTPPort)
}

// nextOfReaders is the first moment at which time alone may change who is listed
// for those who look for a topic.
func (d *DB) nextOfReaders(topic string) int64 {
	now, next := d.monotonic(), int64(noMoment)
	s := d.shardOf(topic)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.topics.all[topic]
	if e == nil {
		return next
	}
	for _, r := range e.registrations {
		if r.isTombstoned(d, now) {
			next = min(next, r.tombstonedAt.Load()+int64(d.o.TombstoneLifetime))
		}
		if r.producer.isHeardOf(now) {
			next = min(next, r.producer.heard.Load()+int64(d.o.InactiveTimeout)+1)
		}
	}
	return next
}
