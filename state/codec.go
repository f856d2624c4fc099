package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"qmq/internal/seqset"
)

// A record is a msgpack array whose first element is its kind, so that its
// first two bytes are 0x90|length and the kind.
//
//	[1, [[op, topic, channel, name, start, fanOut, voidFrom, voidTo, unlearnt], …]]     entries of one Commit
//	[2, topic, channel, version, full, floor, cursor, acked bin, open bin]              changes of one channel
//	[3, topic, name, paused, fanOut, voids bin, [[channel, name, paused, start, done, settings, never bin, rewound, until, leaves], …],
//	    start, unlearnt, givenUp bin, syncedEnd, writtenEnd, settings, retained]                  a topic, without its channels' state
//	[6, [[topic, syncedEnd, writtenEnd], …]]                                            ends of topics' logs
//	[7, [name, …]]                                                                      acknowledged damage
//
// Kinds 4, 5 and 8 tell of the files that records are kept in: they are those of
// the package that keeps them. The ranges in acked, voids, givenUp and never, ascending
// or not, are pairs of
//
//	varint (from - end of the range before; the first: - floor) | uvarint (length)
//
// and the messages in open are
//
//	varint (seq - seq before; the first: - floor) | uvarint (attempts<<1 | has due) | [varint (due - due before; the first: - 0)]
//
// where a due below 0 is of a message that waits for nothing but the dead-letter topic, see
// SpentDue.
//
// Elements may be added at the end of an array; readers skip those they do not
// know, and whole records of kinds they do not know.

// Kind is the first element of a record. Numbers are on disk: never reuse one.
type Kind uint8

// The kinds of this package's records.
const (
	KindEntries      Kind = 1
	KindChanges      Kind = 2
	KindTopic        Kind = 3
	KindEnds         Kind = 6
	KindAcknowledged Kind = 7
)

// KindOf is the kind of a record of at least two bytes.
func KindOf(record []byte) Kind { return Kind(record[1]) }

type entriesRecord struct {
	Kind    Kind
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
	Kind    Kind
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
	Kind        Kind
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
	Settings    string
	Retained    uint64
}

type channelRecord struct {
	Incarnation uint64
	Name        string
	Paused      bool
	Start       uint64
	Done        uint64
	Settings    string
	Never       []byte
	Rewound     uint64
	Until       uint64
	Leaves      bool
}

type endsRecord struct {
	Kind Kind
	Ends []TopicEnd
}

// TopicEnd is up to where (exclusive) a topic's log is synced and written.
type TopicEnd struct {
	Topic           uint64
	Synced, Written uint64
}

type acknowledgedRecord struct {
	Kind  Kind
	Names []string
}

func msgpack() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	h.StructToArray = true
	return h
}

// maxKeptBuffer is how large a buffer may stay between records.
const maxKeptBuffer = 1 << 20

// Encoder encodes records. One is valid until the next call.
type Encoder struct {
	enc     *codec.Encoder
	out     []byte
	ranges  []byte
	open    []byte
	givenUp []byte
	entries entriesRecord
	change  changesRecord
	topic   topicRecord
}

// NewEncoder returns an Encoder that is ready for use.
func NewEncoder() *Encoder {
	e := &Encoder{out: make([]byte, 0, 1024), ranges: []byte{}, open: []byte{}, givenUp: []byte{}}
	e.enc = codec.NewEncoderBytes(&e.out, msgpack())
	return e
}

// Encode encodes a struct whose first field is its Kind as a record. It cannot
// fail: it writes into memory, and every type is known.
func (e *Encoder) Encode(record any) []byte {
	e.out = trim(e.out)
	e.enc.ResetBytes(&e.out)
	e.enc.MustEncode(record)
	return e.out
}

// trim empties a buffer for the next record, and lets go of one that a huge
// record made grow.
func trim(b []byte) []byte {
	if cap(b) > maxKeptBuffer {
		return make([]byte, 0, 1024)
	}
	return b[:0]
}

// Entries is a record of entries that are applied all or none.
func (e *Encoder) Entries(entries []Entry) []byte {
	r := &e.entries
	r.Kind, r.Entries = KindEntries, r.Entries[:0]
	for _, n := range entries {
		r.Entries = append(r.Entries, entryRecord{
			Op: n.Op, Topic: n.Topic, Channel: n.Channel, Name: n.Name,
			Start: n.Start, FanOut: n.FanOut, VoidFrom: n.Void.From, VoidTo: n.Void.To,
			Unlearnt: n.Unlearnt,
		})
	}
	return e.Encode(r)
}

// Changes is a record of a channel's changes.
func (e *Encoder) Changes(ch ChannelChanges) []byte {
	e.ranges = appendRanges(trim(e.ranges), ch.Floor, ch.Acked)
	e.open = appendOpen(trim(e.open), ch.Floor, ch.Open)
	e.change = changesRecord{
		Kind: KindChanges, Topic: ch.Topic, Channel: ch.Channel, Version: ch.Version, Full: ch.Full,
		Floor: ch.Floor, Cursor: ch.Cursor, Acked: e.ranges, Open: e.open,
	}
	return e.Encode(&e.change)
}

