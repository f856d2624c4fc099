package cluster

import (
	"math"
	"strconv"
)

// Figure is a number that may be unknown: NaN, which is null in JSON. It is
// sent with at most two decimals.
type Figure float64

var unknown = Figure(math.NaN())

func (f Figure) known() bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }

// MarshalJSON is part of [json.Marshaler].
func (f Figure) MarshalJSON() ([]byte, error) { return f.append(nil), nil }

func (f Figure) append(b []byte) []byte {
	if !f.known() {
		return append(b, "null"...)
	}
	rounded := math.Round(float64(f)*100) / 100
	if rounded == 0 {
		rounded = 0 // not -0
	}
	return strconv.AppendFloat(b, rounded, 'f', -1, 64)
}

// Figures are a line of numbers, of which some may be unknown.
type Figures []Figure

// MarshalJSON is part of [json.Marshaler]. It is for many numbers: the
// standard library calls each figure apart.
func (f Figures) MarshalJSON() ([]byte, error) {
	if f == nil {
		return []byte("null"), nil
	}
	b := make([]byte, 0, 8*len(f)+2)
	b = append(b, '[')
	for i, v := range f {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.append(b)
	}
	return append(b, ']'), nil
}

// Share is part of whole, unknown if whole is nothing. It has four decimals.
type Share float64

func shareOf(part, whole float64) Share {
	if whole <= 0 || math.IsNaN(part) || math.IsNaN(whole) {
		return Share(math.NaN())
	}
	return Share(min(max(part/whole, 0), 1))
}

// MarshalJSON is part of [json.Marshaler].
func (s Share) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(s)) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(s)*1e4)/1e4, 'f', -1, 64), nil
}
