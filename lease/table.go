package lease

import (
	"time"

	"qmq/message"
)

// slack is how much longer than its time a lease is remembered: an answer that comes in
// time is not to find it forgotten.
const slack = time.Second

// lease notes what h took last; spare is how much of what was reserved for it is not
// needed.
func (l *Leases) lease(h *Holder, spare int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages -= spare
	if len(h.last) == 0 {
		return
	}
	h.inherited = false
	byID := l.channels[h.place()]
	if byID == nil {
		byID = make(map[message.ID]*Holder, len(h.last))
		l.channels[h.place()] = byID
	}
	if h.held == nil {
		h.held = make(map[message.ID]time.Time, len(h.last))
	}
	until := time.Now().Add(h.poll.Lease)
	for _, id := range h.last {
		if before := byID[id]; before != nil { // whose time is over
			delete(before.held, id)
			l.messages--
			l.expired++
		}
		byID[id] = h
		h.held[id] = until
	}
	l.leased += uint64(len(h.last))
	if h.timer == nil {
		h.timer = time.AfterFunc(h.poll.Lease+slack, h.sweep)
	}
}

// forget removes a message that h has not any more. mu is held.
func (l *Leases) forget(h *Holder, id message.ID) {
	if _, ok := h.held[id]; !ok {
		return
	}
	delete(h.held, id)
	l.messages--
	byID := l.channels[h.place()]
	delete(byID, id)
	if len(byID) == 0 {
		delete(l.channels, h.place())
	}
}

// sweep forgets what has run out. It is called by the timer.
func (h *Holder) sweep() {
	l := h.all
	l.mu.Lock()
	now := time.Now()
	for id, until := range h.held {
		if now.Sub(until) >= slack || h.isGone() {
			l.forget(h, id)
			l.expired++
		}
	}
	over := l.isOver(h)
	if !h.ended && (h.polling || len(h.held) > 0) {
		h.timer.Reset(h.poll.Lease + slack)
	}
	l.mu.Unlock()
	if over {
		h.close()
	}
}
