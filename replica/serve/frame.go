package serve

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"qmq/diskqueue"
	"qmq/replica/entry"
)

// Parts travel from the node that they were published on to the leader:
//
//	0       4      12
//	| shard | term | name size u8 | name of the topic | entry with the parts, see package entry |
//	| u32   | u64  |
//
// with the highest bit of shard set, where all parts were stamped by the same settings, and
// behind the name which (u64, see nameOf); and this is what the leader has to say of them, or of itself:
//
//	0      1       5      13      21       29
//	| kind | shard | term | topic | number | reason |
//	| u8   | u32   | u64  | u64   | u64    | u8     |
//
// and behind it, of kind full:
//
//	30        38     39
//	| through | unit | max |
//	| u64     | u8   | i64 |
//
// and behind it, of kind outdated, how far its sender has applied the shard (u64),
// all little-endian. All parts of a frame are of one topic and one member, in order. A
// notice of kind ready tells that its sender leads the shard in the term and takes
// parts; of kind refused, that it did not take the part with the number, nor those
// behind it; of kind full, that it never will take those of the numbers up to through,
// because max messages (unit 1) or bytes (0) are the most that the topic may have; of kind
// outdated, that it takes those from the number on when they are stamped by the settings
// that the topic has by the position that it tells. One of kind repeats the leader is told:
// number more messages of the topic were OK'd as doubles, without being in an entry.
const (
	partsHeader = 4 + 8 + 1
	noticeSize  = 1 + 4 + 8 + 8 + 8 + 1
	limitSize   = 8 + 1 + 8
	appliedSize = 8
	stampSize   = 8
	// withStamp is set in the shard of a frame that says by which settings.
	withStamp = 1 << 31
)

var errFrame = errors.New("malformed frame")

// encodeParts is a frame of parts that were stamped by settings; 0: that is not said.
func encodeParts(shard uint32, term uint64, name string, by uint64, parts []entry.Part) []byte {
	e := entry.Entry{Parts: parts}
	frame := make([]byte, 0, partsHeader+len(name)+stampSize+sizeOf(&e))
	if by != 0 {
		shard |= withStamp
	}
	frame = binary.LittleEndian.AppendUint32(frame, shard)
	frame = binary.LittleEndian.AppendUint64(frame, term)
	frame = append(frame, byte(len(name)))
	frame = append(frame, name...)
	if by != 0 {
		frame = binary.LittleEndian.AppendUint64(frame, by)
	}
	return e.AppendTo(frame)
}

// partsFrame is a frame of parts, whose memory it uses.
type partsFrame struct {
	shard uint32
	term  uint64
	name  string
	by    uint64 // settings by which the parts were stamped; 0: that is not said
	parts []entry.Part
}

func decodeParts(b []byte) (f partsFrame, err error) {
	if len(b) < partsHeader || len(b) < partsHeader+int(b[12]) {
		return f, errFrame
	}
	f.shard, f.term = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
	name := b[partsHeader:][:b[12]]
	f.name = string(name)
	b = b[partsHeader+len(name):]
	if f.shard&withStamp != 0 {
		if len(b) < stampSize {
			return f, errFrame
		}
		f.shard, f.by, b = f.shard&^withStamp, binary.LittleEndian.Uint64(b), b[stampSize:]
	}
	e, err := entry.Decode(b)
	if err != nil {
		return f, err
	}
	if f.parts = e.Parts; len(f.parts) == 0 || len(e.Changes)+len(e.Topology) > 0 {
		return f, errFrame
	}
	first := &f.parts[0]
	if slices.ContainsFunc(f.parts, func(p entry.Part) bool {
		return p.Topic != first.Topic || p.Origin.Member != first.Origin.Member || p.Origin.Epoch != first.Origin.Epoch
	}) {
		return f, errFrame
	}
	return f, nil
}

// check looks at the records of parts from outside: none that a log does not take may
// be agreed on.
func (f *partsFrame) check() error {
	b := batches.Get().(*diskqueue.Batch)
	defer batches.Put(b)
	defer b.Reset()
	for i := range f.parts {
		if err := f.parts[i].ParseInto(b); err != nil {
			return err
		}
	}
	return nil
}

var batches = sync.Pool{New: func() any { return new(diskqueue.Batch) }}

type noticeKind byte

const (
	noticeReady noticeKind = iota + 1
	noticeRefused
	noticeFull     // a member that does not know it hears nothing, and gives up in time
	noticeOutdated // to members alone that said by which settings
	noticeRepeats  // one that does not know it does nothing: its sender does not lead
)

// notice is what the leader tells, or is told.
type notice struct {
	kind  noticeKind
	shard uint32
	term  uint64
	topic uint64
	refused
}

func (n *notice) encode() []byte {
	b := append(make([]byte, 0, noticeSize), byte(n.kind))
	b = binary.LittleEndian.AppendUint32(b, n.shard)
	for _, v := range [...]uint64{n.term, n.topic, n.number} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, byte(n.why))
	switch n.kind {
	case noticeFull:
	case noticeOutdated:
		return binary.LittleEndian.AppendUint64(b, n.applied)
	default:
		return b
	}
	unit := byte(0)
	if n.limit.messages {
		unit = 1
	}
	b = append(binary.LittleEndian.AppendUint64(b, n.limit.through), unit)
	return binary.LittleEndian.AppendUint64(b, uint64(n.limit.max))
}

func decodeNotice(b []byte) (n notice, err error) {
	size := noticeSize
	if len(b) > 0 {
		switch noticeKind(b[0]) {
		case noticeFull:
			size += limitSize
		case noticeOutdated:
			size += appliedSize
		}
	}
	if len(b) != size {
		return n, errFrame
	}
	n = notice{
		kind: noticeKind(b[0]), shard: binary.LittleEndian.Uint32(b[1:]), term: binary.LittleEndian.Uint64(b[5:]),
		topic: binary.LittleEndian.Uint64(b[13:]), refused: refused{number: binary.LittleEndian.Uint64(b[21:]), why: reason(b[29])},
	}
	switch b = b[noticeSize:]; n.kind {
	case noticeOutdated:
		n.applied = binary.LittleEndian.Uint64(b)
	case noticeFull:
		n.limit = limit{through: binary.LittleEndian.Uint64(b), messages: b[8] == 1, max: int64(binary.LittleEndian.Uint64(b[9:]))}
	}
	return n, nil
}
