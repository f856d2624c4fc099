package lease

import (
	"slices"
	"time"

	"qmq/broker"
	"qmq/internal/names"
)

// Where another node serves the channel, a consumer is made and closed over the network.
// So it is kept for a while when its request has come to its end and all its messages are
// answered, for the next request of the same client. Nothing is on its way to it meanwhile:
// its RDY count is 0.

// keptFor is how long a consumer waits for another request.
const keptFor = 10 * time.Second

// keep keeps the consumer of a request that has come to its end, if it may be. One of an
// ephemeral channel would keep that from its end. mu is held.
func (l *Leases) keep(h *Holder) bool {
	if l.closed || len(l.kept) >= l.o.MaxKept || h.isGone() || h.isLocal() || names.IsEphemeral(h.poll.Channel) {
		return false
	}
	h.kept = time.Now()
	l.kept = append(l.kept, h)
	if l.closer == nil {
		l.closes.Add(1)
		l.closer = time.AfterFunc(keptFor, l.closeOld)
	}
	return true
}

// inherit gives a request the consumer of an earlier one, if one is kept that it may have:
// of the same channel, client and length of leases. The last one that was kept is the
// first to be taken. mu is held.
func (l *Leases) inherit(h *Holder) bool {
	for _, k := range slices.Backward(l.kept) {
		p, q := &k.poll, &h.poll
		if p.Topic != q.Topic || p.Channel != q.Channel || p.Lease != q.Lease ||
			p.Client.Host != q.Client.Host || p.Client.UserAgent != q.Client.UserAgent || k.isGone() {
			continue
		}
		l.takeKept(k)
		h.id, h.subscription, h.inherited = k.id, k.subscription, true
		h.of = h
		return true
	}
	return false
}

// takeKept says that a consumer was kept, and is not any more. mu is held.
func (l *Leases) takeKept(h *Holder) bool {
	i := slices.Index(l.kept, h)
	if i < 0 {
		return false
	}
	l.kept = slices.Delete(l.kept, i, i+1)
	delete(l.holders, h.id)
	return true
}

// askIfHeard has whoever serves the channel say that it has heard of the request, if its
// consumer is inherited and it is going to wait: the consumer is one still, and when it goes
// after that, the channel has ended while this request waited for it.
func (h *Holder) askIfHeard() {
	h.all.mu.Lock()
	ask := h.inherited && h.heard == nil && h.settled == nil
	h.all.mu.Unlock()
	if k, ok := h.consumer.(broker.Settler); ok && ask {
		h.heard = k.Settle()
	}
}

// confirm notes that the request was heard of.
func (h *Holder) confirm() {
	h.all.mu.Lock()
	h.inherited, h.heard = false, nil
	h.all.mu.Unlock()
}

// mayRenew says, once, that a request whose inherited consumer is gone may have another
// one: the channel's end came after an earlier request, and its news after the beginning
// of this one.
func (h *Holder) mayRenew() bool {
	if isClosed(h.heard) {
		h.confirm()
	}
	h.heard = nil
	h.all.mu.Lock()
	old, may := h.subscription, h.inherited && !h.dismissed
	if may {
		h.inherited, h.subscription = false, newSubscription(h)
	}
	h.all.mu.Unlock()
	if may {
		old.close()
	}
	return may
}

// closeOld closes the consumers that nobody has wanted. It is called by the timer.
func (l *Leases) closeOld() {
	l.mu.Lock()
	now, old := time.Now(), 0
	for old < len(l.kept) && now.Sub(l.kept[old].kept) >= keptFor {
		old++
	}
	over := l.dropKept(old)
	if len(l.kept) > 0 {
		l.closer.Reset(keptFor - now.Sub(l.kept[0].kept))
	} else {
		l.closer = nil
		defer l.closes.Done()
	}
	l.mu.Unlock()
	for _, h := range over {
		h.close()
	}
}

// dropKept keeps the first n no longer. mu is held.
func (l *Leases) dropKept(n int) (over []*Holder) {
	over = slices.Clone(l.kept[:n])
	l.kept = slices.Delete(l.kept, 0, n)
	for _, h := range over {
		delete(l.holders, h.id)
	}
	return over
}

// closeKept closes all that are kept, and waits for those that are being closed. There are
// no more afterwards: the leases are closed.
func (l *Leases) closeKept() {
	l.mu.Lock()
	over := l.dropKept(len(l.kept))
	if l.closer != nil && l.closer.Stop() {
		l.closer = nil
		l.closes.Done()
	}
	l.mu.Unlock()
	for _, h := range over {
		h.close()
	}
	l.closes.Wait()
}
