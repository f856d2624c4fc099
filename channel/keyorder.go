package channel

import (
	"qmq/internal/ring"
	"qmq/internal/seqtable"
)

// keyOrder has one message of each key be under way at a time: while one is in flight,
// deferred by a requeue, or spent, the others of its key wait. Keys are known by a hash;
// of two with the same one, one may wait for the other.
type keyOrder struct {
	keys seqtable.Table[keyState] // by hash
	// flying is the index of its key, 0 for none, by the number of each message under way.
	flying seqtable.Table[uint32]
	nodes  []node // from 1 on
	free   uint32 // the first node that is not used; 0: none
	n      int    // nodes that are used
	oldN   int    // of them, those that are not fresh
	// readyOld and readyFresh are the keys that have a message next to be delivered, by what it
	// waits as: twice the index of a key; or twice that of the node of a message without a key, and
	// one.
	readyOld, readyFresh ring.Ring[uint32]
	turn                 bool // the next one is old
}

// keyState is a key of which a message waits or is under way.
type keyState struct {
	// first to last are the nodes of those that wait, by turn; up to lastOld they are
	// not fresh.
	first, last, lastOld uint32
	underWay             uint32 // messages
	queued               bool   // in readyOld or readyFresh
}

// node is a message that waits, 16 bytes.
type node struct {
	seq      uint64
	next     uint32 // of its key, or of those that are not used
	attempts uint16
	as       wait
	delayed  bool
}

func (n *node) message() redelivery {
	return redelivery{seq: n.seq, attempts: n.attempts, delayed: n.delayed}
}

func (o *keyOrder) ready() int { return o.readyOld.Len() + o.readyFresh.Len() }
func (o *keyOrder) room() int  { return maxAhead - o.n }
func (o *keyOrder) old() int   { return o.oldN }
func (o *keyOrder) held() int  { return max(0, o.n-o.ready()) }

// wants looks at more where there are not as many fresh ones as would be their half.
func (o *keyOrder) wants(n int) bool { return o.ready() < n || o.readyFresh.Len() < (n+1)/2 }

func (o *keyOrder) add(m redelivery, w wait, trait uint64) {
	i := o.newNode(m, w)
	if trait == 0 {
		o.queue(i<<1|1, w, false)
		return
	}
	k, state := o.key(trait)
	o.insert(state, i)
	o.turnOf(k, false)
}

// key finds a key, or makes it known.
func (o *keyOrder) key(trait uint64) (k uint32, state *keyState) {
	if k = o.keys.Find(trait); k != 0 {
		return k, o.keys.At(k)
	}
	return o.keys.Add(trait)
}

func (o *keyOrder) newNode(m redelivery, w wait) (i uint32) {
	i = o.free
	if i == 0 {
		if len(o.nodes) == 0 {
			o.nodes = make([]node, 1, 64)
		}
		i = uint32(len(o.nodes))
		o.nodes = append(o.nodes, node{})
	} else {
		o.free = o.nodes[i].next
	}
	o.nodes[i] = node{seq: m.seq, attempts: m.attempts, as: w, delayed: m.delayed}
	o.n++
	if w != asFresh {
		o.oldN++
	}
	return i
}

// freeNode gives a node back, and the memory when that was the last of many.
func (o *keyOrder) freeNode(i uint32) {
	o.n--
	if o.nodes[i].as != asFresh {
		o.oldN--
	}
	o.nodes[i].next = o.free
	o.free = i
	if o.n == 0 && len(o.nodes) > 1024 {
		o.nodes, o.free = nil, 0
	}
}

// insert has the node i wait for the turn of its key: what came back first, by number,
// then what is due, in the order in which it was, then what is fresh.
func (o *keyOrder) insert(k *keyState, i uint32) {
	n := &o.nodes[i]
	switch after := k.lastOld; {
	case n.as == asFresh:
		o.link(k, k.last, i)
	case n.as == asDue, after != 0 && o.nodes[after].as == asReturned && o.nodes[after].seq < n.seq:
		o.link(k, after, i)
		k.lastOld = i
	default:
		before := uint32(0)
		for j := k.first; j != 0 && o.nodes[j].as == asReturned && o.nodes[j].seq < n.seq; j = o.nodes[j].next {
			before = j
		}
		o.link(k, before, i)
		if before == k.lastOld {
			k.lastOld = i
		}
	}
}

// link puts the node i behind another one of its key; 0: before all.
func (o *keyOrder) link(k *keyState, behind, i uint32) {
	next := k.first
	if behind == 0 {
		k.first = i
	} else {
		next = o.nodes[behind].next
		o.nodes[behind].next = i
	}
	if o.nodes[i].next = next; next == 0 {
		k.last = i
	}
}

// pop takes out the first message of a key.
func (o *keyOrder) pop(k *keyState) (m redelivery, w wait) {
	i := k.first
	n := &o.nodes[i]
	m, w = n.message(), n.as
	if k.first = n.next; k.first == 0 {
		k.last = 0
	}
	if k.lastOld == i {
		k.lastOld = 0
	}
	o.freeNode(i)
	return m, w
}

// queue has an entry wait for its delivery.
func (o *keyOrder) queue(entry uint32, w wait, first bool) {
	r := &o.readyOld
	if w == asFresh {
		r = &o.readyFresh
	}
	if first {
		r.PushFront(entry)
	} else {
		r.PushBack(entry)
	}
}

