package topic

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	"qmq/channel"
	"qmq/settings"
	"qmq/state"
)

// configured is what is set of a topic, and what is in force of it.
type configured struct {
	set, inForce settings.Topic
	settings.EffectiveTopic
	stamp *Stamp
}

// place is what settings the topic can have.
func (o *Options) place() settings.Place {
	sync, channels := settings.Interval, int64(o.Common.MaxChannels)
	switch {
	case o.Replicated:
		sync = cmp.Or(o.Common.ReplicaSync, settings.Always)
	case o.Sync.Every == 1:
		sync = settings.Always
	}
	return settings.Place{
		Ephemeral: o.Ephemeral, Replicated: o.Replicated, MaxIDs: o.Common.MaxIDs,
		Otherwise: settings.Topic{Sync: &sync, MaxChannels: &channels},
	}
}

// configured is what is in force with what is set.
func (o *Options) configured(set settings.Topic) *configured {
	inForce := o.Common.Settings.Topic(o.Name, set, o.place())
	c := &configured{set: set, inForce: inForce, EffectiveTopic: inForce.Effective()}
	c.stamp = newStamp(&c.EffectiveTopic)
	return c
}

// restored is what is in force with what was set before the process began.
func (o *Options) restored(text string) *configured {
	set, err := settings.ParseTopic(text)
	if err != nil {
		o.Common.Logger.Error("settings of the topic are left out that this version does not know", "topic", o.Name, "error", err)
	}
	c := o.configured(set)
	o.tellUnmet(c)
	return c
}

// tellUnmet says what was set of the topic before the process began and cannot be met any
// more, as on a node that has less memory than it had. It stays set.
func (o *Options) tellUnmet(c *configured) {
	place := o.place()
	var unmet settings.Mistakes
	errors.As(place.Refuse(c.set, c.inForce), &unmet)
	for _, text := range unmet {
		o.Common.Logger.Error("what was set of the topic cannot be met here any more", "topic", o.Name, "setting", text)
	}
}

// Config is what is set of the topic, and all that is in force.
func (t *Topic) Config() (set, inForce settings.Topic) {
	c := t.config.Load()
	return c.set, c.inForce
}

// Configure sets what a JSON object says of the topic; null resets a setting. It is in
// force when Configure returns, and of a topic that outlives the process kept. The
// error is also settings.Mistakes.
func (t *Topic) Configure(change []byte) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	was := t.config.Load()
	set, err := was.set.Change(change, was.inForce)
	if err != nil {
		return err
	}
	now, place := t.o.configured(set), t.o.place()
	if err := place.RefuseChange(was.set, set, was.inForce); err != nil {
		return err
	}
	if err := t.prepare(was, now); err != nil {
		return err
	}
	entry := t.entry(state.ConfigureTopic)
	entry.Name = set.String()
	first, more := entry, []state.Entry(nil)
	if t.o.Replicated {
		first, more = forgetting(entry, was, now)
	}
	return t.changeWith(first, more, func() { t.configure(now) }, func() { t.unprepare(was, now) })
}

// forgetting is the entries that change what is set of a replicated topic. Members forget
// ids by what is set alone. Where fewer are to be known, or none, as settings are reset, it is
// set for a moment what is in force then.
func forgetting(e state.Entry, was, now *configured) (first state.Entry, more []state.Entry) {
	set := now.set
	if now.DedupWindow < was.DedupWindow && set.DedupWindow == nil {
		set.DedupWindow = now.inForce.DedupWindow
	}
	if now.DedupMaxIDs < was.DedupMaxIDs && set.DedupMaxIDs == nil {
		set.DedupMaxIDs = now.inForce.DedupMaxIDs
	}
	first = e
	if first.Name = set.String(); first.Name == e.Name {
		return e, nil
	}
	return first, []state.Entry{e}
}

// prepare does what of settings may fail.
func (t *Topic) prepare(was, now *configured) error {
	if now.Sync == settings.Always && was.Sync != now.Sync {
		return t.switchTo(now.Sync)
	}
	return nil
}

// unprepare undoes what prepare did.
func (t *Topic) unprepare(was, now *configured) {
	if now.Sync == settings.Always && was.Sync != now.Sync {
		_ = t.switchTo(was.Sync) // else it goes on as safe as it was asked to be
	}
}

// configure has settings be in force. The caller holds t.changing.
func (t *Topic) configure(now *configured) {
	by := "--max-channels"
	if now.MaxChannels != t.o.Common.MaxChannels {
		by = "the topic's setting max_channels"
	}
	t.fanout.limitChannels(now.MaxChannels, by)
	if t.config.Load() != nil {
		t.know(now)
	}
	was := t.config.Swap(now)
	t.limiter.configure(now)
	switch {
	case was == nil:
		t.expiry.maxAge.Store(int64(now.MaxAge)) // Restore looks at what there is
	case was.MaxAge != now.MaxAge:
		t.expiry.configure(now.MaxAge)
	}
	if was == nil {
		if now.Retains() {
			t.reclaimer.retention.Store(&now.EffectiveTopic)
		}
		return
	}
	if now.Sync == settings.Interval && was.Sync != now.Sync {
		if err := t.switchTo(now.Sync); err != nil {
			t.o.Common.Logger.Warn("publishes go on to be synced before their OK", "topic", t.o.Name, "error", err)
		}
	}
	if now.RetentionTime != was.RetentionTime || now.RetentionBytes != was.RetentionBytes {
		t.reclaimer.retains(&now.EffectiveTopic)
	}
	t.keeper.begin()
}

