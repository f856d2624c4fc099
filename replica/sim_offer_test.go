package replica

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// offer brings the machine's state to the member, as it is by then.
func (n *simNode) offer(m *pb.Message) {
	reached := func(from, to *simNode) bool {
		return to != nil && to.core != nil && !n.w.net.cut[[2]int{from.slot, to.slot}]
	}
	n.later(n.w.between(time.Millisecond, 30*time.Millisecond), func() {
		to := n.w.ids[m.GetTo()]
		if !reached(n, to) || !reached(to, n) || to.paused > n.w.now {
			n.core.snapshotSent(m.GetTo(), false)
			return
		}
		o := &simOffer{from: n, to: to, life: n.life, toLife: to.life}
		to.do(func() { to.core.receive(o) })
		o.watch()
	})
}

// simOffer is a snapshot of one member for another.
type simOffer struct {
	from, to     *simNode
	life, toLife int
	told         bool
}

// watch tells when the link broke with the process.
func (o *simOffer) watch() {
	o.from.later(500*time.Millisecond, func() {
		switch {
		case o.told:
		case o.to.life != o.toLife:
			o.Decline()
		default:
			o.watch()
		}
	})
}

// Take is called when the transfer has ended.
func (o *simOffer) Take(context.Context) (*pb.SnapshotMetadata, error) {
	if o.from.life != o.life || o.from.w.net.cut[[2]int{o.from.slot, o.to.slot}] {
		o.Decline()
		return nil, errors.New("the link broke")
	}
	meta, err := o.to.machine.take(o.from.machine)
	o.from.w.log("snapshot from %d to %d at %d: %v", o.from.id, o.to.id, meta.GetIndex(), err)
	o.sent(err == nil)
	return meta, err
}

func (o *simOffer) Decline() { o.sent(false) }

func (o *simOffer) sent(ok bool) {
	o.told = true
	if o.from.life == o.life {
		o.from.later(time.Millisecond, func() { o.from.core.snapshotSent(o.to.id, ok) })
	}
}
