package tracing

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"qmq/message"
	"qmq/test/collector"
)

const recordedParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func parentOf(t *testing.T, traceparent string) Parent {
	t.Helper()
	p, ok := ParentOf(message.AppendHeader(nil, "Traceparent", traceparent))
	if !ok {
		t.Fatalf("%s is not recorded", traceparent)
	}
	return p
}

func TestSpansComeToTheCollectorUnderTheirParents(t *testing.T) {
	c := collector.Start(t)
	at, err := ParseEndpoint(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := Open(Options{Endpoint: at, Service: "qd", Version: "2.0.0", Instance: "node:4151", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1000, 5)
	tracer.Record(&Span{Parent: parentOf(t, recordedParent), Operation: Finish, Start: start, End: start.Add(time.Second), Topic: "t", Channel: "c",
		ID: "0123456789abcdef", Attempts: 2, Size: 7, Client: "127.0.0.1:5", Outcome: "REQ", Failed: "given back"})
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := c.Spans()
	if len(spans) != 1 || spans[0].From["service.name"] != "qd" || spans[0].From["service.instance.id"] != "node:4151" {
		t.Fatalf("%v", spans)
	}
	got, attributes := spans[0], spans[0].Texts
	if got.Name != "finish t" || string(got.TraceId) != "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c" || string(got.ParentSpanId) != "\xb7\xad\x6b\x71\x69\x20\x33\x31" ||
		got.StartTimeUnixNano != 1000e9+5 || got.EndTimeUnixNano != 1001e9+5 || got.Kind != otlp.Span_SPAN_KIND_CONSUMER ||
		got.Status.Code != otlp.Status_STATUS_CODE_ERROR || attributes["messaging.message.id"] != "0123456789abcdef" || attributes["q.outcome"] != "REQ" {
		t.Errorf("%v", got)
	}
	if sent, dropped := tracer.Counts(); sent != 1 || dropped != 0 {
		t.Errorf("%d sent, %d dropped", sent, dropped)
	}
}

func TestOnlyWhatIsRecordedIsTraced(t *testing.T) {
	for _, headers := range [][]string{
		{}, {"traceparent", ""}, {"traceparent", "nonsense1"}, {"other", recordedParent},
		{"traceparent", strings.TrimSuffix(recordedParent, "1") + "0"},
		{"traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"},
		{"traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	} {
		var h []byte
		for i := 0; i < len(headers); i += 2 {
			h = message.AppendHeader(h, headers[i], headers[i+1])
		}
		if p, ok := ParentOf(h); ok {
			t.Errorf("%q is %v", headers, p)
		}
	}
	for _, flags := range []string{"01", "03", "0b", "0f", "0d"} {
		if _, ok := ParentOf(message.AppendHeader(nil, "traceparent", strings.TrimSuffix(recordedParent, "01")+flags)); !ok && flags == "01" {
			t.Errorf("flags %s are not recorded", flags)
		}
	}
}

// stuckExporter is a collector that hangs, or fails.
type stuckExporter struct {
	release chan struct{}
	err     error
}

func (e *stuckExporter) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	<-e.release
	return e.err
}

func (e *stuckExporter) Shutdown(context.Context) error { return nil }

func TestACollectorThatHangsHoldsNobodyUpAndWhatItMissesIsCounted(t *testing.T) {
	e := &stuckExporter{release: make(chan struct{}), err: errors.New("the collector is gone")}
	tracer := open(e, Options{Logger: slog.New(slog.DiscardHandler)})
	p := parentOf(t, recordedParent)
	const all = maxWaiting + 1000
	for range all {
		tracer.Record(&Span{Parent: p, Operation: Publish, Topic: "t"})
	}
	if _, dropped := tracer.Counts(); dropped != 1000 {
		t.Errorf("%d are dropped while the others wait", dropped)
	}
	close(e.release)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent, dropped := tracer.Counts(); sent != 0 || dropped != all {
		t.Errorf("%d sent, %d dropped of %d", sent, dropped, all)
	}
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:4318": "http://127.0.0.1:4318/v1/traces", "https://collector": "https://collector:4318/v1/traces", "http://c/otlp/traces": "http://c:4318/otlp/traces",
		"collector:4318": "", "": "", "grpc://c": "", "http://": "", "http://c?x=1": "",
	} {
		at, err := ParseEndpoint(text)
		if want == "" && !errors.Is(err, ErrEndpoint) || want != "" && (err != nil || at.String() != want) {
			t.Errorf("%s: %v, %v", text, at, err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	e := &stuckExporter{release: make(chan struct{})}
	close(e.release)
	tracer := open(e, Options{Logger: slog.New(slog.DiscardHandler)})
	h := message.AppendHeader(nil, "traceparent", recordedParent)
	b.ReportAllocs()
	for b.Loop() {
		p, _ := ParentOf(h)
		tracer.Record(&Span{Parent: p, Operation: Publish, Topic: "t"})
	}
}
