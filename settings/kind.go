package settings

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what there is to know of values of type T.
type kind[T any] struct {
	allowed string                // ends "must be …"
	read    func(v any) (T, bool) // a value of JSON or TOML
	show    func(T) string        // as JSON
}

// span is durations that a message or a file may be kept for.
var span = durations(`"0s" (none), or a duration from "1ms" to "87600h" such as "30s"`, func(d time.Duration) bool {
	return d == 0 || d >= time.Millisecond && d <= maxTime
})

// timeout is durations that something is waited for.
var timeout = durations(`a duration from "1ms" to "87600h" such as "30s"`, func(d time.Duration) bool {
	return d >= time.Millisecond && d <= maxTime
})

// window is durations within which something is known.
var window = durations(`"0s" (none), or a duration from "1ms" to "168h" such as "2m"`, func(d time.Duration) bool {
	return d == 0 || d >= time.Millisecond && d <= maxWindow && d%time.Millisecond == 0
})

func durations(allowed string, ok func(time.Duration) bool) kind[time.Duration] {
	return kind[time.Duration]{
		allowed: allowed,
		read: func(v any) (time.Duration, bool) {
			text, isText := v.(string)
			if !isText {
				return 0, false
			}
			d, err := time.ParseDuration(text)
			return d, err == nil && ok(d)
		},
		show: func(d time.Duration) string { return quote(showSpan(d)) },
	}
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

// units are those of sizes.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"PiB", 1 << 50},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"PB", 1e15}, {"B", 1},
}

// size is bytes.
var size = kind[int64]{
	allowed: `0 (none), or bytes up to 1 EiB: a whole number, or one with a unit such as "10GiB"`,
	read: func(v any) (int64, bool) {
		text, ok := v.(string)
		if !ok {
			return whole(v, maxSize)
		}
		bytes := int64(1)
		for _, u := range units {
			if number, has := strings.CutSuffix(text, u.name); has {
				text, bytes = strings.TrimRight(number, " "), u.bytes
				break
			}
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > maxSize/bytes {
			return 0, false
		}
		return n * bytes, true
	},
	show: func(n int64) string { return strconv.FormatInt(n, 10) },
}

// count is whole numbers.
func count(most int64) kind[int64] {
	return kind[int64]{
		allowed: fmt.Sprintf("0 (none), or a whole number up to %d", most),
		read:    func(v any) (int64, bool) { return whole(v, most) },
		show:    func(n int64) string { return strconv.FormatInt(n, 10) },
	}
}

// ids is numbers of ids that are known.
var ids = kind[int64]{
	allowed: fmt.Sprintf("a whole number from 1 to %d", maxIDs),
	read: func(v any) (int64, bool) {
		n, ok := whole(v, maxIDs)
		return n, ok && n > 0
	},
	show: func(n int64) string { return strconv.FormatInt(n, 10) },
}

// whole reads a whole number of 0 to most.
func whole(v any, most int64) (n int64, ok bool) {
	switch v := v.(type) {
	case json.Number:
		var err error
		n, err = strconv.ParseInt(v.String(), 10, 64)
		ok = err == nil
	case int64:
		n, ok = v, true
	}
	return n, ok && n >= 0 && n <= most
}

// rate is deliveries per second.
var rate = kind[float64]{
	allowed: "0 (none), or a number per second from 0.001 to 1000000000",
	read: func(v any) (r float64, ok bool) {
		switch v := v.(type) {
		case json.Number:
			var err error
			r, err = strconv.ParseFloat(v.String(), 64)
			ok = err == nil
		case int64:
			r, ok = float64(v), true
		case float64:
			r, ok = v, !math.IsNaN(v)
		}
		return r, ok && (r == 0 || r >= 0.001 && r <= maxRate)
	},
	show: func(r float64) string { return strconv.FormatFloat(r, 'f', -1, 64) },
}

// yesOrNo is true or false.
var yesOrNo = kind[bool]{
	allowed: "true or false",
	read: func(v any) (is, ok bool) {
		is, ok = v.(bool)
		return is, ok
	},
	show: strconv.FormatBool,
}

// word is one of some words.
func word[T ~string](words ...T) kind[T] {
	var list []string
	for _, w := range words {
		list = append(list, quote(string(w)))
	}
	return kind[T]{
		allowed: strings.Join(list, " or "),
		read: func(v any) (T, bool) {
			text, _ := v.(string)
			return T(text), slices.Contains(words, T(text))
		},
		show: func(w T) string { return quote(string(w)) },
	}
}

var topicName = kind[string]{
	allowed: `the name of a topic that is not #ephemeral, or "" (none)`,
	read: func(v any) (string, bool) {
		text, ok := v.(string)
		return text, ok && mayBeDeadLetterTopic(text)
	},
	show: quote,
}

// quote is text as JSON.
func quote(text string) string {
	b, _ := json.Marshal(text) // a string is never refused
	return string(b)
}
