package metrics

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"qmq/internal/histogram"
)

// text is a family in Prometheus' text format. There may be a hundred thousand lines, which
// is why they are appended here and not made of messages first.
type text []byte

var textEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func (t text) begin(f *Family) text {
	t = append(append(append(append(append(t, "# HELP "...), f.Name...), ' '), strings.ReplaceAll(f.Help, `\`, `\\`)...), '\n')
	return append(append(append(append(append(t, "# TYPE "...), f.Name...), ' '), f.Kind.String()...), '\n')
}

// line is a series, of whose name suffix is the end.
func (t text) line(f *Family, suffix string, labels Labels, v float64) text {
	t = append(append(t, f.Name...), suffix...)
	if labels.text != "" {
		t = append(append(append(t, '{'), labels.text...), '}')
	}
	return append(t.number(append(t, ' '), v), '\n')
}

// bucket is a line of a classic bucket.
func (t text) bucket(f *Family, labels Labels, bound string, n uint64) text {
	t = append(append(append(t, f.Name...), "_bucket{"...), labels.text...)
	if labels.text != "" {
		t = append(t, ',')
	}
	t = append(append(append(t, `le="`...), bound...), `"} `...)
	return append(strconv.AppendUint(t, n, 10), '\n')
}

func (text) number(t text, v float64) text {
	const exact = 1 << 53
	if v == math.Trunc(v) && math.Abs(v) < exact {
		return strconv.AppendInt(t, int64(v), 10)
	}
	return strconv.AppendFloat(t, v, 'g', -1, 64)
}

// classicTexts are Classic in seconds, as the text has them.
var classicTexts = func() (bounds []string) {
	for _, b := range classicBounds {
		bounds = append(bounds, strconv.FormatFloat(b, 'g', -1, 64))
	}
	return bounds
}()

func (t text) histogram(f *Family, s *histogram.Snapshot, labels Labels) text {
	t = slices.Grow(t, (len(Classic)+3)*(len(f.Name)+len(labels.text)+48))
	for i, n := range classicCounts(s) {
		t = t.bucket(f, labels, classicTexts[i], n)
	}
	t = t.bucket(f, labels, "+Inf", s.Count)
	t = t.line(f, "_sum", labels, s.Sum)
	return t.line(f, "_count", labels, float64(s.Count))
}
