package lookup

import (
	"log/slog"
	"slices"
	"time"

	"qmq/internal/address"
)

// twinsAfter is how long after the second of two producers came both must be
// heard of to be alive: a node that connects anew leaves its old connection
// behind for a moment.
const twinsAfter = int64(5 * time.Second)

// addresses are what a producer wants to be reached under; no two may share one.
func (p *producer) addresses() [2]string {
	return [...]string{
		"TCP " + address.Join(p.BroadcastAddress, p.TCPPort),
		"HTTP " + address.Join(p.BroadcastAddress, p.HTTPPort),
	}
}

// twin is another producer that is alive and announces an address of p, and that
// address; nil: there is none, or it was returned before.
func (d *DB) twin(p *producer) (other *producer, shared string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.twinTold {
		return nil, ""
	}
	if other, shared = d.liveTwin(p); other != nil {
		p.twinTold, other.twinTold = true, true
	}
	return other, shared
}

// liveTwin is twin every time; d.mu is locked.
func (d *DB) liveTwin(p *producer) (other *producer, shared string) {
	for _, a := range p.addresses() {
		for _, q := range d.announced.all[a] {
			if q != p && min(p.heard.Load(), q.heard.Load())-max(p.joined, q.joined) >= twinsAfter {
				return q, a
			}
		}
	}
	return nil, ""
}

// markTwins marks those of producers, in their order, that share an address with
// another one and were heard of lately, as that one was.
func (d *DB) markTwins(listed []*producer, nodes []Node, now int64) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, p := range listed {
		other, _ := d.liveTwin(p)
		nodes[i].SharesAddress = other != nil && now-min(p.heard.Load(), other.heard.Load()) <= int64(3*pingInterval)
	}
}

// announce and retract keep the list of who announces what; d.mu is locked.
func (d *DB) announce(p *producer) {
	for _, a := range p.addresses() {
		d.announced.put(a, append(d.announced.all[a], p))
	}
}

func (d *DB) retract(p *producer) {
	for _, a := range p.addresses() {
		list := slices.DeleteFunc(d.announced.all[a], func(q *producer) bool { return q == p })
		if len(list) == 0 {
			d.announced.remove(a)
		} else {
			d.announced.put(a, list)
		}
		for _, q := range list {
			q.twinTold = false
		}
	}
}

// warnOfTwin logs that two nodes announce one address, once they have both shown
// that they live.
func (s *session) warnOfTwin() {
	if other, shared := s.tcp.db.twin(s.producer); other != nil {
		s.tcp.o.Logger.Warn("two nodes announce one address, so that others reach only one of them: give each a --broadcast-address of its own",
			slog.String("address", shared), slog.String("node", s.producer.called()), slog.String("other", other.called()))
	}
}

// called is a name for people.
func (p *producer) called() string { return p.Hostname + " (" + p.RemoteAddress + ")" }
