// Package turn is a lock for what is held while others are waited for: for an answer of
// the disk, or of the members of a set. It starts no goroutine.
package turn

import "sync"

// Turn is such a lock; the zero value is free. It is as fair as a channel: who came first is
// next. Who waits for it is durably blocked as testing/synctest has it, so that time goes on
// in a test while the holder waits.
type Turn struct {
	once  sync.Once
	taken chan struct{} // of capacity 1
}

func (t *Turn) channel() chan struct{} {
	t.once.Do(func() { t.taken = make(chan struct{}, 1) })
	return t.taken
}

// Lock waits until nobody has the turn, and takes it.
func (t *Turn) Lock() { t.channel() <- struct{}{} }

// Unlock gives it up; the caller has it.
func (t *Turn) Unlock() { <-t.channel() }
