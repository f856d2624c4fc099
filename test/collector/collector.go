// Package collector is a collector of OpenTelemetry for tests: it takes spans over OTLP
// with HTTP and shows them.
package collector

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	service "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that came.
type Span struct {
	*otlp.Span
	Texts map[string]string // its attributes that are texts
	From  map[string]string // those of who sent it
}

// Collector takes spans until the end of the test.
type Collector struct {
	URL string

	mu    sync.Mutex // guards what follows
	spans []Span
}

// Start has a collector listen on a port of its own.
func Start(t testing.TB) *Collector {
	c := new(Collector)
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// ServeHTTP takes spans.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	b, err := io.ReadAll(body)
	var request service.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, &request) != nil {
		http.Error(w, "no spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		from := texts(resource.Resource.Attributes)
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, Span{s, texts(s.Attributes), from})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func texts(attributes []*common.KeyValue) map[string]string {
	list := make(map[string]string)
	for _, a := range attributes {
		list[a.Key] = a.Value.GetStringValue()
	}
	return list
}

// Spans are those that came.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}