// ReplicaSettings is what is in force of a replicated topic of which set is set.
func (c *Common) ReplicaSettings(name string, set settings.Topic) settings.Topic {
	o := Options{Name: name, Replicated: true, Common: c}
	return o.configured(set).inForce
}

// TellReplicaUnmet says, as a member of a set starts, what was set of a replicated topic and
// cannot be met here, though it is in force.
func (c *Common) TellReplicaUnmet(name, text string) {
	o := Options{Name: name, Replicated: true, Common: c}
	set, _ := settings.ParseTopic(text) // what it does not know is told where it is served
	o.tellUnmet(o.configured(set))
}

// ReplicaUnmet is what patterns ask for of a replicated topic and is not in force.
func (c *Common) ReplicaUnmet(name string) []string {
	return c.Settings.Unmet(name, c.replicaPlace(name))
}

// ReplicasUnmet is what each pattern asks for and replicated topics do not have.
func (c *Common) ReplicasUnmet() []string { return c.Settings.UnmetOf(c.replicaPlace("")) }

func (c *Common) replicaPlace(name string) settings.Place {
	o := Options{Name: name, Replicated: true, Common: c}
	return o.place()
}

// ChannelSettings is what is in force of a channel of which set is set.
func (c *Common) ChannelSettings(topic, channel string, set settings.Channel) settings.Channel {
	timeout := c.Channels.MsgTimeout
	s := c.Settings.Channel(topic, channel, set, settings.Channel{MsgTimeout: &timeout})
	if to := s.DeadLetterTopic; to != nil && *to == topic { // a pattern that takes in the dead letters themselves
		return s.WithoutDeadLetters()
	}
	return s
}

// channelInForce is what is in force of a channel of which set is set.
func (o *Options) channelInForce(name string, set settings.Channel) settings.Channel {
	return o.Common.ChannelSettings(o.Name, name, set)
}

// ChannelConfig is what is set of a channel, and all that is in force. The error is
// ErrNoChannel.
func (t *Topic) ChannelConfig(name string) (set, inForce settings.Channel, err error) {
	m := t.fanout.find(name)
	if m == nil {
		return set, inForce, ErrNoChannel
	}
	set = m.setting()
	return set, t.o.channelInForce(name, set), nil
}

// ConfigureChannel sets what a JSON object says of a channel, as Configure does of the
// topic. The error is also ErrNoChannel or settings.Mistakes.
func (t *Topic) ConfigureChannel(name string, change []byte) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	m := t.fanout.find(name)
	if m == nil {
		return ErrNoChannel
	}
	was := m.setting()
	wasInForce := t.o.channelInForce(name, was)
	set, err := was.Change(change, wasInForce)
	if err != nil {
		return err
	}
	now := t.o.channelInForce(name, set)
	if err := t.o.refuseChannel(was, set, wasInForce, now); err != nil {
		return err
	}
	if to := now.Effective().DeadLetterTopic; to != wasInForce.Effective().DeadLetterTopic || set.DeadLetterTopic != was.DeadLetterTopic {
		done, err := t.routeDeadLetters(name, to)
		if err != nil {
			return err
		}
		defer done()
	}
	entry := t.channelEntry(state.ConfigureChannel, m.channel)
	entry.Name = set.String()
	return t.change(entry, func() {
		m.set.Store(&set)
		m.channel.Configure(now.Effective())
	}, nothing)
}

// routeDeadLetters prepares that a channel's dead letters go to a topic, until done is
// called.
func (t *Topic) routeDeadLetters(channel, to string) (done func(), err error) {
	if to == "" || t.o.Common.RouteDeadLetters == nil {
		return nothing, nil
	}
	return t.o.Common.RouteDeadLetters(t.o.Name, channel, to)
}

// refuseChannel says why settings of a channel cannot be met, as far as they are others than
// they were.
func (o *Options) refuseChannel(was, set, wasInForce, now settings.Channel) error {
	if to := set.DeadLetterTopic; to != nil && *to == o.Name {
		return settings.Mistakes{fmt.Sprintf("dead_letter_topic must be another topic than the channel's own, %q; in force is %q", o.Name, now.Effective().DeadLetterTopic)}
	}
	return set.RefuseChange(was, wasInForce, now, o.Common.Channels.MsgTimeout, o.Common.Channels.MaxMsgTimeout)
}

// configureNew has a channel that is new be as patterns say.
func (o *Options) configureNew(c *channel.Channel) {
	c.Configure(o.channelInForce(c.Name(), settings.Channel{}).Effective())
}

// restore has a channel be as it was set before the process began.
func (m *member) restore(o *Options, text string) {
	set, err := settings.ParseChannel(text)
	if err != nil {
		o.Common.Logger.Error("settings of the channel are left out that this version does not know",
			"topic", o.Name, "channel", m.channel.Name(), "error", err)
	}
	if text != "" {
		m.set.Store(&set)
	}
	m.channel.Configure(o.channelInForce(m.channel.Name(), set).Effective())
}

// channelSettings is what was set of a channel; nil: nothing.
type channelSettings = atomic.Pointer[settings.Channel]

// setting is what is set of the channel.
func (m *member) setting() (set settings.Channel) {
	if p := m.set.Load(); p != nil {
		set = *p
	}
	return set
}
