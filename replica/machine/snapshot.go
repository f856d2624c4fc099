package machine

import (
	"encoding/binary"
	"io"
	"iter"
	"slices"

	"qmq/diskqueue"
	"qmq/internal/crc32c"
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

	m      *Machine
	f      *frozen
	have   map[uint64]uint64
	logs   map[uint64]*topicLog // in use until Close
	next   func() (payload, bool)
	stop   func()
	err    error
	frames uint64
	ended  bool
	sealed bool // records go as segments have them
	dst    []byte
	batch  diskqueue.Batch
}

// Sealed has records go as segments have them, for who knows such frames. It comes before
// the first Next.
func (s *Snapshot) Sealed() { s.sealed = true }

// payload is that of a frame, until the next one: bytes, with the records of a batch
// behind them, or nothing where the frame is in Snapshot.dst already.
type payload struct {
	bytes   []byte
	records *diskqueue.Batch // nil: none
}

// recordsFrame is about how many bytes of records are in a frame.
const recordsFrame = 128 << 10

// Snapshot begins a snapshot for a node that has records up to ends. Who has it
// closes it: until then the logs of topics that are deleted stay.
func (m *Machine) Snapshot(ends []End) *Snapshot {
	s := &Snapshot{m: m, have: make(map[uint64]uint64, len(ends)), logs: make(map[uint64]*topicLog)}
	for _, e := range ends {
		s.have[e.Topic] = e.Next
	}
	m.mu.Lock()
	s.f = m.s.freeze()
	if m.unseen() { // what it is about to be is not known
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
	s.dst = dst
	if p, ok := s.next(); ok {
		s.frames++
		if p.bytes == nil {
			return s.dst, nil
		}
		return p.appendTo(s.dst), nil
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

// appendTo appends the frame. Records are copied once.
func (p payload) appendTo(dst []byte) []byte {
	if p.records == nil {
		return appendFrame(dst, 0, p.bytes)
	}
	size := len(p.bytes) + p.records.Bytes()
	dst = slices.Grow(dst, frameHeader+size)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = p.records.AppendRecords(append(dst, p.bytes...))
	binary.LittleEndian.PutUint32(dst[at:], crc32c.Update(0, dst[at+4:]))
	return dst
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
func (s *Snapshot) payloads() iter.Seq[payload] {
	return func(yield func(payload) bool) {
		if s.err != nil {
			return
		}
		for bytes := range s.f.frames(s.m.o.Shard) {
			if !yield(payload{bytes: bytes}) {
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
func (s *Snapshot) records(t *topic, yield func(payload) bool) bool {
	var log *diskqueue.Log
	if log, s.err = s.logs[t.st.Incarnation].open(s.m, t.next); s.err != nil {
		return false
	}
	r := log.NewReader()
	defer r.Release()
	for from := max(s.have[t.st.Incarnation], log.Start()); from < t.next; {
		if s.sealed {
			frame, next := appendSealed(s.dst, r, t.st.Incarnation, from, t.next)
			if s.dst = frame; next > from {
				if from = next; !yield(payload{}) {
					return false
				}
				continue
			}
		}
		first, next, err := r.ReadInto(&s.batch, from, t.next, recordsFrame)
		if err != nil {
			s.err = err
			return false
		}
		if from = next; s.batch.Len() == 0 {
			continue
		}
		head := binary.AppendUvarint(binary.AppendUvarint([]byte{frameRecords}, t.st.Incarnation), first)
		if !yield(payload{head, &s.batch}) {
			return false
		}
	}
	return true
}
