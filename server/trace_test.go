package server

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"qmq/internal/tracing"
	"qmq/test/collector"
	"qmq/test/wire"
)

const (
	recorded    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	notRecorded = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func TestWhatBecomesOfTracedMessagesIsToldToTheCollector(t *testing.T) {
	c := collector.Start(t)
	at, err := tracing.ParseEndpoint(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := tracing.Open(tracing.Options{Endpoint: at, Service: "qd", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *Options) { o.Tracer = tracer })
	k := r.consume("t", "ch", 10) // it gets no headers, and is traced all the same
	p := r.negotiated()
	p.Send(wire.Pub("t", "plain") + wire.HPub("t", "not", "traceparent", notRecorded) + wire.HPub("t", "one", "traceparent", recorded) +
		wire.HMPub("t", wire.Headers("traceparent", recorded)+"two", wire.Headers()+"three", wire.Headers("traceparent", recorded)+"four") +
		wire.HPub("t", "bad", "traceparent", recorded, "priority", "x"))
	p.Expect("OK", "OK", "OK", "OK")
	p.ExpectError(`E_HPUB_FAILED HPUB failed invalid headers: priority must be 0 to 9, not "x"`)
	m := k.Messages("plain", "not", "one", "two", "three", "four")
	k.Fin(m[0], m[1], m[2])
	k.Send("REQ " + m[3].ID + " 60000\n")
	k.ExpectOpen() // they are answered
	k.Close()
	if err := r.tcp.Close(); err != nil { // which waits for the sessions
		t.Fatal(err)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range c.Spans() {
		if fmt.Sprintf("%x", s.ParentSpanId) != "b7ad6b7169203331" || s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("%v", s)
		}
		id := s.Texts["messaging.message.id"]
		at := slices.IndexFunc(m, func(m wire.Message) bool { return m.ID == id })
		body := ""
		if at >= 0 {
			body = m[at].Body
		}
		got = append(got, strings.TrimSpace(strings.Join([]string{s.Name, s.Texts["messaging.destination.subscription.name"], body, s.Texts["q.outcome"], s.Status.GetMessage()}, " ")))
	}
	slices.Sort(got)
	want := []string{
		"deliver t ch four", "deliver t ch one", "deliver t ch two",
		"finish t ch four disconnect the connection ended before the answer", "finish t ch one FIN", "finish t ch two REQ the consumer gave it back",
		"publish t", "publish t", "publish t",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