// turnOf has a key wait for delivery, if one of its messages may be delivered, and forgets it
// if there is none.
func (o *keyOrder) turnOf(k uint32, first bool) {
	state := o.keys.At(k)
	switch {
	case state.queued || state.underWay > 0:
	case state.first != 0:
		state.queued = true
		o.queue(k<<1, o.nodes[state.first].as, first)
	default:
		o.keys.Remove(k)
		if o.keys.Len() == 0 && o.keys.Pages() > 64 {
			o.keys = seqtable.Table[keyState]{}
		}
	}
}

func (o *keyOrder) next(c *core) (m redelivery, w wait, ok bool) {
	for o.ready() > 0 {
		r := &o.readyFresh
		if o.turn = !o.turn; o.turn && o.readyOld.Len() > 0 || r.Len() == 0 {
			r = &o.readyOld
		}
		entry := r.PopFront()
		if i := entry >> 1; entry&1 == 1 {
			m, w = o.nodes[i].message(), o.nodes[i].as
			o.freeNode(i)
			ok = w != asFresh || c.fresh(m.seq)
		} else {
			m, w, ok = o.nextOf(c, i)
		}
		if ok {
			o.fly(m.seq, entry)
			return m, w, true
		}
	}
	return m, w, false
}

// nextOf takes out the next message of a key, unless one is under way.
func (o *keyOrder) nextOf(c *core, k uint32) (m redelivery, w wait, ok bool) {
	state := o.keys.At(k)
	state.queued = false
	for state.underWay == 0 && state.first != 0 {
		if m, w = o.pop(state); w != asFresh || c.fresh(m.seq) {
			return m, w, true
		}
	}
	o.turnOf(k, false)
	return m, w, false
}

// fly notes that a message is under way, of the key of an entry.
func (o *keyOrder) fly(seq uint64, entry uint32) {
	_, of := o.flying.Add(seq)
	if entry&1 == 0 {
		*of = entry >> 1
		o.keys.At(*of).underWay++
	}
}

func (o *keyOrder) start(seq uint64, trait uint64) {
	if trait == 0 {
		o.fly(seq, 1)
		return
	}
	k, _ := o.key(trait)
	o.fly(seq, k<<1)
}

func (o *keyOrder) isUnderWay(seq uint64) bool { return o.flying.Find(seq) != 0 }

// land ends that a message is under way; k is 0 where it has no key.
func (o *keyOrder) land(seq uint64) (k uint32, was bool) {
	i := o.flying.Find(seq)
	if i == 0 {
		return 0, false
	}
	k = *o.flying.At(i)
	o.flying.Remove(i)
	if o.flying.Len() == 0 && o.flying.Pages() > 64 {
		o.flying = seqtable.Table[uint32]{}
	}
	if k != 0 {
		o.keys.At(k).underWay--
	}
	return k, true
}

func (o *keyOrder) comeBack(m redelivery, first bool) bool {
	k, was := o.land(m.seq)
	if !was {
		return false
	}
	i := o.newNode(m, asReturned)
	if k == 0 {
		o.queue(i<<1|1, asReturned, first)
		return true
	}
	o.insert(o.keys.At(k), i)
	o.turnOf(k, first)
	return true
}

func (o *keyOrder) finish(seq uint64) {
	if k, _ := o.land(seq); k != 0 {
		o.turnOf(k, false)
	}
}

func (o *keyOrder) remove(del func(m redelivery, w wait) bool) {
	var empty []uint32
	o.keys.Each(func(k uint32, _ uint64, state *keyState) {
		if o.removeOf(state, del); state.first == 0 && state.queued {
			empty = append(empty, k)
		}
	})
	gone := func(entry uint32) bool {
		if entry&1 == 0 {
			return o.keys.At(entry>>1).first == 0
		}
		i := entry >> 1
		is := del(o.nodes[i].message(), o.nodes[i].as)
		if is {
			o.freeNode(i)
		}
		return is
	}
	o.readyOld.DeleteFunc(gone)
	o.readyFresh.DeleteFunc(gone)
	for _, k := range empty {
		o.keys.At(k).queued = false
		o.turnOf(k, false)
	}
}

// removeOf is remove for the messages of a key.
func (o *keyOrder) removeOf(k *keyState, del func(m redelivery, w wait) bool) {
	i := k.first
	k.first, k.last, k.lastOld = 0, 0, 0
	for i != 0 {
		n := &o.nodes[i]
		next := n.next
		if del(n.message(), n.as) {
			o.freeNode(i)
		} else {
			o.link(k, k.last, i)
			if n.as != asFresh {
				k.lastOld = i
			}
		}
		i = next
	}
}

func (o *keyOrder) eachUnderWay(do func(seq uint64)) {
	o.flying.Each(func(_ uint32, seq uint64, _ *uint32) { do(seq) })
}

func (o *keyOrder) eachOld(do func(m redelivery, w wait)) {
	if o.oldN == 0 {
		return
	}
	o.keys.Each(func(_ uint32, _ uint64, state *keyState) {
		for i := state.first; i != 0 && o.nodes[i].as != asFresh; i = o.nodes[i].next {
			do(o.nodes[i].message(), o.nodes[i].as)
		}
	})
	for i := range o.readyOld.Len() {
		if entry := *o.readyOld.At(i); entry&1 == 1 {
			do(o.nodes[entry>>1].message(), o.nodes[entry>>1].as)
		}
	}
}
