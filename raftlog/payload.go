package raftlog

import (
	"encoding/binary"
	"errors"

	"go.etcd.io/raft/v3/raftpb"
)

// What the records hold, little-endian. hard is a hard state: term u64, vote u64,
// commit u64. members is a ConfState: a byte that is 1 if there is one, and then
// four counts u32 (voters, learners, outgoing voters, next learners), a byte that
// is 1 to leave a joint state by itself, and the ids, u64 each, in that order.
// session is who writes: flags u8 (1: without syncs, 2: something that was
// acknowledged may be missing, 4: a torn end was cut off, and what it may have had
// is not known to be back), the rest is the boot that it runs in.
//
//	begin      number of the segment before u64 (0: none) │ where that ends u64 │ session
//	state      hard │ last index u64 │ its term u64 │ members
//	entry      term u64 │ index u64 │ type u8 │ data
//	hard state hard
//	snapshot   index u64 │ term u64 │ members
//	opened     session
//	closed     nothing
//
// A segment's first update is a begin and a state of every shard that there is:
// what the segments before it have come to. It takes their place when they go.
const (
	hardSize  = 24
	entryHead = 17
)

var errPayload = errors.New("the payload of a record makes no sense")

// hardState is raft's, as a value.
type hardState struct{ term, vote, commit uint64 }

func hardStateOf(h *raftpb.HardState) hardState {
	return hardState{h.GetTerm(), h.GetVote(), h.GetCommit()}
}

func (h hardState) message() *raftpb.HardState {
	return &raftpb.HardState{Term: new(h.term), Vote: new(h.vote), Commit: new(h.commit)}
}

// position is an index of a log and the term of the entry there.
type position struct{ index, term uint64 }

// session is what a process says of itself.
type session struct {
	noSync bool
	doubt  bool
	short  bool
	boot   string
}

// begin says what a segment follows.
type begin struct {
	previous uint64 // number; 0: none
	end      int64  // of it
	session  session
}

// state is what a shard is when a segment begins.
type state struct {
	hard    hardState
	last    position
	members *raftpb.ConfState // of the last snapshot; nil: there was none
}

func (e *encoder) begun(b begin) {
	e.begin(kindBegin, 0)
	e.u64(b.previous)
	e.u64(uint64(b.end))
	e.session(b.session)
	e.end()
}

func (e *encoder) state(shard uint32, s state) {
	e.begin(kindState, shard)
	e.hard(s.hard)
	e.u64(s.last.index)
	e.u64(s.last.term)
	e.members(s.members)
	e.end()
}

func (e *encoder) entry(shard uint32, ent *raftpb.Entry) {
	e.begin(kindEntry, shard)
	e.u64(ent.GetTerm())
	e.u64(ent.GetIndex())
	e.buf = append(e.buf, byte(ent.GetType()))
	e.data(ent.GetData())
	if long := e.longOfLast(); long != nil && e.sum != nil && ent.GetType() == raftpb.EntryNormal {
		long.sum, long.known = e.sum(shard, long.data)
	}
	e.end()
}

func (e *encoder) hardState(shard uint32, h hardState) {
	e.begin(kindHardState, shard)
	e.hard(h)
	e.end()
}

func (e *encoder) snapshot(shard uint32, m *raftpb.SnapshotMetadata) {
	e.begin(kindSnapshot, shard)
	e.u64(m.GetIndex())
	e.u64(m.GetTerm())
	e.members(m.GetConfState())
	e.end()
}

func (e *encoder) opened(s session) {
	e.begin(kindOpened, 0)
	e.session(s)
	e.end()
}

func (e *encoder) closed() {
	e.begin(kindClosed, 0)
	e.end()
}

func (e *encoder) u64(v uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }

func (e *encoder) hard(h hardState) {
	e.u64(h.term)
	e.u64(h.vote)
	e.u64(h.commit)
}

func (e *encoder) session(s session) {
	var flags byte
	if s.noSync {
		flags |= 1
	}
	if s.doubt {
		flags |= 2
	}
	if s.short {
		flags |= 4
	}
	e.buf = append(append(e.buf, flags), s.boot...)
}

func (e *encoder) members(cs *raftpb.ConfState) {
	if cs == nil {
		e.buf = append(e.buf, 0)
		return
	}
	e.buf = append(e.buf, 1)
	lists := [...][]uint64{cs.GetVoters(), cs.GetLearners(), cs.GetVotersOutgoing(), cs.GetLearnersNext()}
	for _, ids := range lists {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(len(ids)))
	}
	leave := byte(0)
	if cs.GetAutoLeave() {
		leave = 1
	}
	e.buf = append(e.buf, leave)
	for _, ids := range lists {
		for _, id := range ids {
			e.u64(id)
		}
	}
}

