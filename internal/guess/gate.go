package guess

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of waiting at a gate, for as many and as long.
const (
	maxClean  = 32 // who have not failed before: one of each place
	maxFailed = 8  // the others
	maxWait   = 2 * time.Second
)

// gate lets a few in at a time. Who has failed before waits behind those who
// have not. Of these the last one is the first, and the one that has waited
// longest makes room: when many come at once, it is better that some are served
// at once than that all are late.
type gate struct {
	mu     sync.Mutex // guards what follows
	free   int        // how many more may come in
	clean  []turn     // those who have not failed before, in the order in which they came
	failed []turn     // the others
}

// turn gets nil when it has come, or why it will not. It holds one value.
type turn chan error

// enter waits for its turn. The error is [ErrBusy] or that of ctx.
func (g *gate) enter(ctx context.Context, clean bool) error {
	t, err := g.queue(clean)
	if t == nil {
		return err
	}
	tired := time.NewTimer(maxWait)
	defer tired.Stop()
	select {
	case err := <-t:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-tired.C:
		err = ErrBusy
	}
	if !g.giveUp(t) && <-t == nil {
		g.leave() // its turn had come meanwhile
	}
	return err
}

// queue comes in and returns no turn, or returns the turn to wait for.
func (g *gate) queue(clean bool) (turn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return nil, nil
	}
	t := make(turn, 1)
	switch {
	case !clean && len(g.failed) >= maxFailed:
		return nil, ErrBusy
	case !clean:
		g.failed = append(g.failed, t)
		return t, nil
	case len(g.clean) >= maxClean:
		g.clean[0] <- ErrBusy
		g.clean = slices.Delete(g.clean, 0, 1)
	}
	g.clean = append(g.clean, t)
	return t, nil
}

// giveUp takes a turn out of its queue; false: it was not there any more.
func (g *gate) giveUp(t turn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, queue := range []*[]turn{&g.clean, &g.failed} {
		if i := slices.Index(*queue, t); i >= 0 {
			*queue = slices.Delete(*queue, i, i+1)
			return true
		}
	}
	return false
}

// leave gives the turn to the next one.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch newest := len(g.clean) - 1; {
	case newest >= 0:
		g.clean[newest] <- nil
		g.clean = slices.Delete(g.clean, newest, newest+1)
	case len(g.failed) > 0:
		g.failed[0] <- nil
		g.failed = slices.Delete(g.failed, 0, 1)
	default:
		g.free++
	}
}

// queued is how many wait.
func (g *gate) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.clean) + len(g.failed)
}
