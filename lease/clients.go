package lease

import "time"

// Client is who asked for messages.
type Client struct {
	Host, RemoteAddress, UserAgent string
	Since                          time.Time // when the request came; set by Begin
	Secure                         bool      // it came over TLS
	// Polling says that the request is under way. It is set by Leases.Client.
	Polling bool
}

// Client is the client of the consumer with that id; ok is false when it has gone, or is
// none of those here.
func (l *Leases) Client(consumer uint64) (c Client, ok bool) {
	if consumer <= ownIDs || l == nil {
		return c, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holders[consumer]
	if h == nil {
		return c, false
	}
	c = h.poll.Client
	c.Polling = h.polling
	return c, true
}

// CloseClient ends the leases of the requests that came from an address, which become
// available to others at once, and those requests. ok is false when there is none.
func (l *Leases) CloseClient(remote string) (ok bool) {
	l.mu.Lock()
	var over []*Holder
	for _, h := range l.holders {
		if h.poll.Client.RemoteAddress != remote {
			continue
		}
		ok = true
		h.dismissed = true
		h.leave()
		for id := range h.held {
			l.forget(h, id)
		}
		if l.isOver(h) || l.takeKept(h) {
			over = append(over, h)
		}
	}
	l.mu.Unlock()
	for _, h := range over {
		h.close()
	}
	return ok
}
