package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"qmq/internal/seqset"
)

// A frame's payload is one record: a msgpack array whose first element is its
// kind, so that its first two bytes are 0x90|length and the kind.
//
//	[1, [[op, topic, channel, name, start, fanOut, voidFrom, voidTo, unlearnt], …]]     entries of one Commit
//	[2, topic, channel, version, full, floor, cursor, acked bin, open bin]              changes of one channel
//	[3, topic, name, paused, fanOut, voids bin, [[channel, name, paused, start, done], …],
//	    start, unlearnt, givenUp bin, syncedEnd, writtenEnd]                            checkpoint: a topic
//	[4, records, topics, channels, maxIncarnation]                                      checkpoint: its end
//	[5, boot, before, beforeEnd]                                                        first in each file
//	[6, [[topic, syncedEnd, writtenEnd], …]]                                            ends of topics' logs
//	[7, [name, …]]                                                                      checkpoint: acknowledged damage
//	[8, end]                                                                            this log was synced up to there
//
// In the first record of a file boot is the machine's boot, before the number
// of the log that was written until then (0: none) and beforeEnd a length that
// this log had at least, on the disk, so that its loss is noticed. When power is
// lost, what was not synced reaches the disk in any order and with holes: only
// what is unreadable below a synced end is damage.
//
// The ranges in acked, voids and givenUp, ascending or not, are pairs of
//
//	varint (from - end of the range before; the first: - floor) | uvarint (length)
//
// and the messages in open are
//
//	varint (seq - seq before; the first: - floor) | uvarint (attempts<<1 | has due) | [varint (due - due before; the first: - 0)]
//
// Elements may be added at the end of an array; readers skip those they do not
// know, and whole records of kinds they do not know.
type kind uint8

const (
	kindEntries kind = iota + 1
	kindChanges
	kindTopic
	kindEnd
	kindFirst
	kindEnds
	kindAcknowledged
	kindSynced
)

type entriesRecord struct {
	Kind    kind
	Entries []entryRecord
}

type entryRecord struct {
	Op       Op
	Topic    uint64
	Channel  uint64
	Name     string
	Start    uint64
	FanOut   uint64
	VoidFrom uint64
	VoidTo   uint64
	Unlearnt bool
}

type changesRecord struct {
	Kind    kind
	Topic   uint64
	Channel uint64
	Version uint64
	Full    bool
	Floor   uint64
	Cursor  uint64
	Acked   []byte
	Open    []byte
}

type topicRecord struct {
	Kind        kind
	Incarnation uint64
	Name        string
	Paused      bool
	FanOut      uint64
	Voids       []byte
	Channels    []channelRecord
	Start       uint64
	Unlearnt    bool
	GivenUp     []byte
	SyncedEnd   uint64
	WrittenEnd  uint64
}

type channelRecord struct {
	Incarnation uint64
	Name        string
	Paused      bool
	Start       uint64
	Done        uint64
}

type endRecord struct {
	Kind           kind
	Records        uint64 // before this one
	Topics         uint64
	Channels       uint64
	MaxIncarnation uint64
}

type firstRecord struct {
	Kind      kind
	Boot      string
	Before    uint64
	BeforeEnd int64
}

type endsRecord struct {
	Kind kind
	Ends []topicEnd
}

// topicEnd is up to where (exclusive) a topic's log is synced and written.
type topicEnd struct {
	Topic           uint64
	Synced, Written uint64
}

type acknowledgedRecord struct {
	Kind  kind
	Names []string
}

type syncedRecord struct {
	Kind kind
	End  int64
}

func msgpack() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	h.StructToArray = true
	return h
}

// encoder turns records into payloads. A payload is valid until the next call.
type encoder struct {
	enc     *codec.Encoder
	out     []byte
	ranges  []byte
	open    []byte
	givenUp []byte
	entries entriesRecord
	change  changesRecord
	topic   topicRecord
	end     endRecord
}

func newEncoder() *encoder {
	e := &encoder{out: make([]byte, 0, 1024), ranges: []byte{}, open: []byte{}, givenUp: []byte{}}
	e.enc = codec.NewEncoderBytes(&e.out, msgpack())
	return e
}

// encode cannot fail: it writes into memory, and every type is known.
func (e *encoder) encode(record any) []byte {
	e.out = trim(e.out)
	e.enc.ResetBytes(&e.out)
	e.enc.MustEncode(record)
	return e.out
}

// trim empties a buffer for the next record, and lets go of one that a huge
// record made grow.
func trim(b []byte) []byte {
	if cap(b) > keepBuffer {
		return make([]byte, 0, 1024)
	}
	return b[:0]
}

