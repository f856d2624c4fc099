package api

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/lease"
	"qmq/message"
	"qmq/test/node"
)

// A stream that is to end when there is no message for a while ends also where nobody could
// look, since others do not read what they were given, and says so.
func TestStreamThatHasNoRoomEndsAfterItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := node.Open(t)
		l := lease.New(b, lease.Options{MaxPolls: 9, MaxMessages: 9, MaxAnswers: 1})
		defer l.Close()
		begin := func() *lease.Holder {
			h, err := l.Begin(lease.Poll{Topic: "t", Channel: "c", Max: 1, Lease: time.Minute, Client: lease.Client{RemoteAddress: "10.0.0.1:5"}})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		slow := begin()
		defer slow.End()
		tp, err := b.Topic("t")
		if err != nil {
			t.Fatal(err)
		}
		one := new(diskqueue.Batch)
		one.Add(&message.Meta{Timestamp: b.Clock().Wall()}, []byte("a"))
		if err := tp.Publish(one); err != nil {
			t.Fatal(err)
		}
		if n, err := slow.Take(t.Context(), new(eventSink), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		stream := begin()
		defer stream.End()
		began := time.Now()
		w := httptest.NewRecorder()
		if _, err := streamMessages(stream, time.Minute, w, httptest.NewRequest("GET", "/consume", nil)); err != nil {
			t.Fatal(err)
		}
		if text := w.Body.String(); !strings.HasSuffix(text, "event: end\ndata: {\"message\":\"BUSY\",\"why\":\""+lease.ErrNoRoom.Error()+"\"}\n\n") {
			t.Errorf("the stream is %q", text)
		}
		if took := time.Since(began); took < time.Minute || took > 70*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}
