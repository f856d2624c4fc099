package relay

import (
	"errors"
	"sync/atomic"
	"time"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/topic"
)

// leadership is a shard that this node serves. Relay.mu guards it.
type leadership struct {
	term    uint64
	shard   *shard
	over    atomic.Bool           // set before its channels are closed; read without Relay.mu
	waiting map[uint64]struct{}   // members that have not claimed yet
	topics  map[string]*admission // those that were asked for
	// channels are those that have, or had, consumers here. None is added when it is
	// over.
	channels map[*channel.Channel]struct{}
	timer    *time.Timer
	away     map[uint64]*absence // of members whose link broke
}

// admission lets a topic's consumers have messages when nobody is going to claim any.
type admission struct {
	claiming int     // how many that have claims are about to join
	waiting  []*seat // those that are there already
}

// joining is a consumer that is about to be served.
type joining struct {
	at        place
	frame     *openFrame
	local     *Consumer // of this node; nil: of another
	admission *admission
	absence   *absence // of its member when it asked; nil: that is there
	left      bool     // it is not wanted any more
	lost      bool     // the link to its member broke
}

// receiveOpen takes up what a consumer of another node asks for.
func (r *Relay) receiveOpen(at place, f *openFrame) {
	j := &joining{at: at, frame: f}
	if !r.takeUp(j) {
		r.peer(at.member).push(saying{frame: appendClosed(nil, at.consumer, ErrNotLeader)})
	}
}

// takeUp has a consumer join, now or when this node leads; false: another one does, or who
// asks has not heard yet that this one leads anew.
func (r *Relay) takeUp(j *joining) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shardOf(r.o.Shard(j.frame.topic))
	switch term := j.frame.term; {
	case s.leading != nil && term == s.leading.term:
		r.joining[j.at] = j
		r.join(s.leading, j)
	case term > s.term, // that node has heard of it before us
		s.leader == r.o.Self && s.leading == nil && term == s.term:
		r.joining[j.at] = j
		s.early = append(s.early, j)
	default:
		return false
	}
	return true
}

// joinEarly has those join that came before this node led, and asked for this term. Who came
// for a former one asks again, or has. The caller holds r.mu.
func (r *Relay) joinEarly(l *leadership) {
	early := l.shard.early
	l.shard.early = nil
	for _, j := range early {
		switch {
		case j.frame.term == l.term:
			r.join(l, j)
		case j.frame.term > l.term:
			l.shard.early = append(l.shard.early, j)
		default:
			delete(r.joining, j.at)
		}
	}
}

// joinLocal takes up what a consumer of this node asks for.
func (r *Relay) joinLocal(k *Consumer, f *openFrame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := k.shard.leading; l != nil {
		r.join(l, &joining{at: place{r.o.Self, f.consumer}, frame: f, local: k})
	} // else it is about to be attached anew
}

// join has a consumer join its channel. The caller holds r.mu.
func (r *Relay) join(l *leadership, j *joining) {
	a := l.topics[j.frame.topic]
	if a == nil {
		a = new(admission)
		l.topics[j.frame.topic] = a
	}
	j.admission = a
	claims := &j.frame.claims
	if len(claims.Held)+len(claims.Requeued)+len(claims.Done) > 0 {
		a.claiming++
	} else {
		j.admission = nil
	}
	if j.absence = l.away[j.at.member]; j.absence != nil {
		j.absence.joining++
	}
	if !r.startLocked(func() { r.finishJoin(l, a, j) }) {
		delete(r.joining, j.at)
	}
}

// finishJoin joins, which may take a while, and answers.
func (r *Relay) finishJoin(l *leadership, a *admission, j *joining) {
	v, refused, err := r.subscribe(l, j)
	r.mu.Lock()
	delete(r.joining, j.at)
	if j.admission != nil {
		a.claiming--
	}
	if j.absence != nil {
		j.absence.joining--
		r.endClaimed(l, j.at.member)
	}
	over := l.shard.leading != l
	gone := over || j.left || j.lost || r.closed
	lost := j.lost && !over && !j.left && !r.closed
	if err == nil && !over {
		l.channels[v.channel] = struct{}{}
	}
	if err == nil && !gone {
		a.waiting = append(a.waiting, &v.seat)
		if j.local == nil {
			r.served[j.at] = v
		}
	}
	r.mu.Unlock()
	switch {
	case err == nil && lost:
		r.joinedInVain(v)
	case gone || j.frame.flags&flagGone != 0:
		if err == nil {
			v.close()
		}
	case j.local != nil && err != nil:
		j.local.refused(j.at.consumer, err)
	case j.local != nil:
		j.local.opened(j.at.consumer, v.incarnation, refused, &v.seat)
	case err != nil:
		r.peer(j.at.member).push(saying{frame: appendClosed(nil, j.at.consumer, err)})
	default:
		v.readyIs(j.frame.ready, j.frame.generation)
		v.welcome(refused)
	}
	r.admit(l, func() {})
}

