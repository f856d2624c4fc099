package cluster

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/message"
	"qmq/replica/serve"
	"qmq/state"
	"qmq/topic"
)

// A topic that was local and is adopted has two lives for a while: clients use the
// replicated one, and each member that has the local one moves what that holds. The
// local topic takes nothing more; each of its channels gives nothing to new consumers,
// and what it owes is published to the replicated topic for the channel of that name
// alone, and finished. When nothing is left, in flight neither, the local topic is
// deleted, and who still consumes there connects again, to the replicated one. A stop
// at any moment repeats what had just been published, and loses nothing.

const (
	// maxMoved and maxMovedBytes are how much is published at a time.
	maxMoved, maxMovedBytes = 1000, 1 << 20
	// moveAgain is how often it is looked whether what was in flight is finished.
	moveAgain = 100 * time.Millisecond
	// withoutChannel is the name of the channel of a local topic that has none, which
	// gets what waits there; it is moved for all channels.
	withoutChannel = "without-channel-until-moved"
)

// moves are the adopted topics that a member has for itself.
type moves struct {
	mu   sync.Mutex              // guards what follows
	list map[string]MovingStatus // by topic
}

// of is how far a topic is; ok is false when it is not moved, or not yet.
func (m *moves) of(name string) (st MovingStatus, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok = m.list[name]
	return st, ok
}

// toMove are the adopted topics that this member has for itself, by name.
func (r *run) toMove(g *registry) (list []MovingStatus) {
	for _, name := range g.Adopted {
		st, begun := r.moves.of(name)
		if !begun {
			if _, has := r.s.h.Topic(name); !has {
				continue
			}
			st = MovingStatus{Topic: name, Left: -1}
		}
		list = append(list, st)
	}
	return list
}

// begin notes a topic that is moved; false: it is already.
func (m *moves) begin(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, moved := m.list[name]; moved {
		return false
	}
	if m.list == nil {
		m.list = make(map[string]MovingStatus)
	}
	m.list[name] = MovingStatus{Topic: name, Left: -1}
	return true
}

func (m *moves) note(st MovingStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list[st.Topic] = st
}

func (m *moves) end(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.list, name)
}

// moveAdopted begins to move the adopted topics that this member has for itself.
func (r *run) moveAdopted() {
	for _, name := range r.s.registry.Load().Adopted {
		t, ok := r.s.h.Topic(name)
		if !ok || !r.moves.begin(name) {
			continue
		}
		r.work(func() {
			defer r.moves.end(name)
			r.s.o.Logger.Info("what a topic of this node holds is moved into the replicated one", slog.String("topic", name))
			m := &move{r: r, t: t}
			if m.run() {
				r.s.o.Logger.Info("all that a topic of this node held is in the replicated one", slog.String("topic", name), slog.Int64("messages", m.moved))
			}
		})
	}
}

// move moves one topic.
type move struct {
	r     *run
	t     *topic.Topic
	moved int64
}

// run moves until nothing is left; false: this member's part ends before.
func (m *move) run() bool {
	prepared := false
	for wait := time.Duration(0); ; wait = moveAgain {
		select {
		case <-m.r.ctx.Done():
			return false
		case <-time.After(wait):
		}
		var err error
		if !prepared {
			err = m.prepare()
			prepared = err == nil
		}
		left := int64(-1)
		if prepared {
			left, err = m.channels()
		}
		if err == nil && left == 0 {
			if err = m.r.s.h.Delete(m.t.Name()); err == nil {
				return true
			}
		}
		st := MovingStatus{Topic: m.t.Name(), Left: left}
		if err != nil {
			st.Failure = err.Error()
		}
		m.r.moves.note(st)
	}
}

