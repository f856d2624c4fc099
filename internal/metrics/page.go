package metrics

import (
	"strings"

	dto "github.com/prometheus/client_model/go"

	"qmq/internal/histogram"
)

// Labels are the values of a family's labels, in their order. They may be shared by
// many series. The zero value is none.
type Labels struct {
	pairs []*dto.LabelPair
	text  string // as the text has them
}

// LabelsOf pairs names of labels, which are sorted, with their values.
func LabelsOf(pairs ...string) (l Labels) {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		l.pairs = append(l.pairs, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i])
		b.WriteString(`="`)
		textEscapes.WriteString(&b, pairs[i+1]) // to memory
		b.WriteByte('"')
	}
	l.text = b.String()
	return l
}

// Page is the figures of one moment: text, or messages for a reader that takes protocol
// buffers, and with them native histograms. It belongs to one goroutine.
type Page struct {
	texts    map[*Family]*text // nil of one of messages
	sizes    map[*Family]int   // of the texts of the last page: room is made for as much
	families map[*Family]*dto.MetricFamily
	// What messages are made of, many at a time: there may be a hundred thousand.
	metrics  slab[dto.Metric]
	gauges   slab[dto.Gauge]
	counters slab[dto.Counter]
	numbers  slab[float64]
	buckets  slab[dto.Bucket]
	counts   slab[uint64]
}

// NewText is an empty page of text.
func NewText() *Page { return &Page{texts: make(map[*Family]*text), sizes: make(map[*Family]int)} }

// NewMessages is an empty page of messages.
func NewMessages() *Page { return &Page{families: make(map[*Family]*dto.MetricFamily)} }

// slab makes values many at a time.
type slab[T any] struct{ rest []T }

func (s *slab[T]) one() *T {
	const many = 1024
	if len(s.rest) == 0 {
		s.rest = make([]T, many)
	}
	v := &s.rest[0]
	s.rest = s.rest[1:]
	return v
}

func (p *Page) number(v float64) *float64 {
	n := p.numbers.one()
	*n = v
	return n
}

func (p *Page) count(v uint64) *uint64 {
	n := p.counts.one()
	*n = v
	return n
}

func (p *Page) series(f *Family, labels Labels) *dto.Metric {
	family := p.families[f]
	if family == nil {
		family = &dto.MetricFamily{Name: &f.Name, Help: &f.Help, Type: kinds[f.Kind].Enum()}
		p.families[f] = family
	}
	m := p.metrics.one()
	m.Label = labels.pairs
	family.Metric = append(family.Metric, m)
	return m
}

// lines are the text of a family.
func (p *Page) lines(f *Family) *text {
	t := p.texts[f]
	if t == nil {
		room := p.sizes[f]
		t = new(text)
		*t = make(text, 0, room+room/16) // a little more than the last time
		*t = t.begin(f)
		p.texts[f] = t
	}
	return t
}

// Add adds a series of a counter or a gauge.
func (p *Page) Add(f *Family, v float64, labels Labels) {
	if p.texts != nil {
		t := p.lines(f)
		*t = t.line(f, "", labels, v)
		return
	}
	m := p.series(f, labels)
	if f.Kind == Counter {
		m.Counter = p.counters.one()
		m.Counter.Value = p.number(v)
		return
	}
	m.Gauge = p.gauges.one()
	m.Gauge.Value = p.number(v)
}

// AddTruth adds a series of a gauge that is 1 or 0.
func (p *Page) AddTruth(f *Family, v bool, labels Labels) {
	n := 0.0
	if v {
		n = 1
	}
	p.Add(f, n, labels)
}

// Classic are the bounds of classic buckets, as exponents of 2 of the seconds: each is
// the bound of a native bucket too.
var Classic = [classics]int{-14, -12, -10, -8, -6, -4, -2, 0, 2, 4, 6, 8, 10, 12, 14}

const classics = 15

// classicBounds are Classic in seconds.
var classicBounds = func() (bounds []float64) {
	for _, exponent := range Classic {
		bounds = append(bounds, histogram.End((exponent-histogram.Shortest)*histogram.PerOctave))
	}
	return bounds
}()

// classicCounts are how many durations each classic bound has below it.
func classicCounts(s *histogram.Snapshot) (counts [classics]uint64) {
	sum, next := uint64(0), 0
	for i, exponent := range Classic {
		for end := (exponent - histogram.Shortest) * histogram.PerOctave; next <= end; next++ {
			sum += s.Counts[next]
		}
		counts[i] = sum
	}
	return counts
}

// AddHistogram adds a series of a histogram: with classic buckets, and native ones where
// the reader takes them.
func (p *Page) AddHistogram(f *Family, s *histogram.Snapshot, labels Labels) {
	if p.texts != nil {
		t := p.lines(f)
		*t = t.histogram(f, s, labels)
		return
	}
	h := &dto.Histogram{SampleCount: p.count(s.Count), SampleSum: p.number(s.Sum)}
	h.Bucket = make([]*dto.Bucket, 0, classics)
	for i, n := range classicCounts(s) {
		b := p.buckets.one()
		b.UpperBound, b.CumulativeCount = &classicBounds[i], p.count(n)
		h.Bucket = append(h.Bucket, b)
	}
	p.addNative(h, s)
	p.series(f, labels).Histogram = h
}

// addNative adds the native buckets: runs of those that have something, and how each
// differs from the one before.
func (p *Page) addNative(h *dto.Histogram, s *histogram.Snapshot) {
	schema := int32(histogram.Schema)
	h.Schema = &schema
	h.ZeroThreshold, h.ZeroCount = p.number(histogram.End(0)), p.count(s.Counts[0])
	last, before := 0, int64(0) // the bucket of the last delta, and its count
	for i := 1; i < histogram.Buckets; i++ {
		n := int64(s.Counts[i])
		if n == 0 {
			continue
		}
		if len(h.PositiveSpan) > 0 && i == last+1 {
			span := h.PositiveSpan[len(h.PositiveSpan)-1]
			*span.Length++
		} else {
			offset, length := int32(i-last-1), uint32(1)
			if len(h.PositiveSpan) == 0 { // it begins at the number of the bucket
				offset = int32(i + histogram.Shortest*histogram.PerOctave)
			}
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: &length})
		}
		h.PositiveDelta = append(h.PositiveDelta, n-before)
		last, before = i, n
	}
	if len(h.PositiveSpan) == 0 { // without any it would not pass for a native one
		offset, length := int32(0), uint32(0)
		h.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}}
	}
}

// part is a family as it is written.
type part struct {
	name   string
	text   text              // or
	family *dto.MetricFamily // a message
}

// parts are the page's families.
func (p *Page) parts() (list []part) {
	for f, t := range p.texts {
		list = append(list, part{name: f.Name, text: *t})
	}
	for f, m := range p.families {
		list = append(list, part{name: f.Name, family: m})
	}
	return list
}