// errGone means that there is nobody to be served, or told anything.
var errGone = errors.New("the client has gone")

// subscribe adds a consumer to a channel and takes up what it claims.
func (r *Relay) subscribe(l *leadership, j *joining) (v *served, refused []uint64, err error) {
	f := j.frame
	t, c, err := r.find(f)
	if err != nil {
		return nil, nil, err
	}
	if f.flags&flagGone != 0 {
		if f.incarnation == identity(t, c) {
			c.Reconcile(&f.claims)
		}
		return nil, nil, errGone
	}
	v = &served{r: r, leading: l, at: j.at, topic: t, channel: c, window: int64(min(f.window, window)), attributes: f.flags&flagAttributes != 0}
	v.left = v.consumerLeft
	o := channel.ConsumerOptions{
		MsgTimeout: time.Duration(f.timeout), DefaultTimeout: f.flags&flagDefaultTimeout != 0, SampleRate: int(f.sample), Locality: f.locality,
		Wake: v.wake, Closed: v.channelClosed,
	}
	v.let = v.wake
	if k := j.local; k != nil {
		v.let = k.admitted
		o.ID, o.Wake = k.o.ID, k.o.Wake
		o.Closed = func() {
			if v.channelGone() {
				k.refused(f.consumer, channel.ErrExiting)
			}
		}
	}
	if v.consumer, err = c.Subscribe(o); err != nil {
		return nil, nil, err
	}
	v.incarnation = identity(t, c)
	switch {
	case f.incarnation == v.incarnation && r.isLost(j):
		c.Reconcile(&f.claims) // what is held is claimed over the next link
		return v, nil, nil
	case f.incarnation == v.incarnation:
		return v, v.consumer.Claim(&f.claims), nil
	}
	for _, m := range f.claims.Held { // they are of a channel that is gone
		refused = append(refused, m.Seq)
	}
	return v, refused, nil
}

// isLost says whether the link to who joins broke.
func (r *Relay) isLost(j *joining) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return j.lost
}

// identity is the incarnation that claims are about: the channel's or, of an ephemeral
// one, which each leader makes anew, the topic's.
func identity(t *topic.Topic, c *channel.Channel) uint64 {
	if names.IsEphemeral(c.Name()) {
		return t.Incarnation()
	}
	return c.Incarnation()
}

// find gets or creates the channel that is asked for. A tail creates no topic, and no
// channel that takes messages away from others; one that was there before is created
// only where it does not outlive its leader.
func (r *Relay) find(f *openFrame) (*topic.Topic, *channel.Channel, error) {
	again, tail := f.flags&flagAgain != 0, f.flags&flagTail != 0
	t, err := r.o.Topics.Topic(f.topic, f.flags&flagCreate != 0 && !again && !tail)
	if err != nil {
		return nil, nil, err
	}
	var c *channel.Channel
	there, ok := t.ExistingChannel(f.channel)
	switch {
	case again && ok:
		return t, there, nil
	case again && names.IsEphemeral(f.channel):
		c, err = t.Channel(f.channel)
	case again:
		err = channel.ErrExiting
	case tail:
		c, err = t.TailChannelForClient(f.channel)
	default:
		c, err = t.ChannelForClient(f.channel)
	}
	return t, c, err
}

// claimed notes that a member has claimed all that its clients hold.
func (r *Relay) claimed(member uint64, id uint32, term uint64) {
	r.mu.Lock()
	s := r.shardOf(id)
	s.claims[member] = max(s.claims[member], term)
	l := s.leading
	led := l != nil && l.term == term
	if led && l.away[member] != nil {
		l.away[member].claimed = true
		r.endClaimed(l, member)
	}
	r.mu.Unlock()
	if led {
		r.admit(l, func() { delete(l.waiting, member) })
	}
}

// admit makes a change after which consumers may have to get messages, and lets those
// have them whose turn it is.
func (r *Relay) admit(l *leadership, change func()) {
	r.mu.Lock()
	change()
	var seats []*seat
	if len(l.waiting) == 0 {
		for _, a := range l.topics {
			if a.claiming == 0 {
				seats = append(seats, a.waiting...)
				a.waiting = nil
			}
		}
	}
	r.mu.Unlock()
	for _, s := range seats {
		s.admit()
	}
}
