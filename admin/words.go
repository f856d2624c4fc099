package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// clock is a moment in a sentence: the page puts the viewer's local time there.
func clock(t time.Time) string { return fmt.Sprintf("{t:%d}", t.UnixMilli()) }

// spell says a duration with two units at most.
func spell(d time.Duration) string {
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

// grouped is a number with commas between thousands.
func grouped(n int64) string {
	if n < 0 {
		return "-" + grouped(-n)
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

// countOf is "1 node", "2 nodes".
func countOf(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// perSecond is a rate without more digits than it is worth.
func perSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(math.Round(rate*10)/10, 'f', -1, 64)
	}
	return grouped(int64(math.Round(rate)))
}

func percent(part, whole float64) string {
	if whole <= 0 {
		return "0%"
	}
	p := 100 * min(part/whole, 1)
	if p < 10 && p != math.Trunc(p) {
		return strconv.FormatFloat(math.Round(p*10)/10, 'f', -1, 64) + "%"
	}
	return strconv.FormatFloat(math.Round(p), 'f', 0, 64) + "%"
}

// listed joins names: "a, b and c".
func listed(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// named is a topic or channel as people read it.
func (p pair) String() string {
	if p.channel == "" {
		return p.topic
	}
	return p.topic + " / " + p.channel
}
