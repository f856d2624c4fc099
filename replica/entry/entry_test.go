package entry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"qmq/diskqueue"
	"qmq/internal/crc32c"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

func drawBatch(t *rapid.T) *diskqueue.Batch {
	b := new(diskqueue.Batch)
	for range rapid.IntRange(0, 4).Draw(t, "publishes") {
		multi := rapid.Bool().Draw(t, "multi")
		if multi {
			b.BeginMulti()
		}
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			m := message.Meta{Timestamp: rapid.Int64().Draw(t, "time"), DeliverAt: rapid.Int64Range(0, 9).Draw(t, "due")}
			b.Add(&m, bytes.Repeat([]byte{'x'}, rapid.SampledFrom([]int{0, 3, 200, 5000}).Draw(t, "size")))
		}
		if multi {
			b.EndMulti()
		}
	}
	return b
}

func drawEntry(t *rapid.T) *Entry {
	e := &Entry{Term: rapid.Uint64().Draw(t, "term"), Level: rapid.Uint64().Draw(t, "level"), Time: rapid.Int64Min(0).Draw(t, "shard's time")}
	for range rapid.IntRange(0, 3).Draw(t, "parts") {
		e.Parts = append(e.Parts, Part{
			Topic:  rapid.Uint64().Draw(t, "topic"),
			Origin: Origin{rapid.Uint64().Draw(t, "member"), rapid.Uint64().Draw(t, "epoch"), rapid.Uint64Min(1).Draw(t, "number")},
			Batch:  drawBatch(t),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		record := state.NewEncoder().Changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: rapid.Uint64().Draw(t, "version")})
		e.Changes = append(e.Changes, bytes.Clone(record))
	}
	for range rapid.IntRange(0, 3).Draw(t, "operations") {
		e.Topology = append(e.Topology, state.Entry{
			Op: state.Op(rapid.IntRange(1, int(state.ConfigureChannel)).Draw(t, "op")), Topic: rapid.Uint64().Draw(t, "topic"),
			Name: rapid.String().Draw(t, "name"), Start: rapid.Uint64Max(message.MaxSeq).Draw(t, "start"),
			Void: seqset.Range{From: 1, To: rapid.Uint64Max(message.MaxSeq).Draw(t, "to")},
		})
	}
	if rapid.Bool().Draw(t, "jumps") {
		e.Jump = Jump{rapid.Uint64Max(message.MaxSeq).Draw(t, "number"), rapid.Uint64().Draw(t, "incarnation")}
	}
	if rapid.Bool().Draw(t, "acts") {
		e.Action = &Action{
			Op: state.Op(rapid.IntRange(1, int(state.NeverAgain)).Draw(t, "action")), At: rapid.Int64().Draw(t, "at"),
			Member: rapid.Uint64().Draw(t, "through"), Request: rapid.Uint64().Draw(t, "request"), Topic: rapid.Uint64().Draw(t, "of"),
			Name: rapid.String().Draw(t, "name"), Channel: rapid.String().Draw(t, "channel"),
		}
		if e.Action.Replays() {
			e.Action.Place, e.Action.From = rapid.String().Draw(t, "place"), rapid.Uint64().Draw(t, "from")
		}
	}
	return e
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEntry(t)
		b := want.AppendTo([]byte("before"))[len("before"):]
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got.Parts {
			p, was := &got.Parts[i], &want.Parts[i]
			if p.Size() != was.Size() || p.Count != was.Batch.Len() || p.Topic != was.Topic || p.Origin != was.Origin {
				t.Fatalf("part %+v of %+v", p, was)
			}
			batch := new(diskqueue.Batch)
			if err := p.ParseInto(batch); err != nil {
				t.Fatal(err)
			}
			if batch.Len() != was.Batch.Len() || batch.BodyBytes() != was.Batch.BodyBytes() || batch.Bytes() != was.Batch.Bytes() ||
				!reflect.DeepEqual(batch.Marks(7), was.Batch.Marks(7)) || !bytes.Equal(batch.AppendRecords(nil), was.Batch.AppendRecords(nil)) {
				t.Fatal("the batch is another")
			}
		}
		if again := got.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatal("what was decoded is encoded otherwise")
		}
		got.Parts, want.Parts = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestWhatIsNotKnownStopsTheShard(t *testing.T) {
	e := state.NewEncoder()
	operation := bytes.Clone(e.Entries([]state.Entry{{Op: 200, Topic: 1}}))
	longer := bytes.Clone(e.Changes(state.ChannelChanges{Topic: 1}))
	longer[0]++ // one element more
	more := bytes.Clone(e.Entries([]state.Entry{{Op: state.PauseTopic, Topic: 1}}))
	more[0]++
	for name, b := range map[string][]byte{
		"version":            {version + 1},
		"version 0":          {0},
		"section":            {version, sectionTime + 1, 0},
		"action says more":   appendSection([]byte{version}, sectionAction, append((&Action{Op: state.EmptyTopic}).AppendTo(nil), 1)),
		"operation":          appendSection([]byte{version}, sectionTopology, operation),
		"changes say more":   appendSection([]byte{version}, sectionChanges, append(longer, 1)),
		"entries say more":   appendSection([]byte{version}, sectionTopology, append(more, 1)),
		"changes of another": appendSection([]byte{version}, sectionChanges, more),
	} {
		if got, err := Decode(b); !errors.Is(err, ErrUnknownEntry) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestMalformedEntriesAreRefused(t *testing.T) {
	part := &Part{Topic: 1, Origin: Origin{1, 1, 1}, Batch: new(diskqueue.Batch)}
	unnumbered := &Part{Topic: 1, Origin: Origin{1, 1, 0}}
	flipped := part.AppendTo(nil)
	flipped[4] ^= 1
	for name, b := range map[string][]byte{
		"nothing":          {},
		"half a section":   {version, sectionTerm, 3, 1},
		"no length":        {version, sectionTerm},
		"endless length":   append([]byte{version, sectionTerm}, bytes.Repeat([]byte{0xff}, 11)...),
		"no number":        {version, sectionTerm, 0},
		"two terms":        appendNumbers(appendNumbers([]byte{version}, sectionTerm, 1), sectionTerm, 1),
		"out of order":     appendNumbers(appendNumbers([]byte{version}, sectionLevel, 1), sectionTerm, 1),
		"too many numbers": appendNumbers([]byte{version}, sectionLevel, 1, 2),
		"part's checksum":  appendSection([]byte{version}, sectionPart, flipped),
		"part's number":    appendSection([]byte{version}, sectionPart, unnumbered.AppendTo(nil)),
		"part cut":         appendSection([]byte{version}, sectionPart, []byte{1, 2}),
		"no entries":       appendSection([]byte{version}, sectionTopology, []byte{0x91}),
		"no time":          appendNumbers([]byte{version}, sectionTime, 0),
		"time too far":     appendNumbers([]byte{version}, sectionTime, 1<<63),
		"jump too far":     appendNumbers([]byte{version}, sectionJump, message.MaxSeq+1, 0),
	} {
		if got, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestPartOfAnotherCountIsMalformed(t *testing.T) {
	b := new(diskqueue.Batch)
	b.Add(&message.Meta{Timestamp: 1}, []byte("body"))
	p := Part{Topic: 1, Origin: Origin{1, 1, 1}, Count: 2, Records: b.AppendRecords(nil)}
	got, err := DecodePart(p.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := got.ParseInto(b); !errors.Is(err, ErrMalformed) || b.Len() != 0 {
		t.Errorf("%v, %d messages", err, b.Len())
	}
}

// FuzzDecode decodes anything, with right checksums of the first part as often as
// not.
func FuzzDecode(f *testing.F) {
	b := new(diskqueue.Batch)
	b.BeginMulti()
	b.Add(&message.Meta{Timestamp: 1, DeliverAt: 5}, []byte("one"))
	b.Add(&message.Meta{Timestamp: 1}, make([]byte, 5000))
	b.EndMulti()
	e := Entry{
		Term: 3, Parts: []Part{{Topic: 1, Origin: Origin{7, 1, 1}, Batch: b}}, Jump: Jump{9, 9}, Level: 2,
		Changes: [][]byte{state.NewEncoder().Changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Full: true})}, Topology: []state.Entry{{Op: state.CreateTopic, Name: "t"}},
	}
	f.Add(e.AppendTo(nil))
	f.Add([]byte{version, sectionTopology, 4, 0x92, 1, 0xdd, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		for range 2 {
			if e, err := Decode(data); err == nil {
				for i := range e.Parts {
					if err := e.Parts[i].ParseInto(b); err != nil && !errors.Is(err, ErrMalformed) {
						t.Fatal(err)
					}
				}
				e.AppendTo(nil)
			} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownEntry) {
				t.Fatal(err)
			}
			data = mend(data)
		}
	})
}

// mend makes the checksum of a part that is the first section right.
func mend(data []byte) []byte {
	if len(data) < 2 || data[1] != sectionPart {
		return data
	}
	size, n := binary.Uvarint(data[2:])
	if n <= 0 || size < 4 || size > uint64(len(data)-2-n) {
		return data
	}
	data = bytes.Clone(data)
	part := data[2+n:][:size]
	binary.LittleEndian.PutUint32(part, crc32c.Sum(part[4:]))
	return data
}
