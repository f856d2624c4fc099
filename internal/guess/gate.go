package guess

import (
	"context"
	"slices"
	"sync"
)

// maxWaiting bounds those who wait at a gate, of each kind. With a comparison of
// 60 ms the last one waits for half a second.
const maxWaiting = 8

// gate lets a few in at a time. Who has failed before waits behind those who
// have not.
type gate struct {
	mu      sync.Mutex         // guards what follows
	free    int                // how many more may come in
	waiting [2][]chan struct{} // those who have not failed before, and the others, in their order
}

// enter waits for its turn. The error is [ErrBusy] or that of ctx.
func (g *gate) enter(ctx context.Context, clean bool) error {
	kind := 1
	if clean {
		kind = 0
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	if len(g.waiting[kind]) >= maxWaiting {
		g.mu.Unlock()
		return ErrBusy
	}
	turn := make(chan struct{})
	g.waiting[kind] = append(g.waiting[kind], turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.waiting[kind], turn)
	if i >= 0 {
		g.waiting[kind] = slices.Delete(g.waiting[kind], i, i+1)
	}
	g.mu.Unlock()
	if i < 0 {
		g.leave() // its turn had come meanwhile
	}
	return ctx.Err()
}

// leave gives the turn to the next one.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for kind := range g.waiting {
		if len(g.waiting[kind]) > 0 {
			close(g.waiting[kind][0])
			g.waiting[kind] = slices.Delete(g.waiting[kind], 0, 1)
			return
		}
	}
	g.free++
}
