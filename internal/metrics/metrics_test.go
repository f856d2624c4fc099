package metrics

import (
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"qmq/internal/histogram"
)

var (
	counted = &Family{Name: "test_things_total", Kind: Counter, Labels: []string{"name"}, Help: `Things, a\b`}
	level   = &Family{Name: "test_level", Kind: Gauge, Help: "A level"}
	took    = &Family{Name: "test_took_seconds", Kind: Histogram, Labels: []string{"name"}, Help: "What it took"}
)

// ask asks a handler for its figures.
func ask(t *testing.T, h *Handler, accept string) map[string]*dto.MetricFamily {
	t.Helper()
	q, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
	q.Header.Set("Accept", accept)
	h.ServeHTTP(w, q)
	if accept == "" {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return families
	}
	families := make(map[string]*dto.MetricFamily)
	for d := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header())); ; {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); err == io.EOF {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
}

const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

func TestBothFormatsSayTheSame(t *testing.T) {
	handler := NewHandler("test", nil, slog.New(slog.DiscardHandler))
	handler.registry = prometheus.NewRegistry() // the process is the same all the time
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.String().Draw(r, "label")
		value := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Int64(), func(n int64) float64 { return float64(n) })).Draw(r, "value")
		var h histogram.Histogram
		for _, ns := range rapid.SliceOf(rapid.Int64Range(0, math.MaxInt64)).Draw(r, "durations") {
			h.Add(ns >> rapid.IntRange(0, 62).Draw(r, "shift"))
		}
		var s histogram.Snapshot
		h.AddTo(&s)
		handler.fill = func(p *Page) {
			p.Add(counted, 3, LabelsOf("name", name))
			p.Add(level, value, Labels{})
			p.AddHistogram(took, &s, LabelsOf("name", name))
		}
		for _, accept := range []string{"", protobuf} {
			got := ask(t, handler, accept)
			c := got[counted.Name].GetMetric()[0]
			if c.GetCounter().GetValue() != 3 || c.GetLabel()[0].GetValue() != name || got[counted.Name].GetHelp() != counted.Help {
				r.Errorf("%q: %v", accept, got[counted.Name])
			}
			if v := got[level.Name].GetMetric()[0].GetGauge().GetValue(); v != value {
				r.Errorf("%q: level %v, want %v", accept, v, value)
			}
			checkHistogram(r, got[took.Name].GetMetric()[0].GetHistogram(), &s, accept != "")
		}
	})
}

func checkHistogram(t *rapid.T, h *dto.Histogram, s *histogram.Snapshot, native bool) {
	if h.GetSampleCount() != s.Count || math.Abs(h.GetSampleSum()-s.Sum) > s.Sum/1e9 {
		t.Errorf("%d in %v s, want %d in %v", h.GetSampleCount(), h.GetSampleSum(), s.Count, s.Sum)
	}
	for i, exponent := range Classic {
		if b := h.Bucket[i]; b.GetUpperBound() != math.Exp2(float64(exponent)) || b.GetCumulativeCount() != s.UpTo(exponent) {
			t.Errorf("bucket %v", b)
		}
	}
	if !native {
		return
	}
	var counts [histogram.Buckets]uint64
	counts[0] = h.GetZeroCount()
	at, n, deltas := int32(0), int64(0), h.PositiveDelta
	for _, span := range h.PositiveSpan {
		at += span.GetOffset()
		for range span.GetLength() {
			n += deltas[0]
			deltas = deltas[1:]
			counts[at-histogram.Shortest*histogram.PerOctave] = uint64(n)
			at++
		}
	}
	if counts != s.Counts || len(deltas) > 0 {
		t.Errorf("native buckets %v, want %v", counts, s.Counts)
	}
}

func TestPageIsSortedAndTellsOfTheProcess(t *testing.T) {
	h := NewHandler("test", func(p *Page) { p.AddTruth(level, true, Labels{}) }, slog.New(slog.DiscardHandler))
	got := ask(t, h, "")
	var names []string
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "test_build_info", "test_level"} {
		if got[name] != nil {
			names = append(names, name)
		}
	}
	if !slices.Equal(names, []string{"go_goroutines", "process_cpu_seconds_total", "test_build_info", "test_level"}) {
		t.Errorf("of these there are %v", names)
	}
}
