package relay

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/message"
)

// TestFramesComeOutAsTheyWentIn has each frame with a codec of its own go there and
// back.
func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &openFrame{
			consumer: rapid.Uint64().Draw(t, "consumer"), term: rapid.Uint64().Draw(t, "term"),
			window: rapid.Uint32().Draw(t, "window"), generation: rapid.Uint32().Draw(t, "generation"),
			ready: rapid.Int64().Draw(t, "ready"), timeout: rapid.Int64Min(1).Draw(t, "timeout"),
			flags: rapid.Uint8().Draw(t, "flags"), sample: rapid.Uint8Max(99).Draw(t, "sample"),
			topic: rapid.StringN(1, 64, 255).Draw(t, "topic"), channel: rapid.StringN(1, 64, 255).Draw(t, "channel"),
			incarnation: rapid.Uint64().Draw(t, "incarnation"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "claims") {
			from := rapid.Uint64Max(message.MaxSeq).Draw(t, "from")
			c := channel.Claim{Seq: from, Attempts: rapid.Uint16().Draw(t, "attempts"), Due: rapid.Int64().Draw(t, "due")}
			f.claims.Done = append(f.claims.Done, seqset.Range{From: from, To: from + 1})
			f.claims.Requeued = append(f.claims.Requeued, c)
			c.Due = 0
			f.claims.Held = append(f.claims.Held, c)
		}
		b := f.appendTo(nil)
		got, err := parseOpen(f.consumer, &parser{rest: b[headSize:]})
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Fatalf("%+v, %v, want %+v", got, err, f)
		}

		var answers []channel.Answer
		b = nil
		for range rapid.IntRange(0, 5).Draw(t, "answers") {
			a := channel.Answer{
				Op: channel.AnswerOp(rapid.IntRange(0, int(channel.Return)).Draw(t, "op")),
				ID: message.MakeID(rapid.Uint16Max(message.MaxNodeID).Draw(t, "node"), rapid.Uint64Max(message.MaxSeq).Draw(t, "seq")),
			}
			if a.Op == channel.Requeue {
				a.Delay = duration(uint64(rapid.Int64Min(0).Draw(t, "delay")))
			}
			answers = append(answers, a)
			b = appendAnswer(b, &a)
		}
		if got, err := parseAnswers(nil, &parser{rest: b}); err != nil || !reflect.DeepEqual(got, answers) {
			t.Fatalf("%+v, %v, want %+v", got, err, answers)
		}

		m := channel.Message{ID: message.MakeID(3, rapid.Uint64Max(message.MaxSeq).Draw(t, "seq")), Attempts: rapid.Uint16().Draw(t, "attempts")}
		m.Timestamp, m.Body = rapid.Int64().Draw(t, "timestamp"), rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		m.Attrs = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "attributes")
		attributes := rapid.Bool().Draw(t, "with attributes")
		b = appendMessage(appendMessage(nil, &m, attributes), &m, attributes)
		if n, err := countMessages(b); n != 2 || err != nil {
			t.Fatalf("%d messages, %v", n, err)
		}
		read := channel.Message{View: message.View{Attrs: []byte("of the one before")}}
		size := firstMessage(b, &read)
		if !attributes && read.Attrs != nil || attributes && !bytes.Equal(read.Attrs, m.Attrs) {
			t.Fatalf("%q of %q", read.Attrs, m.Attrs)
		}
		if 2*size != len(b) || !bytes.Equal(read.Body, m.Body) || read.ID != m.ID || read.Attempts != m.Attempts || read.Timestamp != m.Timestamp {
			t.Fatalf("%+v, want %+v", read, m)
		}
	})
}

// FuzzReceive gives a node that leads, and has consumers, any frames from another.
func FuzzReceive(f *testing.F) {
	open := &openFrame{consumer: 1, term: 1, window: window, timeout: 1e9, topic: testTopic, channel: testChannel, flags: flagCreate}
	open.claims.Done = []seqset.Range{{From: 1, To: 5}}
	open.claims.Held = []channel.Claim{{Seq: 9, Attempts: 1}}
	answer := channel.Answer{ID: message.MakeID(1, 5)}
	m := channel.Message{ID: answer.ID, View: message.View{Attrs: message.AppendDeliverAt(nil, 1)}}
	for _, frame := range [][]byte{
		open.appendTo(nil), appendReady(nil, 1, 1, 5), appendAnswer(appendHead(nil, kindAnswers, 1), &answer), appendTaken(nil, 1, 10),
		appendHead(nil, kindClose, 1), appendClaimed(nil, 7, 1), appendOpened(nil, 1, 2, []uint64{9}),
		appendMessage(appendMessagesHead(nil, 1, 0), &m, false), appendMessage(appendMessagesHead(nil, 1, 0), &m, true), appendResults(nil, 1, 1, []failure{{0, codeNotOwner}}), appendClosed(nil, 1, channel.ErrExiting), {},
	} {
		f.Add(frame, frame)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := newSet(t, 2)
		s.lead(0)
		c := s.nodes[0].subscribe(testChannel, 1)
		defer c.k.Close()
		leader := s.nodes[0].relay
		for _, frame := range [][]byte{first, second} {
			_ = leader.Receive(2, frame)
			_ = s.nodes[1].relay.Receive(1, frame)
		}
	})
}