func (e *encoder) commit(entries []Entry) []byte {
	r := &e.entries
	r.Kind, r.Entries = kindEntries, r.Entries[:0]
	for _, n := range entries {
		r.Entries = append(r.Entries, entryRecord{
			Op: n.Op, Topic: n.Topic, Channel: n.Channel, Name: n.Name,
			Start: n.Start, FanOut: n.FanOut, VoidFrom: n.Void.From, VoidTo: n.Void.To,
			Unlearnt: n.Unlearnt,
		})
	}
	return e.encode(r)
}

func (e *encoder) changes(ch ChannelChanges) []byte {
	e.ranges = appendRanges(trim(e.ranges), ch.Floor, ch.Acked)
	e.open = appendOpen(trim(e.open), ch.Floor, ch.Open)
	e.change = changesRecord{
		Kind: kindChanges, Topic: ch.Topic, Channel: ch.Channel, Version: ch.Version, Full: ch.Full,
		Floor: ch.Floor, Cursor: ch.Cursor, Acked: e.ranges, Open: e.open,
	}
	return e.encode(&e.change)
}

func (e *encoder) topicState(t *TopicState) []byte {
	e.ranges = appendRanges(e.ranges[:0], 0, t.Voids)
	e.givenUp = appendRanges(e.givenUp[:0], 0, t.GivenUp)
	channels := e.topic.Channels[:0]
	for _, c := range t.Channels {
		channels = append(channels, channelRecord{
			Incarnation: c.Incarnation, Name: c.Name, Paused: c.Paused, Start: c.Start, Done: c.done,
		})
	}
	e.topic = topicRecord{
		Kind: kindTopic, Incarnation: t.Incarnation, Name: t.Name, Paused: t.Paused,
		FanOut: t.FanOut, Voids: e.ranges, Channels: channels,
		Start: t.Start, Unlearnt: t.Unlearnt, GivenUp: e.givenUp,
		SyncedEnd: t.SyncedEnd, WrittenEnd: t.WrittenEnd,
	}
	return e.encode(&e.topic)
}

func (e *encoder) first(boot string, before uint64, beforeEnd int64) []byte {
	return e.encode(&firstRecord{Kind: kindFirst, Boot: boot, Before: before, BeforeEnd: beforeEnd})
}

func (e *encoder) ends(ends []topicEnd) []byte {
	return e.encode(&endsRecord{Kind: kindEnds, Ends: ends})
}

func (e *encoder) synced(end int64) []byte {
	return e.encode(&syncedRecord{Kind: kindSynced, End: end})
}

func (e *encoder) acknowledged(names []string) []byte {
	return e.encode(&acknowledgedRecord{Kind: kindAcknowledged, Names: names})
}

func (e *encoder) endOf(records, topics, channels, maxIncarnation uint64) []byte {
	e.end = endRecord{
		Kind: kindEnd, Records: records, Topics: topics, Channels: channels, MaxIncarnation: maxIncarnation,
	}
	return e.encode(&e.end)
}

// errRecord is a record whose checksum is right and whose content is not.
var errRecord = errors.New("malformed record")

// decoder turns payloads back. What a call returns is valid until the next.
type decoder struct {
	dec    *codec.Decoder
	change changesRecord
	ranges []seqset.Range
	open   []OpenMessage
}

func newDecoder() *decoder {
	return &decoder{dec: codec.NewDecoderBytes(nil, msgpack())}
}

func (d *decoder) decode(payload []byte, record any) error {
	d.dec.ResetBytes(payload)
	if err := d.dec.Decode(record); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

func (d *decoder) entries(payload []byte) ([]Entry, error) {
	var r entriesRecord
	if err := d.decode(payload, &r); err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(r.Entries))
	for _, n := range r.Entries {
		entries = append(entries, Entry{
			Op: n.Op, Topic: n.Topic, Channel: n.Channel, Name: n.Name, Start: n.Start, FanOut: n.FanOut,
			Void: seqset.Range{From: n.VoidFrom, To: n.VoidTo}, Unlearnt: n.Unlearnt,
		})
	}
	return entries, nil
}

