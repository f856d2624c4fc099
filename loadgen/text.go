package loadgen

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the result for people.
func (r *Result) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("server", "%s", r.Server)
	line("load", "%s", r.Load)
	line("messages", "%s in %.2f s", Count(float64(r.Messages)), r.Seconds)
	line("rate", "%s msg/s, %.1f MB/s", Count(r.Rate), r.Megabytes)
	if r.Load.Channels > 0 && !r.Load.Backlog {
		line("published", "%s msg/s", Count(r.PublishRate))
	}
	if r.Load.Channels > 0 {
		line("delivered", "%s /s", Count(r.DeliveryRate))
	}
	if r.ServerCPU != nil {
		line("server CPU", "%.3f µs a message", *r.ServerCPU)
		line("server memory", "%.1f MiB, %.1f MiB at most", mebibytes(r.ServerUse.RSS), mebibytes(r.ServerUse.PeakRSS))
	} else {
		line("server CPU", "not known: not a process of this machine and user")
	}
	line("generator CPU", "%.3f µs a message", r.GeneratorCPU)
	for _, l := range []struct {
		name string
		of   *Latency
	}{{"publish latency", r.Published}, {"delivery latency", r.Delivered}, {"sent late", r.Late}} {
		if l.of != nil {
			line(l.name, "%s", l.of)
		}
	}
	line("checked", "%s", r.verdict())
	return t.Flush()
}

// verdict is what the checks found, in words.
func (r *Result) verdict() string {
	if r.Checked == 0 {
		return "no message was delivered"
	}
	text := fmt.Sprintf("%s deliveries: %d lost, %d altered, %d duplicated, %d redelivered, %d out of order",
		Count(float64(r.Checked)), r.Lost, r.Altered, r.Duplicated, r.Redelivered, r.OutOfOrder)
	if r.FinRefused > 0 {
		text += fmt.Sprintf(", %d finished too late", r.FinRefused)
	}
	if r.Foreign > 0 {
		text += fmt.Sprintf(", and %d of others", r.Foreign)
	}
	if r.Interrupted {
		text += "; interrupted, so nothing counts as lost"
	}
	return text
}

// String is the load in a line.
func (l Load) String() string {
	var b strings.Builder
	command := "PUB"
	if l.Defer > 0 {
		command = "DPUB"
	}
	if l.Batch > 1 {
		command = fmt.Sprintf("MPUB of %d", l.Batch)
	}
	if l.HTTP {
		command = "HTTP " + command
	}
	fmt.Fprintf(&b, "%d × %s, window %d, %d bytes", l.Publishers, command, l.Window, l.Body)
	if l.Topics > 1 {
		fmt.Fprintf(&b, " to %d topics in turn", l.Topics)
	}
	if l.Encoding != (Encoding{}) {
		fmt.Fprintf(&b, ", %s", l.Encoding)
	}
	if l.Rate > 0 {
		fmt.Fprintf(&b, ", %s msg/s", Count(l.Rate))
	}
	if l.Channels > 0 {
		fmt.Fprintf(&b, "; %d channels × %d consumers, RDY %d", l.Channels, l.Consumers, l.Ready)
	}
	if l.Backlog {
		b.WriteString(", of a backlog")
	}
	return b.String()
}

// String is the distribution in a line.
func (l *Latency) String() string {
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, p99.99 %s, max %s",
		Micros(l.P50), Micros(l.P90), Micros(l.P99), Micros(l.P999), Micros(l.P9999), Micros(l.Max))
}

// Count formats a number with three digits that matter.
func Count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

// Micros formats a duration in µs.
func Micros(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.2f s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.2f ms", us/1e3)
	}
	return fmt.Sprintf("%.0f µs", us)
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
