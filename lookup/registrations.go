package lookup

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
)

// registrations are what a node wants the directories to know: its topics and their
// channels. Who follows it gets what there is and then every change, in order,
// so that something deleted and made again is unregistered and then registered
// with everybody. Nothing here waits for anything but memory.
type registrations struct {
	mu     sync.Mutex // guards what follows; nothing else is locked under it but a follower's wake
	topics map[string]*registeredTopic
	// changes are the latest ones, from the number first on, as far back as
	// some follower needs them.
	changes   []change
	first     uint64
	followers map[*follower]struct{}
}

type registeredTopic struct {
	incarnation uint64
	channels    []string
}

// change is that a topic, or a channel of it if that has a name, came or went.
type change struct {
	topic, channel string
	gone           bool
}

func compareChanges(a, b change) int {
	return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.channel, b.channel))
}

// maxBehind is how many changes are kept for a follower that does not take
// them. One that is further behind starts again.
const maxBehind = 1 << 16

var errBehind = errors.New("too slow to be told of every change")

func newRegistrations() *registrations {
	return &registrations{topics: make(map[string]*registeredTopic), followers: make(map[*follower]struct{})}
}

// register adds a topic, or a channel of it if channel is not empty. The
// incarnation is the topic's; it grows when a topic is made again. A channel of
// a topic or incarnation that is not there is ignored: it comes too late.
func (d *registrations) register(topic string, incarnation uint64, channel string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.topics[topic]
	if channel == "" {
		if t != nil && t.incarnation >= incarnation {
			return
		}
		if t != nil {
			d.remove(topic, t)
		}
		d.topics[topic] = &registeredTopic{incarnation: incarnation}
		d.note(change{topic: topic})
		return
	}
	if t == nil || t.incarnation != incarnation || slices.Contains(t.channels, channel) {
		return
	}
	t.channels = append(t.channels, channel)
	d.note(change{topic: topic, channel: channel})
}

// unregister removes a topic with its channels, or one channel if that is not
// empty. What another incarnation of the topic has stays.
func (d *registrations) unregister(topic string, incarnation uint64, channel string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.topics[topic]
	if t == nil || t.incarnation != incarnation {
		return
	}
	if channel == "" {
		d.remove(topic, t)
		return
	}
	if i := slices.Index(t.channels, channel); i >= 0 {
		t.channels = slices.Delete(t.channels, i, i+1)
		d.note(change{topic: topic, channel: channel, gone: true})
	}
}

// remove ends a topic. The channels follow it by name: only then does NSQ's
// directory forget those that are ephemeral. The caller holds d.mu.
func (d *registrations) remove(topic string, t *registeredTopic) {
	delete(d.topics, topic)
	d.note(change{topic: topic, gone: true})
	for _, channel := range t.channels {
		d.note(change{topic: topic, channel: channel, gone: true})
	}
}

// note tells the followers of a change. The caller holds d.mu.
func (d *registrations) note(c change) {
	if len(d.followers) == 0 {
		return // who comes later gets what is there then
	}
	d.changes = append(d.changes, c)
	for f := range d.followers {
		if d.first+uint64(len(d.changes))-f.next > maxBehind {
			f.lost = true
			delete(d.followers, f)
		}
		f.wake()
	}
	if len(d.changes) > maxBehind {
		d.trim()
	}
}

// trim lets changes go that all followers have taken. The caller holds d.mu.
func (d *registrations) trim() {
	end := d.first + uint64(len(d.changes))
	needed := end
	for f := range d.followers {
		needed = min(needed, f.next)
	}
	if needed == end {
		d.changes = nil
	} else {
		d.changes = d.changes[needed-d.first:] // what grows next copies the rest
	}
	d.first = needed
}

// follower is somebody who is told of changes.
type follower struct {
	d    *registrations
	wake func() // called when there may be something to take; must not call d

	next uint64 // number of the change to take next; guarded by d.mu
	lost bool   // changes were dropped before they were taken; guarded by d.mu
}

// follow lists what is there: each channel, and each topic without one. The
// follower takes what changes from then on.
func (d *registrations) follow(wake func()) (*follower, []change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &follower{d: d, wake: wake, next: d.first + uint64(len(d.changes))}
	d.followers[f] = struct{}{}
	return f, d.allLocked()
}

// all lists what is there.
func (d *registrations) all() []change {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.allLocked()
}

func (d *registrations) allLocked() (all []change) {
	for name, t := range d.topics {
		for _, channel := range t.channels {
			all = append(all, change{topic: name, channel: channel})
		}
		if len(t.channels) == 0 {
			all = append(all, change{topic: name})
		}
	}
	return all
}

// take returns the next changes, at most that many; none if there is none now.
// The error is errBehind: the follower has to start again.
func (f *follower) take(most int) ([]change, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.lost {
		return nil, errBehind
	}
	rest := f.d.changes[f.next-f.d.first:]
	if len(rest) == 0 {
		return nil, nil
	}
	taken := slices.Clone(rest[:min(most, len(rest))])
	f.next += uint64(len(taken))
	f.d.trim()
	return taken, nil
}

// stop ends the following.
func (f *follower) stop() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	delete(f.d.followers, f)
	f.d.trim()
}
