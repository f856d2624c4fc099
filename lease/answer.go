package lease

import (
	"context"
	"errors"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
)

// ErrSilent means that nobody who could be asked has leased the message, and that another
// member of the set could not be asked.
var ErrSilent = errors.New("a member of the set, which may have leased it, does not answer")

// Answers are what a client says about messages of a channel.
type Answers struct {
	Topic, Channel string
	// Receipt, unless it is 0, is that of the request that gave the messages: none that
	// another one was given meanwhile are meant.
	Receipt uint64
	List    []channel.Answer
}

// Answer applies the answers, wherever in the set the messages were leased, and sets the
// Err of each: nil, channel.ErrNotInFlight where nobody has leased it, as after its time,
// ErrSilent, or another error of channel.Consumer. Where another node serves the channel it
// waits until that has applied them, or ctx is done.
func (l *Leases) Answer(ctx context.Context, a *Answers) {
	l.AnswerHere(ctx, a)
	if l.o.Others != nil && l.o.Others.Replicated(a.Topic) {
		l.answerElsewhere(ctx, a)
	}
}

// AnswerHere is Answer for what is leased at this node alone.
func (l *Leases) AnswerHere(ctx context.Context, a *Answers) {
	for _, g := range l.group(a) {
		g.apply(ctx)
		for i, at := range g.at {
			a.List[at].Err = g.answers[i].Err
		}
		if g.done() {
			g.holder.close()
		}
	}
}

// group is what a client says about messages of one holder.
type group struct {
	holder  *Holder
	answers []channel.Answer
	at      []int // where each is among all answers
}

// group sorts the answers by who has the messages. Those that nobody has fail.
func (l *Leases) group(a *Answers) (groups []*group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	byID := l.channels[place{a.Topic, a.Channel}]
	var byHolder map[*Holder]*group
	for i := range a.List {
		h := byID[a.List[i].ID]
		if h == nil || h.ended || a.Receipt != 0 && h.receipt != a.Receipt {
			a.List[i].Err = channel.ErrNotInFlight
			continue
		}
		g := byHolder[h]
		if g == nil {
			g = &group{holder: h}
			groups = append(groups, g)
			if byHolder == nil {
				byHolder = make(map[*Holder]*group)
			}
			byHolder[h] = g
			h.waiting++
		}
		g.answers, g.at = append(g.answers, a.List[i]), append(g.at, i)
	}
	return groups
}

// apply has the channel apply the answers of a group.
func (g *group) apply(ctx context.Context) {
	h := g.holder
	h.consumer.Answer(g.answers)
	c, ok := h.consumer.(broker.Confirmer)
	if !ok {
		return
	}
	err := c.Confirm(ctx)
	l := h.all
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range g.answers {
		a := &g.answers[i]
		switch late, failed := h.late[a.ID]; {
		case a.Err != nil:
		case failed:
			a.Err = late
			delete(h.late, a.ID)
		default:
			a.Err = err
		}
	}
}

// answerFailed is the AnswerFailed callback of a consumer.
func (l *Leases) answerFailed(s *subscription, a channel.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := s.of
	if h.waiting == 0 || a.Op == channel.Return {
		return
	}
	if h.late == nil {
		h.late = make(map[message.ID]error)
	}
	h.late[a.ID] = a.Err
}

// done forgets what the channel has not in flight any more, and says whether that ends
// the holder.
func (g *group) done() (over bool) {
	h := g.holder
	l := h.all
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range g.answers {
		switch a := &g.answers[i]; {
		case a.Err == nil && a.Op == channel.Touch:
			if _, ok := h.held[a.ID]; ok {
				h.held[a.ID] = time.Now().Add(h.poll.Lease)
			}
		case a.Err == nil:
			l.answered++
			l.forget(h, a.ID)
		case isOver(a.Err):
			l.forget(h, a.ID)
		}
	}
	if h.waiting--; h.waiting == 0 {
		h.late = nil
	}
	return l.isOver(h)
}

// isOver tells whether an error means that the lease is over.
func isOver(err error) bool {
	return errors.Is(err, channel.ErrNotInFlight) || errors.Is(err, channel.ErrNotOwner) || errors.Is(err, channel.ErrExiting)
}