// Topic is a record of a topic and the names of its channels; their state is in
// records of its own.
func (e *Encoder) Topic(t *Topic) []byte {
	e.ranges = appendRanges(e.ranges[:0], 0, t.Voids)
	e.givenUp = appendRanges(e.givenUp[:0], 0, t.GivenUp)
	channels := e.topic.Channels[:0]
	for _, id := range slices.Sorted(maps.Keys(t.Channels)) {
		c := t.Channels[id]
		channels = append(channels, channelRecord{
			Incarnation: c.Incarnation, Name: c.Name, Paused: c.Paused, Start: c.Start, Done: c.done, Settings: c.Settings,
			Never: appendRanges(nil, 0, c.Never), Rewound: c.Rewound, Until: c.Until, Leaves: c.Leaves,
		})
	}
	e.topic = topicRecord{
		Kind: KindTopic, Incarnation: t.Incarnation, Name: t.Name, Paused: t.Paused,
		FanOut: t.FanOut, Voids: e.ranges, Channels: channels,
		Start: t.Start, Unlearnt: t.Unlearnt, GivenUp: e.givenUp,
		SyncedEnd: t.SyncedEnd, WrittenEnd: t.WrittenEnd, Settings: t.Settings, Retained: t.Retained,
	}
	return e.Encode(&e.topic)
}

// Ends is a record of how far topics' logs are known to reach.
func (e *Encoder) Ends(ends []TopicEnd) []byte {
	return e.Encode(&endsRecord{Kind: KindEnds, Ends: ends})
}

// Acknowledged is a record of State.Acknowledged.
func (e *Encoder) Acknowledged(names []string) []byte {
	return e.Encode(&acknowledgedRecord{Kind: KindAcknowledged, Names: names})
}

// changesHead is how a record of KindChanges begins that has no element that
// this version does not know.
var changesHead = [2]byte{0x90 | 9, byte(KindChanges)}

// KnowsChanges says whether a record is of KindChanges and holds nothing that
// Decoder.Changes would skip.
func KnowsChanges(record []byte) bool {
	return len(record) >= 2 && [2]byte(record) == changesHead
}

// ErrRecord is a record whose checksum is right and whose content is not.
var ErrRecord = errors.New("malformed record")

// Decoder decodes records. What a call returns is valid until the next.
type Decoder struct {
	dec    *codec.Decoder
	change changesRecord
	ranges []seqset.Range
	open   []OpenMessage
}

// NewDecoder returns a Decoder that is ready for use.
func NewDecoder() *Decoder {
	return &Decoder{dec: codec.NewDecoderBytes(nil, msgpack())}
}

// Decode decodes a record into what Encoder.Encode was given.
func (d *Decoder) Decode(record []byte, into any) error {
	d.dec.ResetBytes(record)
	if err := d.dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}

// Entries decodes a record of KindEntries.
func (d *Decoder) Entries(record []byte) ([]Entry, error) {
	var r entriesRecord
	if err := d.Decode(record, &r); err != nil {
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

// Changes decodes a record of KindChanges.
func (d *Decoder) Changes(record []byte) (ChannelChanges, error) {
	r := &d.change
	*r = changesRecord{Acked: r.Acked[:0], Open: r.Open[:0]}
	if err := d.Decode(record, r); err != nil {
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

// Topic decodes a record of KindTopic.
func (d *Decoder) Topic(record []byte) (*Topic, error) {
	var r topicRecord
	if err := d.Decode(record, &r); err != nil {
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
	t := &Topic{
		Incarnation: r.Incarnation, Name: r.Name, Paused: r.Paused, FanOut: r.FanOut,
		Voids: voids, Channels: make(map[uint64]*Channel, len(r.Channels)),
		Start: r.Start, Unlearnt: r.Unlearnt, GivenUp: givenUp,
		SyncedEnd: r.SyncedEnd, WrittenEnd: r.WrittenEnd, Settings: r.Settings, Retained: r.Retained,
	}
	for _, c := range r.Channels {
		never, err := parseRanges(nil, 0, c.Never)
		if err != nil {
			return nil, err
		}
		t.Channels[c.Incarnation] = &Channel{
			Incarnation: c.Incarnation, Name: c.Name, Paused: c.Paused, Start: c.Start, done: max(c.Start, c.Done), Settings: c.Settings,
			Never: never, Rewound: c.Rewound, Until: c.Until, Leaves: c.Leaves,
		}
	}
	return t, nil
}

// Ends decodes a record of KindEnds.
func (d *Decoder) Ends(record []byte) ([]TopicEnd, error) {
	var r endsRecord
	err := d.Decode(record, &r)
	return r.Ends, err
}

// Acknowledged decodes a record of KindAcknowledged.
func (d *Decoder) Acknowledged(record []byte) ([]string, error) {
	var r acknowledgedRecord
	err := d.Decode(record, &r)
	return r.Names, err
}
