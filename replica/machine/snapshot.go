package machine

import (
	"encoding/binary"
	"io"
	"iter"

	"qmq/diskqueue"
)

// End is up to where a node has the records of a topic.
type End struct {
	Topic uint64 // incarnation
	Next  uint64 // one past the last
}

// Ends is what the one who is to install a snapshot tells the one who makes it.
func (m *Machine) Ends() []End {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends := make([]End, 0, len(m.s.topics))
	for id, t := range m.s.topics {
		ends = append(ends, End{id, t.next})
	}
	return ends
}

// Snapshot is the state at an index and the records that a node lacks, as a stream
// of frames. It belongs to one goroutine; applying goes on meanwhile.
type Snapshot struct {
	// Index, Term and Members are those of the state.
	Index, Term uint64
	Members     []byte

	m       *Machine
	f       *frozen
	have    map[uint64]uint64
	logs    map[uint64]*topicLog // in use until Close
	next    func() ([]byte, bool)
	stop    func()
	err     error
	frames  uint64
	ended   bool
	scratch []byte
}

// recordsFrame is about how many bytes of records are in a frame.
const recordsFrame = 512 << 10

// Snapshot begins a snapshot for a node that has records up to ends. Who has it
// closes it: until then the logs of topics that are deleted stay.
func (m *Machine) Snapshot(ends []End) *Snapshot {
	s := &Snapshot{m: m, have: make(map[uint64]uint64, len(ends)), logs: make(map[uint64]*topicLog)}
	for _, e := range ends {
		s.have[e.Topic] = e.Next
	}
	m.mu.Lock()
	s.f = m.s.freeze()
	if m.installing { // what it is about to be is not known
		s.err = errInstalling
	} else {
		for id, tl := range m.logs {
			tl.users++
			s.logs[id] = tl
		}
	}
	m.mu.Unlock()
	s.Index, s.Term, s.Members = s.f.shard.index, s.f.shard.term, s.f.shard.members
	s.next, s.stop = iter.Pull(s.payloads())
	return s
}

// Next appends the next frame to dst; io.EOF is behind the last. Any other error
// is of a log, and ends the snapshot.
func (s *Snapshot) Next(dst []byte) ([]byte, error) {
	if payload, ok := s.next(); ok {
		s.frames++
		return appendFrame(dst, 0, payload), nil
	}
	if s.err != nil {
		return dst, s.err
	}
	if s.ended {
		return dst, io.EOF
	}
	s.ended = true
	return appendFrame(dst, 0, binary.AppendUvarint([]byte{frameEnd}, s.frames)), nil
}

// Close ends the snapshot, whole or not.
func (s *Snapshot) Close() {
	s.stop()
	for _, tl := range s.logs {
		s.m.release(tl)
	}
	s.logs = nil
}

// payloads are those of the state, and those of the records.
func (s *Snapshot) payloads() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if s.err != nil {
			return
		}
		for payload := range s.f.frames(s.m.o.Shard) {
			if !yield(payload) {
				return
			}
		}
		for i := range s.f.topics {
			if !s.records(&s.f.topics[i], yield) {
				return
			}
		}
	}
}

// records passes on what the receiver lacks of a topic, as far as it is there. It
// returns false when that is enough, or at an error.
func (s *Snapshot) records(t *topic, yield func([]byte) bool) bool {
	var log *diskqueue.Log
	if log, s.err = s.logs[t.st.Incarnation].open(s.m, t.next); s.err != nil {
		return false
	}
	r := log.NewReader()
	defer r.Release()
	for from := max(s.have[t.st.Incarnation], log.Start()); from < t.next; {
		b, first, next, err := r.ReadBatch(from, t.next, recordsFrame)
		if err != nil {
			s.err = err
			return false
		}
		if from = next; b.Len() == 0 {
			continue
		}
		s.scratch = append(s.scratch[:0], frameRecords)
		s.scratch = binary.AppendUvarint(s.scratch, t.st.Incarnation)
		s.scratch = binary.AppendUvarint(s.scratch, first)
		if s.scratch = b.AppendRecords(s.scratch); !yield(s.scratch) {
			return false
		}
	}
	return true
}
