package lookup

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// naming is the goroutine that resolves the names of directories, at first and
// then every minute, and has peers for what they stand for.
type naming struct {
	stop context.CancelFunc
	done chan struct{} // closed when the goroutine has ended
}

// SetAddresses changes which directories are told. An address whose host is a
// name with several addresses is that many directories; names are resolved
// again every minute. When it returns, those that are not among them are
// disconnected, and others are being connected or their names resolved.
func (a *Announcer) SetAddresses(addresses []string) {
	a.changing.Lock()
	if a.identity.TCPPort <= 0 || a.identity.HTTPPort <= 0 {
		if len(addresses) > 0 {
			a.o.Logger.Warn("not announced to lookup directories: they refuse a node without a TCP and an HTTP port; "+
				"with unix sockets, or without HTTP, set --broadcast-tcp-port and --broadcast-http-port",
				slog.Int("tcp_port", a.identity.TCPPort), slog.Int("http_port", a.identity.HTTPPort))
		}
		addresses = nil
	}
	was := a.naming
	if was != nil {
		was.stop()
	}
	a.naming = a.connect(slices.Clone(addresses))
	a.changing.Unlock()
	if was != nil {
		<-was.done
	}
}

// connect has peers for the directories with these addresses and no others; to
// those whose names are not known yet once they are. It returns the goroutine
// that resolves names, nil if there are none. The caller holds a.changing.
func (a *Announcer) connect(addresses []string) *naming {
	resolved := closed()
	named := slices.ContainsFunc(addresses, isNamed)
	if named {
		resolved = make(chan struct{})
	}
	a.mu.Lock()
	open := a.open
	if open {
		a.alone, a.resolved = len(addresses) == 0, resolved
	}
	a.mu.Unlock()
	if !open {
		return nil
	}
	a.exchange(a.names.recall(addresses))
	if !named {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &naming{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(n.done)
		a.resolve(ctx, addresses, resolved)
	}()
	return n
}

// resolve keeps peers for all that the addresses stand for, until ctx is done.
func (a *Announcer) resolve(ctx context.Context, addresses []string, resolved chan struct{}) {
	for first := true; ; first = false {
		expanded, ok := a.names.Expand(ctx, addresses, 0)
		a.changing.Lock()
		if ctx.Err() == nil {
			a.exchange(expanded)
		}
		a.changing.Unlock()
		if first {
			close(resolved)
		}
		pause := resolveEvery
		if !ok {
			pause = resolveAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// exchange makes peers for the addresses that have none and ends those whose
// address is not wanted any more. The caller holds a.changing.
func (a *Announcer) exchange(addresses []string) {
	was := a.current()
	var now []*peer
	for _, address := range slices.Compact(slices.Sorted(slices.Values(addresses))) {
		at := func(p *peer) bool { return p.address == address }
		if i := slices.IndexFunc(was, at); i >= 0 {
			now = append(now, was[i])
			continue
		}
		now = append(now, newPeer(a, address))
	}
	a.mu.Lock()
	a.peers = now
	a.mu.Unlock()
	for _, p := range was {
		if !slices.Contains(now, p) {
			p.close()
		}
	}
}
