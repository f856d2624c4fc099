package set

import (
	"fmt"
	"io"
	"strings"
)

// WriteText writes the report as Markdown.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s: %s, %s, %d cores, %s, %s. Medians of %d pairs; all members, what they are compared with, the generator and whatever else is at work share the machine.\n\n",
		r.Date.Format("2006-01-02 15:04 MST"), r.QD, r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Pairs)
	if r.Quick {
		b.WriteString("Quick: small counts, an impression and no measurement.\n\n")
	}
	fmt.Fprintf(&b, "| what | figure | set of three | %s | ratio | asked | met |\n|---|---|--:|--:|--:|---|---|\n", r.Other)
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			if f.Name != lost {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.label(row), f.Name, number(f.Set), f.other(number(f.Alone)), f.other(fmt.Sprintf("%.2f", f.Ratio)), f.asked(), f.met())
			}
		}
	}
	for _, row := range r.Rows {
		if row.Error != "" {
			fmt.Fprintf(&b, "\n%s: not measured, or not often enough: %s\n", row.Name, strings.ReplaceAll(row.Error, "\n", " · "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number has three digits that count, and all before the point.
func number(n float64) string {
	if n >= 100 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}

// label is the row's name with its flags.
func (r *Report) label(row *Row) string {
	label := row.Name
	if len(row.Flags) > 0 {
		label += " (`" + strings.Join(row.Flags, " ") + "`)"
	}
	if len(row.AloneFlags) > 0 {
		label += " (" + r.Other + ": `" + strings.Join(row.AloneFlags, " ") + "`)"
	}
	return label
}

func (f *Figure) other(text string) string {
	if len(f.AloneRuns) == 0 {
		return ""
	}
	return text
}

// asked is what is asked of the figure, in words.
func (f *Figure) asked() string {
	if f.Bar == nil {
		return ""
	}
	sign := "≤"
	if moreIsBetter(f.Name) {
		sign = "≥"
	}
	var all []string
	if f.Bar.Ratio != 0 {
		all = append(all, fmt.Sprintf("%s %.4g×", sign, f.Bar.Ratio))
	}
	if f.Bar.Above != 0 {
		all = append(all, fmt.Sprintf("%s %.4g more", sign, f.Bar.Above))
	}
	if f.Bar.Value != 0 {
		all = append(all, fmt.Sprintf("%s %.4g", sign, f.Bar.Value))
	}
	return strings.Join(all, ", ")
}

func (f *Figure) met() string {
	switch {
	case f.Met == nil:
		return ""
	case *f.Met:
		return "yes"
	default:
		return "**no**"
	}
}
