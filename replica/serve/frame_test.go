package serve

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"qmq/internal/seqset"
	"qmq/replica/entry"
	"qmq/settings"
	"qmq/state"
	"qmq/topic"
)

func partOf(topic, member, number uint64, bodies ...string) entry.Part {
	b := batchOf(bodies...)
	return entry.Part{
		Topic: topic, Origin: entry.Origin{Member: member, Epoch: 3, Number: number}, Count: b.Len(), Records: b.AppendRecords(nil),
	}
}

func TestPartsAndNoticesTravel(t *testing.T) {
	parts := []entry.Part{partOf(5, 2, 7, "a", "b"), {Topic: 5, Origin: entry.Origin{Member: 2, Epoch: 3, Number: 8}}}
	for _, by := range []uint64{0, nameOf("", true), nameOf(`{"key_from":"json:/user"}`, true)} {
		f, err := decodeParts(encodeParts(4, 9, "name", by, parts))
		must(t, err)
		if f.shard != 4 || f.term != 9 || f.name != "name" || f.by != by || len(f.parts) != 2 {
			t.Errorf("%+v", f)
		}
		for i, p := range f.parts {
			if p.Topic != 5 || p.Origin != parts[i].Origin || p.Count != parts[i].Count || string(p.Records) != string(parts[i].Records) {
				t.Errorf("%+v", p)
			}
		}
	}
	for _, n := range []notice{
		{kind: noticeRefused, shard: 1, term: 2, topic: 3, refused: refused{why: busy, number: 4}},
		{kind: noticeFull, shard: 1, term: 2, topic: 3, refused: refused{why: full, number: 4, limit: limit{through: 9, messages: true, max: 1 << 40}}},
		{kind: noticeOutdated, shard: 1, term: 2, topic: 3, refused: refused{why: outdated, number: 4, applied: 1 << 41}},
		{kind: noticeRepeats, shard: 1, term: 2, topic: 3, refused: refused{number: 4}},
	} {
		if back, err := decodeNotice(n.encode()); err != nil || back != n {
			t.Errorf("%+v %v", back, err)
		}
	}
}

// TestBytesFromOutsideAreLookedAt: whatever they are, nothing panics, and what is of
// several topics or members is no frame.
func TestBytesFromOutsideAreLookedAt(t *testing.T) {
	for name, parts := range map[string][]entry.Part{
		"two topics":  {partOf(5, 2, 7, "a"), partOf(6, 2, 7, "a")},
		"two members": {partOf(5, 2, 7, "a"), partOf(5, 3, 7, "a")},
		"no part":     nil,
	} {
		if _, err := decodeParts(encodeParts(0, 0, "t", 7, parts)); err == nil {
			t.Errorf("%s make a frame", name)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	request := Request{Op: state.CreateChannel, Topic: "t", Channel: "c", Tail: true}
	whole := [][]byte{
		encodeParts(0, 1, "t", 7, []entry.Part{partOf(5, 2, 7, "a")}), (&notice{kind: noticeReady}).encode(), (&notice{kind: noticeFull}).encode(),
		encodeParts(0, 1, "t", 0, []entry.Part{partOf(5, 2, 7, "a")}), (&notice{kind: noticeOutdated}).encode(),
		request.encode(), (&answer{code: codeLimit, number: 300, texts: [2]string{"a", "b"}}).encode(),
	}
	for range 20000 {
		b := append([]byte(nil), whole[r.IntN(len(whole))]...)
		b = b[:r.IntN(len(b)+1)]
		for range r.IntN(4) {
			if len(b) > 0 {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
		}
		_, _ = decodeParts(b)
		_, _ = decodeNotice(b)
		_, _ = decodeRequest(b)
		if a, err := decodeAnswer(b); err == nil {
			_ = a.err()
		}
	}
}

func TestRequestsAndAnswersTravel(t *testing.T) {
	for _, r := range []Request{
		{Op: state.CreateTopic, Topic: "t"}, {Op: state.CreateChannel, Topic: "t", Channel: "c", Tail: true},
		{Op: state.ConfigureTopic, Topic: "t", Settings: `{"max_age":"1h"}`}, {Op: state.ConfigureChannel, Topic: "t", Channel: "c", Settings: "{}"},
		{Op: state.VoidRange, Topic: "t", Void: []seqset.Range{{From: 3, To: 4}, {From: 1 << 50, To: 1<<50 + 9}}},
	} {
		if back, err := decodeRequest(r.encode()); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%+v became %+v, %v", r, back, err)
		}
	}
	for _, err := range []error{
		nil, errNotLeader, errBusy, ErrNoTopic, topic.ErrNoChannel, topic.ErrNoAutoCreate,
		&topic.LimitError{What: "w", Max: 3, Option: "o"}, &topic.TailError{Paused: true, Waiting: 5}, &topic.TailError{Waiting: 6},
		settings.Mistakes{"a"}, errors.New("any other"),
	} {
		a := answerOf(err)
		back, decodeErr := decodeAnswer(a.encode())
		must(t, decodeErr)
		if got := back.err(); !reflect.DeepEqual(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
