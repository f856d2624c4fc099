package serve

import (
	"context"
	"fmt"
)

// A name is that of a replicated topic, or stays that of local ones, which is agreed on
// elsewhere: what a leader knows of it may be old. So before it makes its first topic in a
// term it hears all that was agreed on before; from then on, who wants to keep a name asks
// it, and waits until an entry of its term is agreed on. Whoever leads next hears of the
// name, for it is elected after that entry.

// hearing is that the leader hears which names stay local.
type hearing struct {
	over chan struct{} // closed when it has, or has not
	err  error         // why not; set before
}

// hearNames waits until this node has heard, since it leads, which names stay local.
func (v *Serving) hearNames() error {
	if v.shard.n.o.Names == nil {
		return nil
	}
	v.mu.Lock()
	h, begun := v.heard, v.heard != nil
	if !begun {
		h = &hearing{over: make(chan struct{})}
		v.heard = h
	}
	v.mu.Unlock()
	if begun {
		<-h.over // which the end of the term ends too
		return h.err
	}
	if h.err = v.hear(); h.err != nil {
		v.mu.Lock()
		v.heard = nil // who comes next tries again
		v.mu.Unlock()
	}
	close(h.over)
	return h.err
}

// hear waits until this node knows what is agreed on of names by now. The error is one that
// NotLeader is true for.
func (v *Serving) hear() error {
	ctx, cancel := v.shard.n.within(v.ctx)
	defer cancel()
	if err := v.shard.n.o.Names.Hear(ctx); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil
}

// There tells of names, all of one shard, of which there are topics, or may be, where this
// node leads the shard. What is not there will not be made by a node that knows by Names
// that it must not, as this one does. The error is one that NotLeader is true for.
func (n *Node) There(ctx context.Context, names []string) (there []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	err = n.leading(names[0], func(v *Serving) (err error) {
		if err := n.o.Names.Hear(ctx); err != nil {
			return err
		}
		there, err = v.there(names)
		return err
	})
	return there, err
}

// there is There for a leader that has heard of the names.
func (v *Serving) there(names []string) (there []string, err error) {
	for _, name := range names {
		v.awaitCreated(name) // as it was begun before it was heard that it must not
	}
	if err := v.awaitAgreed(); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, is := v.shard.machine.Incarnation(name); is {
			there = append(there, name)
		}
	}
	if v.ended() {
		return nil, errNotLeader
	}
	return there, nil
}
