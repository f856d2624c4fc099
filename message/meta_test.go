package message

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatIsSaidOfAMessageIsInItsRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Meta{Timestamp: rapid.Int64().Draw(t, "timestamp"), DeliverAt: rapid.Int64().Draw(t, "deliver at")}
		body := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
		rec := AppendNew([]byte("before"), &m, FlagBatch, body)[len("before"):]
		n := Seal(rec, 9, 7)
		if _, err := Verify(rec, 7); n != len(rec) || err != nil {
			t.Fatalf("%d of %d bytes are sealed: %v", n, len(rec), err)
		}
		v := Decode(rec)
		if v.Timestamp != m.Timestamp || v.Flags != FlagBatch || !bytes.Equal(v.Body, body) {
			t.Fatalf("%+v of %+v", v, m)
		}
		want, marked := m.Mark(9)
		got, ok := v.Mark()
		if ok != marked || ok != (m.DeliverAt != 0) || ok && (got != want || got.DeliverAt != m.DeliverAt) {
			t.Fatalf("mark %+v, %v, want %+v, %v", got, ok, want, marked)
		}
		if again := AppendRecord(nil, v.Timestamp, v.Flags, v.Attrs, v.Body); Seal(again, 9, 7) != n || !bytes.Equal(again, rec) {
			t.Fatal("a copy is another record")
		}
	})
}
