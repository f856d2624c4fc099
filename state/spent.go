package state

// A message whose last delivery has ended waits for nothing but its way to the
// dead-letter topic. It is an OpenMessage whose Due is below 0:
//
//	-(when that delivery ended, ms since 1970 << 1 | how: 0 timed out, 1 given back)
//
// A version that does not know of it takes it for a message that is due, and delivers it.

// SpentDue is the Due of a message whose last delivery ended then (ms since 1970, above 0).
func SpentDue(ended int64, requeued bool) int64 {
	due := -ended << 1
	if requeued {
		due--
	}
	return due
}

// Spent says when and how the last delivery of a message ended; ok is false when it may
// be delivered again.
func (o *OpenMessage) Spent() (ended int64, requeued, ok bool) {
	return -o.Due >> 1, -o.Due&1 == 1, o.Due < 0
}
