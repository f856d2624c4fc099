package state

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/seqset"
)

// openModel is an Open and what it ought to hold.
type openModel struct {
	open Open
	want map[uint64]OpenMessage
}

func (m *openModel) check(t *rapid.T) {
	got := slices.Collect(m.open.All())
	if !slices.IsSortedFunc(got, func(a, b OpenMessage) int { return int(a.Seq) - int(b.Seq) }) || len(got) != len(m.want) || m.open.Len() != len(got) {
		t.Fatalf("%d messages listed, %d counted, %d there", len(got), m.open.Len(), len(m.want))
	}
	for _, o := range got {
		if m.want[o.Seq] != o {
			t.Fatalf("got %+v, want %+v", o, m.want[o.Seq])
		}
	}
	for i := range m.open.pages {
		if n := len(m.open.pages[i].list); n == 0 || n > openPageLen {
			t.Fatalf("a page of %d", n)
		}
	}
}

func TestOpenIsAMapWhoseCopiesAreApart(t *testing.T) {
	const most = 3000
	rapid.Check(t, func(t *rapid.T) {
		models := []*openModel{{want: make(map[uint64]OpenMessage)}}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m := rapid.SampledFrom(models).Draw(t, "which")
			from := rapid.Uint64Range(0, most).Draw(t, "from")
			to := min(most, from+rapid.SampledFrom([]uint64{0, 1, 1, 10, 300, 2000}).Draw(t, "length"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				stride := rapid.Uint64Range(1, 3).Draw(t, "stride")
				for seq := from; seq < to; seq += stride {
					o := OpenMessage{Seq: seq, Attempts: rapid.Uint16().Draw(t, "attempts")}
					m.open.Put(o)
					m.want[seq] = o
				}
			case 2:
				m.open.Remove(seqset.Range{From: from, To: to})
				maps.DeleteFunc(m.want, func(seq uint64, _ OpenMessage) bool { return seq >= from && seq < to })
			case 3:
				models = append(models, &openModel{open: m.open.Clone(), want: maps.Clone(m.want)})
			case 4:
				want, there := m.want[from]
				if got, ok := m.open.Get(from); got != want || ok != there {
					t.Fatalf("%d is %+v, %v, want %+v, %v", from, got, ok, want, there)
				}
			}
			for _, m := range models {
				m.check(t)
			}
		}
	})
}

func TestManyOpenMessagesTakeLittle(t *testing.T) {
	var o Open
	for i := range uint64(1 << 20) {
		o.Put(OpenMessage{Seq: i * 0x9e3779b1 % (1 << 32), Attempts: 1, Due: 5}) // in no order
	}
	bytes := 0
	for i := range o.pages {
		bytes += cap(o.pages[i].list) * 24
	}
	if per := float64(bytes) / float64(o.Len()); per > 36 {
		t.Errorf("%.1f bytes a message", per)
	}
	for i, m := range slices.Collect(o.All()) {
		if i%64 > 0 {
			o.Remove(seqset.Range{From: m.Seq, To: m.Seq + 1})
		}
	}
	bytes = 0
	for i := range o.pages {
		bytes += cap(o.pages[i].list) * 24
	}
	if per := float64(bytes) / float64(o.Len()); per > 100 {
		t.Errorf("%.1f bytes a message that is left", per)
	}
}

func TestPiecesOfAChannelMakeTheSameChannel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := New()
		st.Apply(createTopic(1, "t"))
		st.Apply(createChannel(1, 2, "c"))
		number := rapid.Uint64Range(90, 160)
		for v := range uint64(4) {
			ch := ChannelChanges{Topic: 1, Channel: 2, Version: v + 1, Full: rapid.Bool().Draw(t, "full"), Floor: number.Draw(t, "floor"), Cursor: number.Draw(t, "cursor")}
			from := number.Draw(t, "from")
			ch.Acked = []seqset.Range{{From: from, To: from + number.Draw(t, "length")}}
			for range 5 {
				ch.Open = append(ch.Open, OpenMessage{Seq: number.Draw(t, "open"), Attempts: 1})
			}
			st.ApplyChanges(ch)
		}
		was := st.Channel(1, 2)
		other := New()
		other.Apply(createTopic(1, "t"))
		other.Apply(createChannel(1, 2, "c"))
		err := was.Pieces(1, rapid.IntRange(1, 9).Draw(t, "most"), func(ch ChannelChanges) error {
			other.ApplyChanges(ch)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		is := other.Channel(1, 2)
		is.Resume(was.Version, was.Emptied())
		e := NewEncoder()
		one := slices.Clone(e.Changes(was.Snapshot(1)))
		if !slices.Equal(one, e.Changes(is.Snapshot(1))) || is.done != was.done {
			t.Fatalf("%+v is not %+v", is, was)
		}
	})
}

func TestACloneOfATopicIsApart(t *testing.T) {
	st := New()
	st.Apply(createTopic(1, "t"))
	st.Apply(createChannel(1, 2, "c"))
	st.ApplyChanges(ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 105, Cursor: 109, Open: []OpenMessage{{Seq: 107, Attempts: 2}}})
	was := st.Topics[1].Clone()
	st.Apply(Entry{Op: VoidRange, Topic: 1, Void: seqset.Range{From: 107, To: 108}})
	st.Apply(createChannel(1, 3, "d"))
	st.ApplyChanges(ChannelChanges{Topic: 1, Channel: 2, Version: 2, Floor: 106, Cursor: 109})
	c := was.Channels[2]
	if len(was.Channels) != 1 || len(was.Voids) != 0 || c.Floor() != 105 || c.Open.Len() != 1 || c.Version != 1 || c.Acked.Contains(107) {
		t.Errorf("%+v, %+v", was, c)
	}
	if now := st.Channel(1, 2); now.Floor() != 106 || now.Open.Len() != 0 || !now.Acked.Contains(107) {
		t.Errorf("%+v", now)
	}
}