// sizeOfUpdate is what its records take at most.
func sizeOfUpdate(u *Update) int64 {
	size := recordSize(hardSize) + recordSize(len(u.session.boot)+1)
	for _, ent := range u.Entries {
		size += recordSize(entryHead + len(ent.GetData()))
	}
	if u.Snapshot != nil {
		size += recordSize(16 + sizeOfMembers(u.Snapshot.GetConfState()))
	}
	return size
}

func sizeOfMembers(cs *raftpb.ConfState) int {
	ids := len(cs.GetVoters()) + len(cs.GetLearners()) + len(cs.GetVotersOutgoing()) + len(cs.GetLearnersNext())
	return 18 + 8*ids
}

// reader takes a payload apart. What is missing reads as zero, and bad says so.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n&0xff)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u8() byte    { return r.bytes(1)[0] }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *reader) hard() hardState { return hardState{r.u64(), r.u64(), r.u64()} }

func (r *reader) session() session {
	flags := r.u8()
	r.bad = r.bad || flags > 7
	boot := string(r.b)
	r.b = nil
	return session{noSync: flags&1 != 0, doubt: flags&2 != 0, short: flags&4 != 0, boot: boot}
}

func (r *reader) members() *raftpb.ConfState {
	switch r.u8() {
	case 0:
		return nil
	case 1:
	default:
		r.bad = true
		return nil
	}
	var counts [4]uint32
	total := uint64(0)
	for i := range counts {
		counts[i] = r.u32()
		total += uint64(counts[i])
	}
	leave := r.u8()
	if r.bad || leave > 1 || total*8 != uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	ids := func(n uint32) (list []uint64) {
		for range n {
			list = append(list, r.u64())
		}
		return list
	}
	return &raftpb.ConfState{
		Voters: ids(counts[0]), Learners: ids(counts[1]), VotersOutgoing: ids(counts[2]), LearnersNext: ids(counts[3]),
		AutoLeave: new(leave == 1),
	}
}

// done is the error of a payload that was too short, too long, or wrong.
func (r *reader) done() error {
	if r.bad || len(r.b) > 0 {
		return errPayload
	}
	return nil
}

func decodeBegin(p []byte) (begin, error) {
	r := reader{b: p}
	b := begin{previous: r.u64(), end: int64(r.u64()), session: r.session()}
	return b, r.done()
}

func decodeState(p []byte) (state, error) {
	r := reader{b: p}
	s := state{hard: r.hard(), last: position{index: r.u64(), term: r.u64()}, members: r.members()}
	return s, r.done()
}

func decodeHardState(p []byte) (hardState, error) {
	r := reader{b: p}
	h := r.hard()
	return h, r.done()
}

func decodeSnapshot(p []byte) (position, *raftpb.ConfState, error) {
	r := reader{b: p}
	at := position{index: r.u64(), term: r.u64()}
	members := r.members()
	return at, members, r.done()
}

func decodeSession(p []byte) (session, error) {
	r := reader{b: p}
	s := r.session()
	return s, r.done()
}

// decodeEntry's data is part of p.
func decodeEntry(p []byte) (*raftpb.Entry, error) {
	r := reader{b: p}
	e := &raftpb.Entry{Term: new(r.u64()), Index: new(r.u64())}
	t := raftpb.EntryType(r.u8())
	if r.bad || t > raftpb.EntryConfChangeV2 {
		return nil, errPayload
	}
	if t != raftpb.EntryNormal {
		e.Type = &t
	}
	if len(r.b) > 0 {
		e.Data = r.b
	}
	return e, nil
}

// entrySize is what raft counts an entry of that kind as: its encoding's bytes.
func entrySize(e *raftpb.Entry) uint64 {
	n := uint64(2) + varint(e.GetTerm()) + varint(e.GetIndex())
	if e.Type != nil {
		n += 2
	}
	if d := uint64(len(e.GetData())); e.Data != nil {
		n += 1 + varint(d) + d
	}
	return n
}

// varint is how many bytes v takes in protobuf.
func varint(v uint64) (n uint64) {
	for n = 1; v >= 0x80; n++ {
		v >>= 7
	}
	return n
}