// prepare makes the replicated topic, its channels and settings what the local one's
// are, where it lacks them, and has the local one take and give nothing more.
func (m *move) prepare() error {
	name := m.t.Name()
	requests := []serve.Request{{Op: state.CreateTopic}}
	if m.t.Paused() {
		requests = append(requests, serve.Request{Op: state.PauseTopic})
	}
	if set, _ := m.t.Config(); set.String() != "" {
		requests = append(requests, serve.Request{Op: state.ConfigureTopic, Settings: set.String()})
		if set.DedupWindow != nil && *set.DedupWindow > 0 {
			m.r.s.o.Logger.Warn("doubles of what was published before a topic was adopted are not known to the replicated one", slog.String("topic", name))
		}
	}
	var channels []*channel.Channel
	for _, c := range m.t.Channels() {
		if names.IsEphemeral(c.Name()) || c.Name() == withoutChannel {
			continue
		}
		channels = append(channels, c)
		requests = append(requests, serve.Request{Op: state.CreateChannel, Channel: c.Name()})
		if c.Paused() {
			requests = append(requests, serve.Request{Op: state.PauseChannel, Channel: c.Name()})
		}
		if set, _, err := m.t.ChannelConfig(c.Name()); err == nil && set.String() != "" {
			requests = append(requests, serve.Request{Op: state.ConfigureChannel, Channel: c.Name(), Settings: set.String()})
		}
	}
	for _, q := range requests {
		q.Topic = name
		err := m.r.node.Do(m.r.ctx, q)
		if err != nil && q.Settings != "" && !errors.Is(err, serve.ErrNoLeader) { // those that no replicated topic has
			m.r.s.o.Logger.Warn("settings of a topic of this node are not taken over by the replicated one", slog.String("topic", name), slog.String("channel", q.Channel), slog.Any("error", err))
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(channels) == 0 {
		c, err := m.t.Channel(withoutChannel)
		if err != nil {
			return err
		}
		channels = append(channels, c)
	}
	for _, c := range channels {
		c.Pause() // until the next start, and nobody is told
	}
	if m.t.Paused() { // what waits comes to its channels
		if err := m.t.Unpause(); err != nil {
			return err
		}
	}
	m.t.Retire()
	return nil
}

// channels moves what all channels owe that is not in flight, and counts what is left.
func (m *move) channels() (left int64, err error) {
	for _, c := range m.t.Channels() {
		if names.IsEphemeral(c.Name()) {
			continue
		}
		for _, such := range []channel.PeekState{channel.PeekReady, channel.PeekDeferred, channel.PeekSpent} {
			if err = m.channel(c, such); err != nil {
				return -1, err
			}
		}
		st := c.Stats()
		left += st.Depth + int64(st.InFlight+st.Deferred+st.Spent)
	}
	return left, nil
}

// channel moves what waits in a channel in a state.
func (m *move) channel(c *channel.Channel, such channel.PeekState) error {
	for m.r.ctx.Err() == nil {
		batch, ids := new(diskqueue.Batch), []message.ID(nil)
		now := time.Now()
		_, err := c.Peek(channel.PeekOptions{State: such, Limit: maxMoved}, func(p channel.Peeked, v message.View) error {
			if len(ids) > 0 && batch.BodyBytes()+int64(len(v.Body)) > maxMovedBytes {
				return errEnoughMoved
			}
			v.Attrs = attributesOf(&v, c.Name())
			if _, due := v.DeliverAt(); such == channel.PeekDeferred && !due {
				v.Attrs = message.AppendDeliverAt(v.Attrs, now.Add(time.Duration(p.Left)).UnixMilli())
			}
			v.Flags = 0 // it is a message by itself, whatever it was published with
			batch.AddView(v)
			ids = append(ids, p.ID)
			return nil
		})
		if err != nil && !errors.Is(err, errEnoughMoved) || len(ids) == 0 {
			return err
		}
		if err := m.r.node.Publish(m.t.Name(), batch); err != nil {
			return err
		}
		for _, id := range ids {
			if err := c.Finish(id); err != nil && !errors.Is(err, channel.ErrNoMessage) {
				return err
			}
		}
		m.moved += int64(len(ids))
	}
	return m.r.ctx.Err()
}

var errEnoughMoved = errors.New("enough for one publish")

// attributesOf are those that a message has in the replicated topic, for a channel alone
// unless it came to none. Its id does not count there: the message comes once for each
// channel, and once more after a stop, and none of these is a double.
func attributesOf(v *message.View, channelName string) (attributes []byte) {
	for tag, value := range message.Attrs(v.Attrs) {
		if tag != message.AttrDedupBounds {
			attributes = message.AppendAttr(attributes, tag, value)
		}
	}
	if _, such := v.OnlyFor(); such || channelName == withoutChannel {
		return attributes
	}
	return message.AppendAttr(attributes, message.AttrOnlyFor, []byte(channelName))
}
