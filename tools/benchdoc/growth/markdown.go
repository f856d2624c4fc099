package growth

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"qmq/loadgen"
)

// WriteText writes the report as Markdown: a table for each series.
func (r *Report) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, r.markdown())
	return err
}

func (r *Report) markdown() string {
	var b strings.Builder
	daemons := r.QD
	if r.NSQD != "" {
		daemons += " and " + r.NSQD
	}
	fmt.Fprintf(&b, "Measured %s: %s, %s, %d cores, %s, %s; generator built with %s. Medians of %d; generator and daemon share the machine.\n",
		r.Date.Format("2006-01-02 15:04 MST"), daemons, r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Machine.Go, r.Runs)
	if r.Quick {
		b.WriteString("Quick: an impression and no measurement.\n")
	}
	for _, s := range r.Series {
		s.write(&b)
	}
	if !r.Sound() {
		b.WriteString("\n**Messages were lost or altered.**\n")
	}
	return b.String()
}

func (s *Series) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n%s.\n", title(s.Name), title(s.Fixed))
	several, deliveries := len(s.Lines) > 1, s.Per == delivery
	head, rule := "\n|", "\n|"
	column := func(is bool, name, align string) {
		if is {
			head += " " + name + " |"
			rule += align + "|"
		}
	}
	column(several, "", "---")
	column(true, s.Quantity, "--:")
	column(true, "msg/s", "--:")
	column(deliveries, "deliveries/s", "--:")
	column(true, "server CPU µs/"+unit(s.Per), "--:")
	column(true, "generator CPU µs/"+unit(s.Per), "--:")
	column(true, "server RSS MiB", "--:")
	b.WriteString(head + rule + "\n")
	var troubles []string
	for _, c := range s.Lines {
		for _, p := range c.Points {
			b.WriteString("|")
			if several {
				fmt.Fprintf(b, " %s |", c.Daemon)
			}
			s.writePoint(b, &p, deliveries)
			if text := p.problem(); text != "" {
				troubles = append(troubles, fmt.Sprintf("%s, %s: %s", c.Daemon, s.label(p.X), text))
			}
		}
	}
	for i, text := range troubles {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "- %s\n", text)
	}
}

func (s *Series) writePoint(b *strings.Builder, p *Point, deliveries bool) {
	fmt.Fprintf(b, " %s |", s.label(p.X))
	if p.Error != "" {
		b.WriteString(" not measured |")
		if deliveries {
			b.WriteString(" |")
		}
		b.WriteString(" | | |\n")
		return
	}
	fmt.Fprintf(b, " %s |", loadgen.Count(p.Rate))
	if deliveries {
		fmt.Fprintf(b, " %s |", loadgen.Count(p.DeliveryRate))
	}
	fmt.Fprintf(b, " %s | %s | %.0f |\n", short(p.ServerCPU), short(p.GeneratorCPU), p.RSS)
}

// problem is what went wrong at a point, in words; empty when nothing did.
func (p *Point) problem() string {
	switch {
	case p.Error != "":
		return "not measured: " + strings.ReplaceAll(p.Error, "\n", " · ")
	case p.Lost != 0 || p.Altered != 0:
		return fmt.Sprintf("%d messages lost, %d altered", p.Lost, p.Altered)
	}
	return ""
}

// label is a value of the quantity that grows.
func (s *Series) label(x int) string {
	if !s.Bytes && x < 10_000 {
		return strconv.Itoa(x)
	}
	units, step := []string{"", " k", " M"}, 1000
	if s.Bytes {
		units, step = []string{" B", " KiB", " MiB"}, 1024
	}
	i := 0
	for x >= step && x%step == 0 && i+1 < len(units) {
		x /= step
		i++
	}
	return strconv.Itoa(x) + units[i]
}

// short is a number with three digits that matter.
func short(n float64) string {
	switch {
	case n >= 100:
		return fmt.Sprintf("%.0f", n)
	case n >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

func unit(per string) string {
	if per == message {
		return "msg"
	}
	return per
}

func title(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// Marks between which the tables stand in a document.
const (
	beginMark = "<!-- growth -->"
	endMark   = "<!-- /growth -->"
)

// Insert puts the tables between the marks of a document, in place of what is
// there. A document without marks becomes the tables.
func (r *Report) Insert(document string) string {
	before, rest, begun := strings.Cut(document, beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		return r.markdown()
	}
	return before + beginMark + "\n" + r.markdown() + endMark + after
}
