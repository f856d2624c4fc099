package topic

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/diskqueue"
	"qmq/internal/jsonpointer"
	"qmq/message"
)

// drawStamp is that of some settings.
func drawStamp(t *rapid.T, by uint64) *Stamp {
	pointer := func(name string) *jsonpointer.Pointer {
		p := rapid.SampledFrom([]string{"", "/a", "/b"}).Draw(t, name)
		if p == "" {
			return nil
		}
		parsed, err := jsonpointer.Parse(p)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	s := &Stamp{by: by, key: pointer("key from")}
	if rapid.Bool().Draw(t, "doubles are known") {
		s.bounds = message.DedupBounds{Window: 1000000 * 7, Most: uint32(by)}
		if s.id = pointer("id from"); s.id == nil {
			s.bodyID = rapid.Bool().Draw(t, "id is the body")
		}
	}
	return s
}

// drawSaid is what a publisher says of a message, and its body.
func drawSaid(t *rapid.T) (m message.Meta, body []byte) {
	m = message.Meta{
		Timestamp: 5, Priority: rapid.Uint8Max(message.MaxPriority).Draw(t, "priority"),
		DeliverAt: rapid.Int64Range(0, 1).Draw(t, "deliver at"),
	}
	if rapid.Bool().Draw(t, "key is said") {
		m.Key = []byte(rapid.SampledFrom([]string{"0", "1"}).Draw(t, "key"))
	}
	if rapid.Bool().Draw(t, "id is said") {
		id := message.MakeDedupID([]byte(rapid.SampledFrom([]string{"0", "1"}).Draw(t, "id")))
		m.DedupID, m.Headers = &id, message.AppendHeader(nil, message.HeaderDedupID, "0")
	}
	if rapid.Bool().Draw(t, "again") {
		m.OnlyFor, m.DedupID = "c", nil
	}
	n := func(name string) int { return rapid.IntRange(0, 1).Draw(t, name) }
	return m, fmt.Appendf(nil, `{"a": %d, "b": "%d"}%s`, n("a"), n("b"), bytes.Repeat([]byte(" "), rapid.SampledFrom([]int{0, 5000}).Draw(t, "spaces")))
}

// What is stamped anew is as if it had never been stamped by other settings.
func TestRestampedIsAsStampedAtFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stamps := []*Stamp{drawStamp(t, 1), drawStamp(t, 2), drawStamp(t, 3)}
		batches := make([]diskqueue.Batch, len(stamps))
		multi := rapid.Bool().Draw(t, "multi")
		messages := rapid.IntRange(1, 5).Draw(t, "messages")
		for i := range batches {
			stamps[i].Begin(&batches[i])
			if multi {
				batches[i].BeginMulti()
			}
		}
		for range messages {
			said, body := drawSaid(t)
			for i, s := range stamps {
				m := said
				if m.OnlyFor != "" {
					s.ApplyAgain(&m, body)
				} else {
					s.Apply(&m, body)
				}
				batches[i].Add(&m, body)
			}
		}
		for i := range batches {
			if multi {
				batches[i].EndMulti()
			}
		}
		records, is := batches[0].Records(), batches[0].Stamped()
		for i, s := range stamps[1:] {
			var err error
			if records, is, err = s.Restamp(records, is); err != nil {
				t.Fatal(err)
			}
			want := &batches[1+i]
			if is.By != s.By() || !slices.Equal(is.Found, want.Stamped().Found) {
				t.Fatalf("found %+v, want %+v", is, want.Stamped())
			}
			var got diskqueue.Batch
			if err := got.ParseRecords(records); err != nil {
				t.Fatal(err)
			}
			wantSame(t, records, want.Records())
		}
		if _, _, err := stamps[0].Restamp(records[:len(records)-1], is); err == nil {
			t.Fatal("records that are cut short are taken")
		}
	})
}

// wantSame wants records that say the same, in whatever order of attributes.
func wantSame(t *rapid.T, got, want []byte) {
	for len(want) > 0 {
		n, ok := message.Size(got)
		if m, _ := message.Size(want); !ok || n != m {
			t.Fatalf("a record of %d bytes, want %d", n, m)
		}
		g, w := message.Decode(got[:n]), message.Decode(want[:n])
		if g.Timestamp != w.Timestamp || g.Flags != w.Flags || !bytes.Equal(g.Body, w.Body) || attrsOf(&g) != attrsOf(&w) {
			t.Fatalf("%+v, want %+v", g, w)
		}
		got, want = got[n:], want[n:]
	}
	if len(got) > 0 {
		t.Fatalf("%d bytes more", len(got))
	}
}

// attrsOf are all attributes, by their tags.
func attrsOf(v *message.View) string {
	all := make(map[message.AttrTag]string)
	for tag, value := range message.Attrs(v.Attrs) {
		all[tag] += string(value)
	}
	return fmt.Sprint(all)
}
