// Package tracing tells an OpenTelemetry collector, over OTLP with HTTP, what becomes of
// messages that are traced: those whose header traceparent (W3C Trace Context) says that
// their trace is recorded. It begins no trace of its own, and who is traced waits for
// nothing: what the collector does not take in time is dropped and counted.
//
// The SDK's batching goroutine sends; Close ends it. All methods may be called
// concurrently.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"qmq/message"
)

const (
	// maxWaiting is how many spans wait for the collector at most.
	maxWaiting = 8192
	// maxSent is how many are sent at a time.
	maxSent = 512
	// sendEvery is how long the first of them waits at most.
	sendEvery = time.Second
	// sendTimeout is how long the collector may take.
	sendTimeout = 10 * time.Second
)

// Options of a Tracer.
type Options struct {
	Endpoint *url.URL // of the collector, see ParseEndpoint
	Service  string   // the program
	Version  string   // of it
	Instance string   // which of its processes this is
	Logger   *slog.Logger
}

// ErrEndpoint means that a text is no endpoint.
var ErrEndpoint = errors.New("an endpoint is http:// or https://, a host and, if it is not 4318, a port; /v1/traces is its path unless it has another")

// ParseEndpoint reads where a collector is: a URL whose path, where it has none, is that of
// OTLP. The error is ErrEndpoint.
func ParseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, ErrEndpoint
	}
	if u.Port() == "" {
		u.Host += ":4318"
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u, nil
}

// Tracer sends spans to a collector.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	counts   counts
}

// counts is what became of spans.
type counts struct {
	waiting       atomic.Int64 // are not sent, or being sent
	sent, dropped atomic.Uint64
}

// Open makes a Tracer. Nothing is asked of the collector yet.
func Open(o Options) (*Tracer, error) {
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(o.Endpoint.String()),
		otlptracehttp.WithTimeout(sendTimeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		return nil, fmt.Errorf("spans cannot be sent: %w", err)
	}
	return open(exporter, o), nil
}

func open(exporter sdk.SpanExporter, o Options) *Tracer {
	t := new(Tracer)
	counting := &countingExporter{SpanExporter: exporter, counts: &t.counts, log: o.Logger}
	batching := sdk.NewBatchSpanProcessor(counting, sdk.WithMaxQueueSize(maxWaiting), sdk.WithMaxExportBatchSize(maxSent),
		sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(sendTimeout))
	t.provider = sdk.NewTracerProvider(
		sdk.WithSpanProcessor(&boundedProcessor{batching, &t.counts}),
		sdk.WithSampler(sdk.ParentBased(sdk.NeverSample())),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", o.Service), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Instance),
		)),
	)
	t.tracer = t.provider.Tracer("qmq")
	return t
}

// Close sends what waits, as far as that can be done while ctx is not done.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Counts are how many spans the collector took, and how many were dropped, because it did
// not, or because too many waited.
func (t *Tracer) Counts() (sent, dropped uint64) {
	return t.counts.sent.Load(), t.counts.dropped.Load()
}

// Drop counts spans that are not even made.
func (t *Tracer) Drop(n int) { t.counts.dropped.Add(uint64(n)) }

// boundedProcessor drops spans beyond what may wait, and counts them.
type boundedProcessor struct {
	sdk.SpanProcessor
	counts *counts
}

// OnEnd has a span sent.
func (p *boundedProcessor) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if p.counts.waiting.Add(1) > maxWaiting {
		p.counts.waiting.Add(-1)
		p.counts.dropped.Add(1)
		return
	}
	p.SpanProcessor.OnEnd(s)
}

// countingExporter counts what became of what is sent. A collector that fails is told of
// when that begins, and when it ends.
type countingExporter struct {
	sdk.SpanExporter
	counts *counts
	log    *slog.Logger
	failed atomic.Bool
}

// ExportSpans sends spans.
func (e *countingExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.counts.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.counts.dropped.Add(uint64(len(spans)))
		if !e.failed.Swap(true) {
			e.log.Warn("the collector takes no spans, which are dropped until it does", "error", err)
		}
		return nil // it is told of
	}
	e.counts.sent.Add(uint64(len(spans)))
	if e.failed.Swap(false) {
		e.log.Info("the collector takes spans again")
	}
	return nil
}

// Parent is where in a trace the publisher of a message was.
type Parent struct{ at trace.SpanContext }

// ParentOf is what the headers of a message, encoded, say of a trace; ok is false where
// they say nothing, nothing that makes sense, or that it is not recorded.
func ParentOf(headers []byte) (p Parent, ok bool) {
	parent, ok := message.Header(headers, message.HeaderTraceparent)
	if !ok || len(parent) == 0 || !recorded(parent[len(parent)-1]) {
		return p, false
	}
	state, _ := message.Header(headers, message.HeaderTracestate)
	c := carrier{string(parent), string(state)}
	p.at = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), c))
	return p, p.at.IsValid() && p.at.IsSampled()
}

// recorded looks at the last digit of a traceparent, so that one which is not recorded
// costs nothing more.
func recorded(digit byte) bool {
	return digit&1 != 0 && digit < 'a' || digit&1 == 0 && digit >= 'a'
}

// carrier is a traceparent and a tracestate.
type carrier struct{ parent, state string }

func (c carrier) Get(key string) string {
	switch key {
	case message.HeaderTraceparent:
		return c.parent
	case message.HeaderTracestate:
		return c.state
	}
	return ""
}

func (c carrier) Set(string, string) {}

func (c carrier) Keys() []string {
	return []string{message.HeaderTraceparent, message.HeaderTracestate}
}

// What a Span is of.
const (
	Publish = "publish" // from when a publish has come to when it is stored, or refused
	Deliver = "deliver" // from when a message is taken out of its channel to when it is written to its consumer
	Finish  = "finish"  // from when it is taken to the consumer's answer
)

// Span is something that became of a message.
type Span struct {
	Parent     Parent
	Operation  string // one of the words above
	Start, End time.Time

	Topic, Channel string // the channel is empty of a publish
	ID             string // of the message; empty of a publish
	Attempts       int    // of deliveries, this one included
	Size           int    // bytes of the body
	Client         string // the address of the publisher or consumer
	Outcome        string // of Finish: FIN, REQ, or what came instead
	Failed         string // why it came to nothing; empty: it did not
}

// Record has a span sent.
func (t *Tracer) Record(s *Span) {
	kind, name := trace.SpanKindConsumer, s.Operation+" "+s.Topic
	if s.Operation == Publish {
		kind = trace.SpanKindProducer
	}
	attributes := append(make([]attribute.KeyValue, 0, 10),
		attribute.String("messaging.system", "q"),
		attribute.String("messaging.operation.name", s.Operation),
		attribute.String("messaging.destination.name", s.Topic),
		attribute.Int("messaging.message.body.size", s.Size),
	)
	if s.Client != "" {
		attributes = append(attributes, attribute.String("client.address", s.Client))
	}
	if s.Operation != Publish {
		attributes = append(attributes, attribute.String("messaging.destination.subscription.name", s.Channel),
			attribute.String("messaging.message.id", s.ID), attribute.Int("q.attempts", s.Attempts))
	}
	if s.Outcome != "" {
		attributes = append(attributes, attribute.String("q.outcome", s.Outcome))
	}
	_, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), s.Parent.at), name,
		trace.WithTimestamp(s.Start), trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	if s.Failed != "" {
		span.SetStatus(codes.Error, s.Failed)
	}
	span.End(trace.WithTimestamp(s.End))
}
