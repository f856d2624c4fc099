package topic

import (
	"qmq/diskqueue"
	"qmq/message"
)

// Restamp makes the records of a batch, as diskqueue/neutral.go has them, those that it would
// have, had it been stamped by s from the beginning: what was found in bodies goes and is
// looked for anew, and what publishers said stays. s must not be nil. The error wraps
// diskqueue.ErrRecords.
func (s *Stamp) Restamp(records []byte, was diskqueue.Stamped) ([]byte, diskqueue.Stamped, error) {
	again, now := make([]byte, 0, len(records)), diskqueue.Stamped{By: s.by}
	for i := 0; len(records) > 0; i++ {
		n, ok := message.Size(records)
		if !ok || n > len(records) {
			return nil, now, diskqueue.ErrRecords
		}
		var found message.Found
		if len(was.Found) > 0 && was.Found[0].Index == i {
			found, was.Found = was.Found[0].What, was.Found[1:]
		}
		v := message.Decode(records[:n])
		m := s.restamped(&v, found)
		if m.Found != 0 {
			now.Found = append(now.Found, diskqueue.FoundIn{Index: i, What: m.Found})
		}
		again = v.AppendAgain(again, &m)
		records = records[n:]
	}
	return again, now, nil
}

// restamped is what is said of a message of which that was found in its body.
func (s *Stamp) restamped(v *message.View, found message.Found) (m message.Meta) {
	if found&message.FoundKey == 0 {
		m.Key = v.Key()
	}
	if id, ok := v.DedupID(); ok && found&message.FoundDedupID == 0 {
		m.DedupID = &id
	}
	if v.Again() {
		s.ApplyAgain(&m, v.Body)
		return m
	}
	s.Apply(&m, v.Body)
	return m
}