func (d *decoder) changes(payload []byte) (ChannelChanges, error) {
	r := &d.change
	*r = changesRecord{Acked: r.Acked[:0], Open: r.Open[:0]}
	if err := d.decode(payload, r); err != nil {
		return ChannelChanges{}, err
	}
	var err error
	if d.ranges, err = parseRanges(d.ranges[:0], r.Floor, r.Acked); err != nil {
		return ChannelChanges{}, err
	}
	if d.open, err = parseOpen(d.open[:0], r.Floor, r.Open); err != nil {
		return ChannelChanges{}, err
	}
	return ChannelChanges{
		Topic: r.Topic, Channel: r.Channel, Version: r.Version, Full: r.Full,
		Floor: r.Floor, Cursor: r.Cursor, Acked: d.ranges, Open: d.open,
	}, nil
}

func (d *decoder) topicState(payload []byte) (*TopicState, error) {
	var r topicRecord
	if err := d.decode(payload, &r); err != nil {
		return nil, err
	}
	voids, err := parseRanges(nil, 0, r.Voids)
	if err != nil {
		return nil, err
	}
	givenUp, err := parseRanges(nil, 0, r.GivenUp)
	if err != nil {
		return nil, err
	}
	t := &TopicState{
		Incarnation: r.Incarnation, Name: r.Name, Paused: r.Paused, FanOut: r.FanOut,
		Voids: voids, Channels: make(map[uint64]*ChannelState, len(r.Channels)),
		Start: r.Start, Unlearnt: r.Unlearnt, GivenUp: givenUp,
		SyncedEnd: r.SyncedEnd, WrittenEnd: r.WrittenEnd,
	}
	for _, c := range r.Channels {
		t.Channels[c.Incarnation] = &ChannelState{
			Incarnation: c.Incarnation, Name: c.Name, Paused: c.Paused, Start: c.Start, done: max(c.Start, c.Done),
		}
	}
	return t, nil
}

func (d *decoder) first(payload []byte) (firstRecord, error) {
	var r firstRecord
	err := d.decode(payload, &r)
	return r, err
}

func (d *decoder) ends(payload []byte) ([]topicEnd, error) {
	var r endsRecord
	err := d.decode(payload, &r)
	return r.Ends, err
}

func (d *decoder) synced(payload []byte) (end int64, err error) {
	var r syncedRecord
	err = d.decode(payload, &r)
	return r.End, err
}

func (d *decoder) acknowledged(payload []byte) ([]string, error) {
	var r acknowledgedRecord
	err := d.decode(payload, &r)
	return r.Names, err
}

func (d *decoder) endOf(payload []byte) (endRecord, error) {
	var r endRecord
	err := d.decode(payload, &r)
	return r, err
}

func appendRanges(b []byte, before uint64, ranges []seqset.Range) []byte {
	for _, r := range ranges {
		if r.From >= r.To {
			continue
		}
		b = binary.AppendVarint(b, int64(r.From-before))
		b = binary.AppendUvarint(b, r.To-r.From)
		before = r.To
	}
	return b
}

func parseRanges(ranges []seqset.Range, before uint64, b []byte) ([]seqset.Range, error) {
	for len(b) > 0 {
		gap, n := binary.Varint(b)
		if n <= 0 {
			return ranges, errRecord
		}
		size, m := binary.Uvarint(b[n:])
		from := before + uint64(gap)
		if m <= 0 || size == 0 || from+size < from {
			return ranges, errRecord
		}
		ranges = append(ranges, seqset.Range{From: from, To: from + size})
		before, b = from+size, b[n+m:]
	}
	return ranges, nil
}

func appendOpen(b []byte, before uint64, open []OpenMessage) []byte {
	var due int64
	for _, o := range open {
		b = binary.AppendVarint(b, int64(o.Seq-before))
		before = o.Seq
		if o.Due == 0 {
			b = binary.AppendUvarint(b, uint64(o.Attempts)<<1)
			continue
		}
		b = binary.AppendUvarint(b, uint64(o.Attempts)<<1|1)
		b = binary.AppendVarint(b, o.Due-due)
		due = o.Due
	}
	return b
}

func parseOpen(open []OpenMessage, before uint64, b []byte) ([]OpenMessage, error) {
	var due int64
	for len(b) > 0 {
		gap, n := binary.Varint(b)
		if n <= 0 {
			return open, errRecord
		}
		b = b[n:]
		word, n := binary.Uvarint(b)
		if n <= 0 || word>>1 > 0xffff {
			return open, errRecord
		}
		b = b[n:]
		o := OpenMessage{Seq: before + uint64(gap), Attempts: uint16(word >> 1)}
		before = o.Seq
		if word&1 != 0 {
			later, n := binary.Varint(b)
			if n <= 0 {
				return open, errRecord
			}
			b = b[n:]
			due += later
			o.Due = due
		}
		open = append(open, o)
	}
	return open, nil
}
