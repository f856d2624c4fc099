package cluster

import (
	"sync"
	"sync/atomic"

	"qmq/internal/names"
	"qmq/replica/machine"
	"qmq/state"
	"qmq/topic"
)

// registrations tells the directories which replicated topics and channels there are:
// every member lists all, since clients may come to each. A member that is cut off
// lists none.
type registrations struct {
	directory Directory // nil: nobody is told

	mu     sync.Mutex // guards what follows; under it the directory is told, which does not wait
	topics map[topicID]*registered
	listed bool            // the directory is told
	hidden [Shards + 1]int // topics that are hidden, by shard
	hiding atomic.Uint64   // a bit for each shard of which hidden is not 0; written under mu
}

// topicID tells topics apart: each shard numbers its own.
type topicID struct {
	shard       uint32
	incarnation uint64
}

// registered is a topic with its channels' names, by incarnation.
type registered struct {
	name     string
	channels map[uint64]string
	passing  map[string]bool // ephemeral channels, which are served here alone
	hidden   bool            // the directory is not told
}

func newRegistrations(d Directory) *registrations {
	return &registrations{directory: d, topics: make(map[topicID]*registered)}
}

// list says whether the directory is to know of anything.
func (r *registrations) list(listed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed == listed || r.directory == nil {
		return
	}
	r.listed = true // tell tells
	for of, t := range r.topics {
		r.tellAll(listed, t, of)
	}
	r.listed = listed
}

// hide has the directory not know of a topic; false: there is none.
func (r *registrations) hide(of topicID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[of]
	if t == nil {
		return false
	}
	if !t.hidden {
		r.tellAll(false, t, of)
		t.hidden = true
		r.countHidden(of.shard, 1)
	}
	return true
}

// show undoes hide, and says whether there was something to be undone.
func (r *registrations) show(of topicID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[of]
	if t == nil || !t.hidden {
		return false
	}
	t.hidden = false
	r.countHidden(of.shard, -1)
	r.tellAll(true, t, of)
	return true
}

// countHidden counts the hidden topics of a shard. mu is held.
func (r *registrations) countHidden(shard uint32, more int) {
	r.hidden[shard] += more
	if r.hidden[shard] > 0 {
		r.hiding.Or(1 << shard)
	} else {
		r.hiding.And(^uint64(1 << shard))
	}
}

// isHidden tells whether a topic is hidden.
func (r *registrations) isHidden(of topicID) bool {
	if r.hiding.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[of]
	return t != nil && t.hidden
}

// tellAll tells the directory of a topic with its channels. mu is held.
func (r *registrations) tellAll(there bool, t *registered, of topicID) {
	r.tell(there, t, of, "")
	if !there {
		return // its channels go with it
	}
	for _, channel := range t.channels {
		r.tell(true, t, of, channel)
	}
	for channel := range t.passing {
		r.tell(true, t, of, channel)
	}
}

// isListed tells whether the directory is told.
func (r *registrations) isListed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.listed
}

// close takes everything back: the member takes no part any more.
func (r *registrations) close() { r.list(false) }

// installed takes up what a shard has, in place of what was known of it.
func (r *registrations) installed(shard uint32, m *machine.Machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := m.Topics()
	for of, t := range r.topics {
		if of.shard == shard && there[t.name] != of.incarnation {
			r.remove(of)
		}
	}
	for name, incarnation := range there {
		view, err := m.Topic(incarnation)
		if err != nil {
			continue // it is deleted meanwhile; that comes
		}
		st := view.State
		view.Release()
		of := topicID{shard, incarnation}
		t := r.add(of, name)
		for number, channel := range st.Channels {
			r.addChannel(t, of, number, channel.Name)
		}
	}
}

// applied takes up what an entry changed.
func (r *registrations) applied(shard uint32, list []machine.TopologyOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		if list[i].Result == machine.Done {
			r.change(topicID{shard, list[i].Entry.Topic}, &list[i].Entry)
		}
	}
}

// change takes up an entry of the topology. mu is held.
func (r *registrations) change(of topicID, e *state.Entry) {
	t := r.topics[of]
	switch {
	case e.Op == state.CreateTopic:
		r.add(of, e.Name)
	case t == nil:
	case e.Op == state.DeleteTopic:
		r.remove(of)
	case e.Op == state.CreateChannel:
		r.addChannel(t, of, e.Channel, e.Name)
	case e.Op == state.DeleteChannel:
		if name, ok := t.channels[e.Channel]; ok {
			delete(t.channels, e.Channel)
			r.tell(false, t, of, name)
		}
	}
}

func (r *registrations) add(of topicID, name string) *registered {
	t := r.topics[of]
	if t == nil {
		t = &registered{name: name, channels: make(map[uint64]string), passing: make(map[string]bool)}
		r.topics[of] = t
		r.tell(true, t, of, "")
	}
	return t
}

func (r *registrations) addChannel(t *registered, of topicID, number uint64, name string) {
	if _, known := t.channels[number]; !known {
		t.channels[number] = name
		r.tell(true, t, of, name)
	}
}

func (r *registrations) remove(of topicID) {
	t := r.topics[of]
	r.tell(false, t, of, "")
	if t.hidden {
		r.countHidden(of.shard, -1)
	}
	delete(r.topics, of)
}

func (r *registrations) tell(there bool, t *registered, of topicID, channel string) {
	switch {
	case r.directory == nil || !r.listed || t.hidden:
	case there:
		r.directory.Register(t.name, of.incarnation, channel)
	default:
		r.directory.Unregister(t.name, of.incarnation, channel)
	}
}

// served and unserved are told of the channels of topics that are served here. Only
// those count that no other member knows of.
func (r *registrations) served(t *topic.Topic, channel string)   { r.pass(t, channel, true) }
func (r *registrations) unserved(t *topic.Topic, channel string) { r.pass(t, channel, false) }

func (r *registrations) pass(t *topic.Topic, channel string, there bool) {
	if !names.IsEphemeral(channel) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of := topicID{shardOf(t.Name()), t.Incarnation()}
	known := r.topics[of]
	if known == nil {
		return
	}
	if there {
		known.passing[channel] = true
	} else {
		delete(known.passing, channel)
	}
	r.tell(there, known, of, channel)
}
