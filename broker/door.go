package broker

import (
	"errors"
	"sync"
	"sync/atomic"

	"qmq/topic"
)

// ErrDraining refuses publishes to a node that is being drained.
var ErrDraining = errors.New("this node is being drained: publish to another one")

// door is what publishes are refused for that the logs would take.
type door struct {
	// shut is nil while nothing is refused. It is written with mu held, and read by
	// each publish without: one that passes while the door is shut is as good as one
	// that came before.
	shut atomic.Pointer[refusal]
	mu   sync.Mutex // held while shut is replaced
}

// refusal is why publishes are refused. It never changes.
type refusal struct {
	draining bool        // everybody's, but for what the node publishes itself
	space    *SpaceError // to topics that are this node's alone; nil: there is room
}

func (d *door) lowSpace() *SpaceError {
	if r := d.shut.Load(); r != nil {
		return r.space
	}
	return nil
}

func (d *door) setLowSpace(e *SpaceError) { d.change(func(r *refusal) { r.space = e }) }

func (d *door) change(do func(*refusal)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var r refusal
	if now := d.shut.Load(); now != nil {
		r = *now
	}
	do(&r)
	if r == (refusal{}) {
		d.shut.Store(nil)
		return
	}
	d.shut.Store(&r)
}

// refusal is why a publish of a client to p is refused; nil when it is not.
func (d *door) refusal(p Publisher) error {
	r := d.shut.Load()
	if r == nil {
		return nil
	}
	_, local := p.(*topic.Topic)
	return r.ofClient(local)
}

// refusalOfNew is why a client's publish makes no local topic.
func (d *door) refusalOfNew() error {
	if r := d.shut.Load(); r != nil {
		return r.ofClient(true)
	}
	return nil
}

// refusalOfOwn is why a publish of the node itself to p is refused.
func (d *door) refusalOfOwn(p Publisher) error {
	r := d.shut.Load()
	if r == nil {
		return nil
	}
	_, local := p.(*topic.Topic)
	return r.ofAnybody(local)
}

func (r *refusal) ofClient(local bool) error {
	if r.draining {
		return ErrDraining
	}
	return r.ofAnybody(local)
}

// ofAnybody is why nobody's publish is taken. What is published to a replicated topic
// is taken by a majority, which knows how much room it has.
func (r *refusal) ofAnybody(local bool) error {
	if !local || r.space == nil {
		return nil
	}
	return r.space
}
