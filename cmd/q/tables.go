package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// printTable prints aligned columns, numbers to the right. A heading in lower
// case is for text.
func printTable(w io.Writer, header []string, rows [][]any) {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	if colorful(w) {
		style.Color.Header = text.Colors{text.Bold}
	}
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	var configs []table.ColumnConfig
	head := make(table.Row, len(header))
	for i, name := range header {
		head[i] = name
		align := text.AlignLeft
		if len(rows) > 0 && isNumber(rows[0][i]) {
			align = text.AlignRight
		}
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align})
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(head)
	for _, cells := range rows {
		shown := make(table.Row, len(cells))
		for i, cell := range cells {
			if shown[i] = cell; !isNumber(cell) {
				shown[i] = printable(fmt.Sprint(cell))
			}
		}
		t.AppendRow(shown)
	}
	fmt.Fprintln(w, strings.TrimRight(t.Render(), "\n"))
}

func isNumber(v any) bool {
	_, is := number(v)
	return is
}

// printable is a text without what a terminal would obey: names of clients and
// texts of errors come from elsewhere.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, text)
}

// rate is so many a second; negative: not known.
type rate float64

// MarshalJSON writes a rate that is not known as null.
func (r rate) MarshalJSON() ([]byte, error) {
	if r < 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(r))
}

func (r rate) String() string {
	switch {
	case r < 0:
		return "-"
	case r > 0 && r < 10:
		return fmt.Sprintf("%.1f", float64(r))
	}
	return fmt.Sprintf("%.0f", float64(r))
}

// printJSON prints a value as one line.
func printJSON(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}
