package message

import (
	"testing"

	"pgregory.net/rapid"
)

func TestWhereADeadLetterComesFromIsInItsRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[.a-zA-Z0-9_-]{1,64}(#ephemeral)?`)
		d := DeadLetter{
			Topic: name.Draw(t, "topic"), Channel: name.Draw(t, "channel"),
			ID: MakeID(rapid.Uint16Max(MaxNodeID).Draw(t, "node"), rapid.Uint64Max(MaxSeq).Draw(t, "seq")), Published: rapid.Int64().Draw(t, "published"),
			Attempts: rapid.Uint16().Draw(t, "attempts"), Reason: Reason(rapid.Byte().Draw(t, "reason")), Ended: rapid.Int64().Draw(t, "ended"),
		}
		m := Meta{Timestamp: 5, DeliverAt: rapid.Int64().Draw(t, "deliver at"), DeadLetter: &d, OnlyFor: name.Draw(t, "only for")}
		rec := AppendNew(nil, &m, 0, []byte("body"))
		Seal(rec, 9, 7)
		v := Decode(rec)
		if got, ok := v.DeadLetter(); !ok || got != d {
			t.Fatalf("%+v, %v, want %+v", got, ok, d)
		}
		if got, ok := v.OnlyFor(); !ok || string(got) != m.OnlyFor {
			t.Fatalf("only for %q, %v, want %q", got, ok, m.OnlyFor)
		}
		if string(v.Body) != "body" {
			t.Fatalf("body %q", v.Body)
		}
		value, _ := Attr(v.Attrs, AttrDeadLetter)
		cut := View{Attrs: AppendAttr(nil, AttrDeadLetter, value[:rapid.IntRange(0, len(value)-1).Draw(t, "cut")])}
		if got, ok := cut.DeadLetter(); ok {
			t.Fatalf("%+v of what is cut short", got)
		}
	})
}

func TestOrdinaryMessageIsNoDeadLetterAndForAllChannels(t *testing.T) {
	rec := AppendNew(nil, &Meta{Timestamp: 1, DeliverAt: 3}, 0, nil)
	Seal(rec, 1, 1)
	v := Decode(rec)
	if _, ok := v.DeadLetter(); ok {
		t.Error("a dead letter")
	}
	if name, ok := v.OnlyFor(); ok {
		t.Errorf("only for %q", name)
	}
}
