package loadgen

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Comparison is the same load on two servers, in turn.
type Comparison struct {
	A []*Result `json:"a"`
	B []*Result `json:"b"`
}

// Compare puts a load on a and b in turn, A B A B …, so that what else goes on
// on the machine meets both. When ctx is done it returns the pairs that are
// complete.
func Compare(ctx context.Context, a, b Target, l Load, pairs int, progress Progress) (*Comparison, error) {
	c := new(Comparison)
	for range pairs {
		ra, errA := Run(ctx, a, l, progress)
		if errA != nil && ctx.Err() == nil {
			return c, fmt.Errorf("server A: %w", errA)
		}
		rb, errB := Run(ctx, b, l, progress)
		if ctx.Err() != nil {
			return c, nil
		}
		if errB != nil {
			return c, fmt.Errorf("server B: %w", errB)
		}
		c.A, c.B = append(c.A, ra), append(c.B, rb)
	}
	return c, nil
}

// Sound tells whether every run was.
func (c *Comparison) Sound() bool {
	for _, r := range slices.Concat(c.A, c.B) {
		if !r.Sound() {
			return false
		}
	}
	return true
}

// WriteText writes medians and their ratios for people.
func (c *Comparison) WriteText(w io.Writer) error {
	if len(c.A) == 0 {
		_, err := fmt.Fprintln(w, "no pair was complete")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "median of %d\tA %s\tB %s\tA/B\t\n", len(c.A), c.A[0].Server, c.B[0].Server)
	for _, f := range Figures {
		a, b := f.Median(c.A), f.Median(c.B)
		if a == nil || b == nil {
			continue
		}
		ratio := "-"
		if *b != 0 {
			ratio = fmt.Sprintf("%.2f", *a / *b)
		}
		fmt.Fprintf(t, "%s\t%.4g\t%.4g\t%s\t\n", f.Name, *a, *b, ratio)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range c.A {
		if _, err := fmt.Fprintf(w, "A %d: %s\nB %d: %s\n", i+1, c.A[i].verdict(), i+1, c.B[i].verdict()); err != nil {
			return err
		}
	}
	return nil
}

// Figure is one number of a result.
type Figure struct {
	Name  string // with its unit
	value func(*Result) *float64
}

// Figures are the numbers by which servers are compared.
var Figures = []Figure{
	{"msg/s", func(r *Result) *float64 { return &r.Rate }},
	{"published msg/s", func(r *Result) *float64 { return positive(r.PublishRate) }},
	{"deliveries/s", func(r *Result) *float64 { return positive(r.DeliveryRate) }},
	{"server CPU µs/msg", func(r *Result) *float64 { return r.ServerCPU }},
	{"generator CPU µs/msg", func(r *Result) *float64 { return &r.GeneratorCPU }},
	{"server RSS MiB", func(r *Result) *float64 {
		if r.ServerUse == nil {
			return nil
		}
		mib := mebibytes(r.ServerUse.RSS)
		return &mib
	}},
	{"publish p50 µs", func(r *Result) *float64 { return r.Published.at(func(l *Latency) float64 { return l.P50 }) }},
	{"publish p99 µs", func(r *Result) *float64 { return r.Published.at(func(l *Latency) float64 { return l.P99 }) }},
	{"delivery p50 µs", func(r *Result) *float64 { return r.Delivered.at(func(l *Latency) float64 { return l.P50 }) }},
	{"delivery p99 µs", func(r *Result) *float64 { return r.Delivered.at(func(l *Latency) float64 { return l.P99 }) }},
	{"delivery p99.9 µs", func(r *Result) *float64 { return r.Delivered.at(func(l *Latency) float64 { return l.P999 }) }},
	{"delivery max µs", func(r *Result) *float64 { return r.Delivered.at(func(l *Latency) float64 { return l.Max }) }},
	{"sent late p99 µs", func(r *Result) *float64 { return r.Late.at(func(l *Latency) float64 { return l.P99 }) }},
}

// at is a number of a distribution that may not have been measured.
func (l *Latency) at(number func(*Latency) float64) *float64 {
	if l == nil {
		return nil
	}
	n := number(l)
	return &n
}

func positive(n float64) *float64 {
	if n <= 0 {
		return nil
	}
	return &n
}

// Of is the figure of one result; nil when it was not measured.
func (f Figure) Of(r *Result) *float64 { return f.value(r) }

// Median is that of several results; nil when one of them has none.
func (f Figure) Median(results []*Result) *float64 {
	var values []float64
	for _, r := range results {
		v := f.Of(r)
		if v == nil {
			return nil
		}
		values = append(values, *v)
	}
	return Median(values)
}

// Median is the middle value, or the mean of the two in the middle; nil of
// nothing.
func Median(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return &middle
}
