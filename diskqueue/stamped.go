package diskqueue

import "qmq/message"

// Stamped is by which settings a batch says what its messages' bodies do, and what was
// found in them.
type Stamped struct {
	By    uint64    // names the settings; 0: the batch stays as it is, whatever is set
	Found []FoundIn // ascending by index
}

// FoundIn is what was found in the body of a message.
type FoundIn struct {
	Index int // in the batch
	What  message.Found
}

// Stamped is the batch's; the list is the batch's until its Reset.
func (b *Batch) Stamped() Stamped { return b.stamped }

// SetStamped says by which settings messages are stamped that are going to be added.
func (b *Batch) SetStamped(by uint64) { b.stamped.By = by }

// Restamped says it of a batch that was parsed.
func (b *Batch) Restamped(s Stamped) { b.stamped = s }

// truncate leaves what is said of the first n messages.
func (s *Stamped) truncate(n int) {
	for len(s.Found) > 0 && s.Found[len(s.Found)-1].Index >= n {
		s.Found = s.Found[:len(s.Found)-1]
	}
}
