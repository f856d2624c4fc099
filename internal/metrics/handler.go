package metrics

import (
	"bufio"
	"log/slog"
	"net/http"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"qmq/internal/version"
)

// Handler answers GET /metrics, in Prometheus' text or, for a reader that asks for it, as
// protocol buffers, which have native histograms too. It may be called concurrently: one
// answer is made at a time.
type Handler struct {
	registry *prometheus.Registry // of the process and the runtime
	fill     func(*Page)
	log      *slog.Logger

	mu sync.Mutex // held while a page is filled, one at a time: it costs memory
}

// NewHandler makes the handler of a daemon, whose figures fill adds to a page; it is
// called by one goroutine at a time.
func NewHandler(daemon string, fill func(*Page), log *slog.Logger) *Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: daemon + "_build_info", Help: "1; which version this is",
			ConstLabels: prometheus.Labels{"version": version.Number, "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
	)
	return &Handler{registry: r, fill: fill, log: log}
}

// ServeHTTP answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	format := expfmt.Negotiate(r.Header)
	page := NewPage(format.FormatType() == expfmt.TypeProtoDelim)
	h.mu.Lock()
	h.fill(page)
	h.mu.Unlock()
	families := page.Gather()
	own, err := h.registry.Gather()
	if err != nil { // of what it could not gather; the rest is there
		h.log.Warn("figures of the process are missing in /metrics", slog.Any("error", err))
	}
	families = append(families, own...)
	sortFamilies(families)
	w.Header().Set("Content-Type", string(format))
	const buffer = 64 << 10
	out := bufio.NewWriterSize(w, buffer)
	enc := expfmt.NewEncoder(out, format)
	for _, f := range families {
		if enc.Encode(f) != nil {
			return // the reader is gone
		}
	}
	_ = out.Flush() // the same
}
