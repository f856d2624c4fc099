package relay

import "context"

// confirmation is how far the answers of a consumer have come that its leader, on another
// node, has to apply.
type confirmation struct {
	known   uint64        // answers of which it is known what became of them
	changed chan struct{} // closed when known grows; nil while nobody waits
}

// Confirm waits until it is known of all answers that were given before what became of
// them: o.AnswerFailed has been called with those that failed. Those that no leader has
// applied when it changes count as done: the next one is told that they are. The error is
// that of ctx.
func (k *Consumer) Confirm(ctx context.Context) error {
	k.mu.Lock()
	through := k.confirmation.known + uint64(len(k.pending)) + uint64(k.telling)
	for k.confirmation.known < through {
		if k.confirmation.changed == nil {
			k.confirmation.changed = make(chan struct{})
		}
		changed := k.confirmation.changed
		k.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		k.mu.Lock()
	}
	k.mu.Unlock()
	return nil
}

// confirm notes that it is known of n more answers what became of them. The caller holds
// k.mu.
func (k *Consumer) confirm(n int) {
	if n == 0 {
		return
	}
	k.confirmation.known += uint64(n)
	k.signCame()
	if k.confirmation.changed != nil {
		close(k.confirmation.changed)
		k.confirmation.changed = nil
	}
}

// told notes that AnswerFailed has been called for all of n answers that failed.
func (k *Consumer) told(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.telling -= n
	k.confirm(n)
}
