package metrics

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
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

	mu    sync.Mutex      // guards what follows; held while a page is filled: one at a time costs less memory
	sizes map[*Family]int // of the last page of text
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

// ServeHTTP answers. The answer is not compressed: that would cost the node more than the
// network.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultAcceptedFormats()...)
	page := NewText()
	if format.FormatType() == expfmt.TypeProtoDelim {
		page = NewMessages()
	} else {
		format = expfmt.NewFormat(expfmt.TypeTextPlain)
	}
	h.fillPage(page)
	parts := page.parts()
	own, err := h.registry.Gather()
	if err != nil { // of what it could not gather; the rest is there
		h.log.Warn("figures of the process are missing in /metrics", slog.Any("error", err))
	}
	for _, f := range own {
		parts = append(parts, part{name: f.GetName(), family: f})
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	w.Header().Set("Content-Type", string(format))
	write(w, parts, format)
}

func (h *Handler) fillPage(p *Page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.texts != nil {
		p.sizes = h.sizes
	}
	h.fill(p)
	if p.texts == nil {
		return
	}
	h.sizes = make(map[*Family]int, len(p.texts))
	for f, t := range p.texts {
		h.sizes[f] = len(*t)
	}
}

// write ends early when the reader is gone.
func write(w io.Writer, parts []part, format expfmt.Format) {
	const buffer = 64 << 10
	out := bufio.NewWriterSize(w, buffer)
	enc := expfmt.NewEncoder(out, format)
	for _, p := range parts {
		var err error
		if p.family != nil {
			err = enc.Encode(p.family)
		} else {
			_, err = out.Write(p.text)
		}
		if err != nil {
			return
		}
	}
	_ = out.Flush() // nobody is there to be told
}
