// Package words makes the parts of which sentences on the page consist:
// durations, numbers, lists of names. It is pure.
package words

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Time is a moment in a sentence: the page puts the viewer's local time there.
func Time(t time.Time) string { return fmt.Sprintf("{t:%d}", t.UnixMilli()) }

// Duration says a duration with two units at most.
func Duration(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.size, u.name)
		if u.name == "min" && d >= 5*u.size || i+1 == len(units) {
			return text // seconds do not matter any more
		}
		if rest := d % u.size / units[i+1].size; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// Number is a number with commas between thousands.
func Number(n int64) string {
	if n < 0 {
		return "-" + Number(-n)
	}
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Count is "1 node", "2 nodes".
func Count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Number(n) + " " + thing + "s"
}

// PerSecond is a rate without more digits than it is worth.
func PerSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(math.Round(rate*10)/10, 'f', -1, 64)
	}
	return Number(int64(math.Round(rate)))
}

// Percent is a part of a whole, in percent.
func Percent(part, whole float64) string {
	if whole <= 0 {
		return "0%"
	}
	p := 100 * min(part/whole, 1)
	if p < 10 && p != math.Trunc(p) {
		return strconv.FormatFloat(math.Round(p*10)/10, 'f', -1, 64) + "%"
	}
	return strconv.FormatFloat(math.Round(p), 'f', 0, 64) + "%"
}

// Bytes is a number of bytes with its unit: "612 MiB".
func Bytes(n int64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 || v >= 100 {
		return strconv.FormatFloat(math.Round(v), 'f', 0, 64) + " " + units[i]
	}
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) + " " + units[i]
}

// List joins names: "a, b and c".
func List(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// Capital begins a sentence.
func Capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// maxText keeps what comes from elsewhere from filling the page, in bytes.
const maxText = 300

// Shorten cuts a text that comes from elsewhere.
func Shorten(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "…"
	}
	return text
}

// ShortName is the name as it is said in a sentence.
func ShortName(name string) string {
	if strings.Contains(name, ":") {
		return name // the port is what tells it apart
	}
	if first, _, ok := strings.Cut(name, "."); ok && strings.Trim(first, "0123456789") != "" {
		return first
	}
	return name
}

// Sorted are the keys of a map, in order.
func Sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Rate is a rate (per second) in the unit in which it is no fraction.
func Rate(perSecond float64) string {
	switch {
	case perSecond >= 0.95:
		return PerSecond(perSecond) + "/s"
	case perSecond*60 >= 0.95:
		return PerSecond(perSecond*60) + "/min"
	}
	return PerSecond(perSecond*3600) + "/h"
}
