package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/lookup"
)

const (
	// resolveEvery is how often names of directories are resolved again.
	resolveEvery = time.Minute
	// resolveTimeout is how long that may hold somebody up.
	resolveTimeout = time.Second
)

// directories are those that are asked: all that the addresses stand for that
// were given. A goroutine resolves names again every minute, from start to stop.
type directories struct {
	names   lookup.Resolver
	changed func(addresses []string)

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}

	changing sync.Mutex // held while they change; taken before mu
	given    []string   // with changing

	mu        sync.Mutex // guards addresses
	addresses []string
}

func (d *directories) init(s *Server) {
	d.changed = func(addresses []string) {
		s.collector.read(func(c *cluster.Cluster) { c.SetLookupds(addresses) })
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.ended = make(chan struct{})
}

func (d *directories) start() {
	go func() {
		defer close(d.ended)
		for {
			select {
			case <-d.ctx.Done():
				return
			case <-time.After(resolveEvery):
			}
			d.changing.Lock()
			d.resolve()
			d.changing.Unlock()
		}
	}()
}

func (d *directories) stop() {
	d.cancel()
	<-d.ended
}

// set changes which addresses are given.
func (d *directories) set(given []string) {
	d.changing.Lock()
	defer d.changing.Unlock()
	d.given = slices.Clone(given)
	d.resolve()
}

// resolve finds what the given addresses stand for now. The order in which they
// were given stays. The caller holds d.changing.
func (d *directories) resolve() {
	ctx, cancel := context.WithTimeout(d.ctx, resolveTimeout)
	defer cancel()
	var all []string
	for _, given := range d.given {
		expanded, _ := d.names.Expand(ctx, []string{given}, resolveEvery/2)
		all = append(all, expanded...)
	}
	d.mu.Lock()
	same := slices.Equal(all, d.addresses)
	d.addresses = all
	d.mu.Unlock()
	if !same && d.ctx.Err() == nil {
		d.changed(all)
	}
}

func (d *directories) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addresses
}
