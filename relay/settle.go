package relay

import (
	"math"

	"qmq/channel"
	"qmq/message"
)

// A client without a connection of its own is told that there is no message. That is true
// only if a leader was there to have none: one that has died is noticed after a while, and
// one that is new lets nobody have anything before it knows what clients hold. So the leader
// is asked for a sign: an answer for a message that nobody has, which it replies to once it
// may send messages. The first sign may overtake what it has just taken for the client, the
// second does not.

// signs is how many the leader has to give.
const signs = 2

// nobodys is the id of a message that there is not.
var nobodys = message.MakeID(0, message.MaxSeq)

// settling is a wait for signs of the leader. The zero value is none.
type settling struct {
	done    chan struct{} // closed when they have come
	came    int
	through uint64 // of Consumer.confirmation: where the next is known
	said    bool   // they have come, and the consumer is still where they came from
}

// Settle returns a channel that is closed when the leader has heard which RDY count the
// client has, and all that it had for that has come. Who leads meanwhile is asked anew. Of a
// consumer that is closed it never is.
func (k *Consumer) Settle() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settling = settling{done: make(chan struct{})}
	done := k.settling.done
	k.settleAnew()
	return done
}

// Settled tells whether the leader that gave the signs of the last Settle leads still.
func (k *Consumer) Settled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.settling.said && k.at == k.shard.generation.Load() && !k.shard.doubted.Load()
}

// settleAnew asks a leader for its first sign, once it has taken the consumer. The caller
// holds k.mu.
func (k *Consumer) settleAnew() {
	s := &k.settling
	s.came, s.through = 0, math.MaxUint64
	switch {
	case s.done == nil || !k.joined:
	case k.seat != nil:
		if k.seat.isAdmitted() {
			k.settled()
		}
	default:
		k.askForSign()
	}
}

func (k *Consumer) askForSign() {
	k.pending = append(k.pending, channel.Answer{Op: channel.Return, ID: nobodys})
	k.settling.through = k.confirmation.known + uint64(len(k.pending)) + uint64(k.telling)
	k.queueFrames()
}

// signCame notes that what became of more answers is known. The caller holds k.mu.
func (k *Consumer) signCame() {
	s := &k.settling
	if s.done == nil || k.confirmation.known < s.through {
		return
	}
	if s.came++; s.came < signs {
		k.askForSign()
		return
	}
	k.settled()
}

// admitted notes that the leader on this node lets the client have messages.
func (k *Consumer) admitted() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settleAnew()
}

// settled says that the leader has given its signs, unless it leads no longer: then the
// consumer is about to leave it, and the next one is asked. The caller holds k.mu.
func (k *Consumer) settled() {
	if k.at != k.shard.generation.Load() {
		return
	}
	close(k.settling.done)
	k.settling = settling{said: true}
}
