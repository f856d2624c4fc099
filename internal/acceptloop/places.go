package acceptloop

import (
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// Places are what a daemon has for connections, whatever listener they come to.
// Its methods may be called concurrently; a nil *Places has no limit.
type Places struct {
	most   int64
	log    *slog.Logger
	taken  atomic.Int64
	turned atomic.Uint64 // away
	logged atomic.Int64  // when the last refusal was, ns since 1970
}

// NewPlaces makes as many places as most says; 0: no limit.
func NewPlaces(most int, log *slog.Logger) *Places {
	if most <= 0 {
		return nil
	}
	return &Places{most: int64(most), log: log}
}

// Take takes a place, which Leave gives back. It returns false, and says so in
// the log once a second at most, when all are taken: the connection is to be
// closed.
func (p *Places) Take(conn net.Conn) bool {
	if p == nil {
		return true
	}
	if p.taken.Add(1) <= p.most {
		return true
	}
	p.taken.Add(-1)
	p.turned.Add(1)
	now, last := time.Now().UnixNano(), p.logged.Load()
	if now-last >= int64(logEvery) && p.logged.CompareAndSwap(last, now) {
		p.log.Warn("too many connections", slog.Int64("most", p.most), slog.Any("refused", conn.RemoteAddr()))
	}
	return false
}

// Leave gives a place back.
func (p *Places) Leave() {
	if p != nil {
		p.taken.Add(-1)
	}
}

// Refused is how many connections found no place.
func (p *Places) Refused() uint64 {
	if p == nil {
		return 0
	}
	return p.turned.Load()
}
