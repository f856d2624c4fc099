package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"qmq/config"
	"qmq/internal/redact"
	"qmq/internal/tracing"
	"qmq/internal/version"
)

// openTracer makes what sends spans to the collector; nil where there is none.
func openTracer(q *config.QD, log *slog.Logger) (*tracing.Tracer, error) {
	if q.OTLPEndpoint == "" {
		return nil, nil
	}
	at, err := tracing.ParseEndpoint(q.OTLPEndpoint)
	if err != nil {
		return nil, fmt.Errorf("--otlp-endpoint=%s: %w", redact.URL(q.OTLPEndpoint), err)
	}
	return tracing.Open(tracing.Options{
		Endpoint: at, Service: "qd", Version: version.Number, Instance: net.JoinHostPort(q.BroadcastAddress, strconv.Itoa(q.BroadcastTCPPort)), Logger: log,
	})
}

// closeTracer sends what waits, but does not hold up the end of the process for a collector
// that does not answer.
func closeTracer(t *tracing.Tracer) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = t.Close(ctx) // what was not sent is lost with the process
	return nil
}
