package table

import (
	"fmt"
	"io"
	"strings"

	"qmq/loadgen"
)

// WriteText writes the report as Markdown: the loads in one table, all other
// figures in another.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	names, versions, taken := "qd and nsqd", r.QD+" against "+r.NSQD, "both daemons in turn, each time"
	if r.NSQD == "" {
		names, versions, taken = "qd", r.QD, "each time"
	}
	fmt.Fprintf(&b, "# %s, %s\n\n", names, r.Date.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "- %s\n", versions)
	fmt.Fprintf(&b, "- %s, %d cores, %s, %s; generator built with %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Machine.Go)
	fmt.Fprintf(&b, "- medians of %d, %s with a fresh data directory; generator and daemon share the machine\n", r.Pairs, taken)
	if r.Quick {
		b.WriteString("- quick: small counts, an impression and no measurement\n")
	}
	r.writeLoads(&b)
	r.writeOthers(&b)
	r.writeTroubles(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeLoads(b *strings.Builder) {
	title := "\n| load | qd msg/s | nsqd msg/s | ratio | qd CPU µs/msg | nsqd CPU µs/msg | ratio | generator CPU µs/msg | bar | met |\n|---|--:|--:|--:|--:|--:|--:|--:|---|---|\n"
	for _, row := range r.Rows {
		rate, cpu, generator := row.figure(rate), row.figure(serverCPU), row.figure(generatorCPU)
		if rate == nil || cpu == nil || generator == nil {
			continue
		}
		b.WriteString(title)
		title = ""
		fmt.Fprintf(b, "| %s | %s | %s | %s | %.2f | %s | %s | %s | %s | %s |\n", row.label(),
			loadgen.Count(rate.QD), rate.other(loadgen.Count(rate.NSQD)), rate.ratio(), cpu.QD, cpu.other(fmt.Sprintf("%.2f", cpu.NSQD)), cpu.ratio(),
			fmt.Sprintf("%.2f", generator.QD)+generator.other(fmt.Sprintf(", %.2f", generator.NSQD)), asked(rate, cpu), met(rate, cpu))
	}
}

func (r *Report) writeOthers(b *strings.Builder) {
	title := "\n| row | figure | qd | nsqd | ratio | bar | met |\n|---|---|--:|--:|--:|---|---|\n"
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			switch f.Name {
			case rate, serverCPU, generatorCPU, lost, altered:
				continue
			}
			b.WriteString(title)
			title = ""
			fmt.Fprintf(b, "| %s | %s | %.4g | %s | %s | %s | %s |\n", row.label(), f.Name, f.QD, f.other(fmt.Sprintf("%.4g", f.NSQD)), f.ratio(), asked(f), met(f))
		}
	}
}

// writeTroubles tells what was lost and what was not measured.
func (r *Report) writeTroubles(b *strings.Builder) {
	title := "\n"
	line := func(format string, args ...any) {
		fmt.Fprintf(b, title+"- "+format+"\n", args...)
		title = ""
	}
	for _, row := range r.Rows {
		for _, name := range []string{lost, altered} {
			if f := row.figure(name); f != nil && (f.QD != 0 || f.NSQD != 0) {
				line("%s: messages %s by qd %.0f, by nsqd %.0f", row.Name, name, f.QD, f.NSQD)
			}
		}
		if row.Error != "" {
			line("%s: not measured: %s", row.Name, strings.ReplaceAll(row.Error, "\n", " · "))
		}
	}
	if title != "" {
		b.WriteString("\nNo message was lost or altered, as far as they were consumed.\n")
	}
}

// label is the row's name with its flags.
func (r *Row) label() string {
	label := r.Name
	if len(r.Flags) > 0 {
		label += " (`" + strings.Join(r.Flags, " ") + "`)"
	}
	if len(r.NSQDFlags) > 0 {
		label += " (nsqd `" + strings.Join(r.NSQDFlags, " ") + "`)"
	}
	return label
}

// other is a text about the daemon that qd is compared with, empty when there is
// none.
func (f *Figure) other(text string) string {
	if len(f.NSQDRuns) == 0 {
		return ""
	}
	return text
}

func (f *Figure) ratio() string { return f.other(fmt.Sprintf("%.2f", f.Ratio)) }

// figure is the one of that name, nil if it was not measured.
func (r *Row) figure(name string) *Figure {
	for _, f := range r.Figures {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// asked is what is asked of the figures, in words.
func asked(figures ...*Figure) string {
	var all []string
	for _, f := range figures {
		if f.Bar == nil {
			continue
		}
		sign := "≤"
		if moreIsBetter(f.Name) {
			sign = "≥"
		}
		if f.Bar.Ratio != 0 {
			all = append(all, fmt.Sprintf("%s %s %.4g×", f.Name, sign, f.Bar.Ratio))
		}
		if f.Bar.Value != 0 {
			all = append(all, fmt.Sprintf("%s %s %.4g", f.Name, sign, f.Bar.Value))
		}
	}
	return strings.Join(all, ", ")
}

// met tells whether all bars of the figures are met; nothing without bars.
func met(figures ...*Figure) string {
	text := ""
	for _, f := range figures {
		switch {
		case f.Met == nil:
		case !*f.Met:
			return "**no**"
		default:
			text = "yes"
		}
	}
	return text
}
