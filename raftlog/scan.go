package raftlog

import (
	"errors"
	"io"

	"go.etcd.io/raft/v3/raftpb"
)

// fact is what a record says, without the data of entries.
type fact struct {
	kind    kind
	shard   uint32
	at      position // of an entry, a snapshot, the last entry of a state
	place   place
	hard    hardState
	members *raftpb.ConfState
	begin   begin
	session session
}

// parse takes a record's payload apart.
func parse(r record) (f fact, err error) {
	f = fact{kind: r.kind, shard: r.shard, place: place{uint32(r.offset), uint32(len(r.payload))}}
	switch r.kind {
	case kindBegin:
		f.begin, err = decodeBegin(r.payload)
	case kindState:
		var s state
		s, err = decodeState(r.payload)
		f.hard, f.at, f.members = s.hard, s.last, s.members
	case kindEntry:
		var e *raftpb.Entry
		if e, err = decodeEntry(r.payload); err == nil {
			f.at = position{e.GetIndex(), e.GetTerm()}
		}
	case kindHardState:
		f.hard, err = decodeHardState(r.payload)
	case kindSnapshot:
		f.at, f.members, err = decodeSnapshot(r.payload)
	case kindOpened:
		f.session, err = decodeSession(r.payload)
	case kindClosed:
		if len(r.payload) > 0 {
			err = errPayload
		}
	default:
		err = ErrNewer
	}
	return f, err
}

// scanner reads a segment's records, through a window on the file.
type scanner struct {
	f     io.ReaderAt
	salt  uint32
	limit int64 // bytes of the file that may be looked at

	buf   []byte
	start int64 // offset of buf[0]
}

const scanWindow = 1 << 20

// bytes returns n bytes at off, fewer at the limit. They are good until the next call.
func (sc *scanner) bytes(off, n int64) ([]byte, error) {
	if n = min(n, sc.limit-off); n <= 0 {
		return nil, nil
	}
	if off >= sc.start && off+n <= sc.start+int64(len(sc.buf)) {
		return sc.buf[off-sc.start:][:n], nil
	}
	want := min(max(n, scanWindow), sc.limit-off)
	if int64(cap(sc.buf)) < want {
		sc.buf = make([]byte, want)
	}
	sc.buf, sc.start = sc.buf[:want], off
	got, err := sc.f.ReadAt(sc.buf, off)
	sc.buf = sc.buf[:got]
	if int64(got) < want && err != nil && !errors.Is(err, io.EOF) {
		sc.buf = nil
		return nil, &mediumError{err}
	}
	return sc.buf[:min(n, int64(got))], nil
}

// record is the record at off; ok is false if there is no good one.
func (sc *scanner) record(off int64) (r record, ok bool, err error) {
	head, err := sc.bytes(off, recordHeader)
	if err != nil {
		return r, false, err
	}
	if r, ok = decodeRecordHeader(head, sc.salt, off); !ok || off+r.size > sc.limit {
		return r, false, nil
	}
	b, err := sc.bytes(off, r.size)
	if err != nil {
		return r, false, err
	}
	r, ok = decodeRecord(b, sc.salt, off)
	return r, ok, nil
}

// update is the whole update at off, and where the next one begins. Without a
// whole one facts is empty, and next is where the first bad record is.
func (sc *scanner) update(off int64) (facts []fact, synced, next int64, err error) {
	for next = off; ; {
		r, ok, err := sc.record(next)
		if err != nil || !ok || int64(r.synced) > next {
			return nil, 0, next, err
		}
		f, err := parse(r)
		if errors.Is(err, errPayload) {
			return nil, 0, next, nil
		}
		if err != nil {
			return nil, 0, next, err
		}
		facts = append(facts, f)
		synced = max(synced, int64(r.synced))
		next += r.size
		if !r.more {
			return facts, synced, next, nil
		}
	}
}

// rest is what stands behind the last whole update of a segment.
type rest struct {
	bad    int64 // offset of the first record that is not good
	zeros  bool  // the log ends there, as the last write left it
	behind bool  // a record of this use of the file stands behind it
	synced int64 // up to where all was synced when the last of them was written
}

// look tells what stands behind the last whole update, where bad is the first
// record that is not good.
func (sc *scanner) look(end, bad int64) (rest, error) {
	r := rest{bad: bad}
	head, err := sc.bytes(end, recordHeader)
	if err != nil {
		return r, err
	}
	r.zeros = end == bad && allZero(head)
	for off := bad + 8; off+recordHeader <= sc.limit; {
		win, err := sc.bytes(off, min(scanWindow, sc.limit-off))
		if err != nil {
			return r, err
		}
		if len(win) < recordHeader {
			break
		}
		last := len(win) - recordHeader
		for i := 0; i <= last; i += 8 {
			if !mayBeHeader(win[i:]) {
				continue
			}
			if h, ok := decodeRecordHeader(win[i:], sc.salt, off+int64(i)); ok {
				r.behind = true
				r.synced = max(r.synced, int64(h.synced))
			}
		}
		off += int64(last)&^7 + 8
	}
	return r, nil
}

// mayBeHeader is a quick look at what most bytes fail that are none's header.
func mayBeHeader(b []byte) bool { return b[12] != 0 && b[13] <= flagMore && b[14]|b[15] == 0 }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// damaged says that what is not good was on the disk once, and not just about to
// be written.
func (r rest) damaged() bool { return r.synced > r.bad }

// torn says that something stands behind the last whole update.
func (r rest) torn() bool { return !r.zeros || r.behind }
