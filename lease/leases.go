package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"qmq/broker"
	"qmq/message"
)

// ErrClosing means that the node gives out nothing any more.
var ErrClosing = errors.New("the node is stopping")

// ErrNoRoom means that as many requests as may be have messages that their clients have not
// read, and had them all the time: what there is was not looked at.
var ErrNoRoom = errors.New("too many clients do not read what they were given")

// LimitError is the refusal of one request, or one message, too many.
type LimitError struct {
	What   string
	Max    int
	Option string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit of %d %s reached (%s)", e.Max, e.What, e.Option)
}

// Options of Leases.
type Options struct {
	// MaxPolls is how many requests may wait for messages, or be given some, at a time;
	// MaxMessages how many messages may be leased at a time. 0: none.
	MaxPolls, MaxMessages int
	// MaxAnswers is how many of the requests may have messages at a time that their
	// clients have not read: the others wait.
	MaxAnswers int
	// MaxKept is how many consumers of replicated topics are kept for the next request when
	// one is over; 0: none.
	MaxKept int
	// Others are the other members of a set; nil: there are none.
	Others Others
}

// Others are the other members of a set, whom a lease may be of.
type Others interface {
	// Replicated says whether others have the topic of that name too.
	Replicated(topic string) bool
	// AskAll puts a question to the Answered of all others, and returns what they
	// say; complete is false where one of them could not be asked.
	AskAll(ctx context.Context, question []byte) (answers [][]byte, complete bool)
	// InFlight asks whoever serves a channel which of the messages some consumer has,
	// of whatever member.
	InFlight(ctx context.Context, topic, channel string, ids []message.ID) ([]bool, error)
}

// Leases are those of a node. All methods may be called concurrently.
type Leases struct {
	broker  *broker.Broker
	o       Options
	closing chan struct{}  // closed by Close
	answers chan struct{}  // holds one for each request that has messages to send
	closes  sync.WaitGroup // until no consumer is kept; begun with mu held, before Close

	// mu guards what follows, and what holders say that it guards. Nothing is called
	// under it.
	mu       sync.Mutex
	closed   bool
	last     uint64 // id of the consumer that came last
	receipt  uint64 // likewise
	holders  map[uint64]*Holder
	channels map[place]map[message.ID]*Holder // who has a message
	polls    int
	messages int         // leased, or about to be
	kept     []*Holder   // whose consumers wait for another request, the longest first
	closer   *time.Timer // closes them; nil while there are none

	polled, leased, answered, refused, returned, expired uint64 // see Counts
}

// place is a channel.
type place struct{ topic, channel string }

// ownIDs are the ids of consumers here: no session has one of them.
const ownIDs = 1 << 63

// New makes the leases of a node, of which there are none.
func New(b *broker.Broker, o Options) *Leases {
	return &Leases{
		broker: b, o: o, closing: make(chan struct{}), answers: make(chan struct{}, o.MaxAnswers), last: ownIDs,
		receipt: rand.Uint64(), // those of other members, or of a life before, are others
		holders: make(map[uint64]*Holder), channels: make(map[place]map[message.ID]*Holder),
	}
}

// Close ends the waits of all requests, and refuses new ones. Messages can be answered
// until the broker closes.
func (l *Leases) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	l.closeKept()
}

// Poll is a request for messages.
type Poll struct {
	Topic, Channel string
	Max            int           // messages at a time
	Lease          time.Duration // how long the client has for each
	Client         Client        // who asks
	// Still, if not nil, says whether the client may still have messages: it is asked before
	// each look, which may be long after Begin. Its error is that of Take.
	Still func() error
}

// again is how long a request that met a channel on its way out waits before it tries
// once more.
const again = 100 * time.Millisecond

// Begin makes a consumer for a request, and topic and channel if need be. Its End must be
// called. The error is ErrClosing, a *LimitError or one of broker.Subscribe.
func (l *Leases) Begin(p Poll) (*Holder, error) {
	h, err := l.enter(p)
	if err != nil {
		return nil, err
	}
	if h.inherited {
		return h, nil
	}
	err = h.subscribe()
	if err != nil {
		l.mu.Lock()
		delete(l.holders, h.id)
		l.polls--
		l.mu.Unlock()
		return nil, err
	}
	return h, nil
}

// enter takes a place among the requests.
func (l *Leases) enter(p Poll) (*Holder, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosing
	case l.polls >= l.o.MaxPolls:
		l.refused++
		return nil, &LimitError{What: "requests at a time that consume", Max: l.o.MaxPolls, Option: "--max-http-polls"}
	}
	l.polls++
	l.polled++
	l.receipt++
	h := &Holder{all: l, receipt: l.receipt, poll: p, polling: true}
	h.poll.Client.Since = time.Now()
	if !l.inherit(h) {
		l.last++
		h.id, h.subscription = l.last, newSubscription(h)
	}
	l.holders[h.id] = h
	return h, nil
}

// reserve is how many of n messages may be leased; 0: no more.
func (l *Leases) reserve(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = max(0, min(n, l.o.MaxMessages-l.messages))
	l.messages += n
	if n == 0 {
		l.refused++
	}
	return n
}

// Counts are figures of a node's leases.
type Counts struct {
	Polls, Messages int // requests under way; messages that are leased

	Polled   uint64 // requests
	Leased   uint64 // messages that were given out
	Answered uint64 // messages that were finished or requeued
	Refused  uint64 // requests that a limit refused
	Returned uint64 // messages whose client had gone before they were sent
	Expired  uint64 // leases that have run out
}

// Counts are the figures of this moment; what counts events began with the process.
func (l *Leases) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Counts{
		Polls: l.polls, Messages: l.messages,
		Polled: l.polled, Leased: l.leased, Answered: l.answered, Refused: l.refused, Returned: l.returned, Expired: l.expired,
	}
}
