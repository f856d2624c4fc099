package config

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"qmq/internal/redact"
)

// kind is what there is to know about options of type T.
type kind[T any] struct {
	word    string // the type's name, such as "duration"
	unit    string // what a value counts or names
	expects string // ends "must be …" for what cannot be read

	parse func(text string) (T, bool) // from the command line
	toml  func(v any) (T, bool)       // from a TOML value
	join  func(have, more T) T        // of a repeated flag; nil: the last one wins
	show  func(T) string              // such that parse reads it
	// render is how GET /config shows a value, without secrets.
	render func(T) string
	asIs   bool // what render returns is text, not JSON

	// body reads what PUT /config brings, bodyExpects says what that must be;
	// nil for kinds of which no option is changeable.
	body        func([]byte) (T, bool)
	bodyExpects string

	// empty tells whether nothing, or a list with nothing in it or in a member,
	// was given; nil where no value is empty.
	empty func(T) bool

	byItself bool // the flag alone means true, and no value follows it as an argument of its own
}

// whole is the kind of whole numbers. A file may hold them as decimal text.
func whole[T int | int64](unit string) kind[T] {
	narrow := func(n int64) (T, bool) { return T(n), int64(T(n)) == n }
	read := func(text string, base int) (T, bool) {
		n, err := strconv.ParseInt(text, base, 64)
		if err != nil {
			return 0, false
		}
		return narrow(n)
	}
	show := func(v T) string { return strconv.FormatInt(int64(v), 10) }
	return kind[T]{
		word: "int", unit: unit, expects: "a whole number",
		parse: func(text string) (T, bool) { return read(text, 0) },
		toml: func(v any) (T, bool) {
			switch v := v.(type) {
			case int64:
				return narrow(v)
			case string:
				return read(v, 10)
			}
			return 0, false
		},
		show: show, render: show,
	}
}

// truth is the kind of switches. A number in a file is refused: 1 means
// "false" to the peer's reader and "true" to everybody else.
func truth() kind[bool] {
	return kind[bool]{
		word: "bool", expects: "true or false", byItself: true,
		parse: parseBool,
		toml: func(v any) (bool, bool) {
			switch v := v.(type) {
			case bool:
				return v, true
			case string:
				return parseBool(v)
			}
			return false, false
		},
		show: strconv.FormatBool, render: strconv.FormatBool,
	}
}

func parseBool(text string) (v, ok bool) {
	v, err := strconv.ParseBool(text)
	return v, err == nil
}

// span is the kind of durations. A number in a file counts milliseconds.
func span() kind[time.Duration] {
	return kind[time.Duration]{
		word: "duration", unit: "duration",
		expects: "a duration such as 250ms or 1h30m (in the config file also a whole number of ms)",
		parse:   parseSpan,
		toml: func(v any) (time.Duration, bool) {
			switch v := v.(type) {
			case int64:
				return milliseconds(v)
			case string:
				if n, err := strconv.ParseInt(v, 10, 64); err == nil {
					return milliseconds(n)
				}
				return parseSpan(v)
			}
			return 0, false
		},
		show:   showSpan,
		render: func(d time.Duration) string { return strconv.FormatInt(int64(d), 10) },
	}
}

func parseSpan(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil
}

func milliseconds(n int64) (time.Duration, bool) {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(n) * time.Millisecond, -most <= n && n <= most
}

// showSpan leaves out the zeros that time.Duration ends in: 1h0m0s is 1h.
func showSpan(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// text is the kind of strings.
func text(unit string) kind[string] {
	return kind[string]{
		word: "string", unit: unit, expects: "a string",
		parse:  func(s string) (string, bool) { return s, true },
		toml:   scalarText,
		show:   quoteIfNeeded,
		render: redact.URL, asIs: true,
		empty: blank,
	}
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// scalarText is the text of a TOML string, number or boolean.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

// texts is the kind of lists of strings: a repeated flag, or an array or text
// with commas in a file.
func texts(unit string) kind[[]string] {
	return kind[[]string]{
		word: "list", unit: unit, expects: "an array of strings or a string with commas",
		parse:       func(s string) ([]string, bool) { return []string{s}, true },
		toml:        textsFromTOML,
		join:        func(have, more []string) []string { return slices.Concat(have, more) },
		show:        func(list []string) string { return quoteIfNeeded(strings.Join(list, ",")) },
		render:      renderTexts,
		empty:       func(list []string) bool { return len(list) == 0 || slices.ContainsFunc(list, blank) },
		body:        textsFromJSON,
		bodyExpects: "a JSON array of strings or null",
	}
}

func textsFromTOML(v any) (list []string, ok bool) {
	switch v := v.(type) {
	case string:
		return splitCommas(v), true
	case []any:
		for _, member := range v {
			s, ok := member.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
		return list, true
	}
	return nil, false
}

func textsFromJSON(body []byte) (list []string, ok bool) {
	// A null within the array would pass for an empty string.
	var members []*string
	if json.Unmarshal(body, &members) != nil {
		return nil, false
	}
	for _, s := range members {
		if s == nil {
			return nil, false
		}
		list = append(list, *s)
	}
	return list, true
}

// splitCommas of nothing is an empty list.
func splitCommas(s string) (list []string) {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		list = append(list, strings.TrimSpace(part))
	}
	return list
}

// fractions is the kind of lists of numbers, kept in descending order.
func fractions(unit string) kind[[]float64] {
	return kind[[]float64]{
		word: "float list", unit: unit, expects: "numbers with commas between them (in the config file also an array)",
		parse: parseFractions,
		toml:  fractionsFromTOML,
		join:  func(have, more []float64) []float64 { return descending(slices.Concat(have, more)) },
		show: func(list []float64) string {
			shown := make([]string, len(list))
			for i, f := range list {
				shown[i] = strconv.FormatFloat(f, 'g', -1, 64)
			}
			return strings.Join(shown, ",")
		},
		render: func(list []float64) string { return renderList(list) },
	}
}

func parseFractions(s string) (list []float64, ok bool) {
	for _, part := range splitCommas(s) {
		f, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return nil, false
		}
		list = append(list, f)
	}
	return descending(list), true
}

func fractionsFromTOML(v any) (list []float64, ok bool) {
	switch v := v.(type) {
	case string:
		return parseFractions(v)
	case float64:
		return []float64{v}, true
	case int64:
		return []float64{float64(v)}, true
	case []any:
		for _, member := range v {
			part, ok := fractionsFromTOML(member)
			if _, nested := member.([]any); nested || !ok {
				return nil, false
			}
			list = append(list, part...)
		}
		return descending(list), true
	}
	return nil, false
}

func descending(list []float64) []float64 {
	slices.Sort(list)
	slices.Reverse(list)
	return list
}

// renderTexts is JSON without the secrets of URLs.
func renderTexts(list []string) string {
	shown := make([]string, len(list))
	for i, text := range list {
		shown[i] = redact.URL(text)
	}
	return renderList(shown)
}

// renderList is JSON, in which no list is null.
func renderList[T any](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	array, err := json.Marshal(list)
	if err != nil {
		// Strings and finite numbers, which is all that passes the checks,
		// always have JSON.
		return "[]"
	}
	return string(array)
}

// quote shows what somebody wrote, on one line and not at any length.
func quote(s string) string {
	const most = 80
	if len(s) <= most {
		return strconv.Quote(s)
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end]) + "…"
}

func quoteIfNeeded(s string) string {
	if s == "" || quote(s) != `"`+s+`"` || strings.Contains(s, " ") {
		return quote(s)
	}
	return s
}
