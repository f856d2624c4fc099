package config

import "strings"

// suggestKey ends a sentence about an unknown TOML key: with the key that is
// nearest to it, or with nothing.
func (t table) suggestKey(key string) string {
	if o := t.named(strings.ReplaceAll(key, "_", "-")); o != nil && o.key == "" {
		return "; it is only a flag"
	}
	if o := t.nearest(key, func(o *option) bool { return o.key != "" }); o != nil {
		return "; did you mean " + quote(o.key) + "?"
	}
	return ""
}

func (t table) suggestFlag(name string) string {
	if o := t.nearest(name, func(*option) bool { return true }); o != nil {
		return "; did you mean --" + o.name + "?"
	}
	return ""
}

// nearest finds the option whose flag or key takes the fewest edits to become
// s; nil when s is like none of them.
func (t table) nearest(s string, match func(*option) bool) (found *option) {
	const longest = 64
	if len(s) > longest {
		return nil
	}
	s = strings.ReplaceAll(strings.ToLower(s), "-", "_")
	fewest := 1 + max(1, min(len(s)/3, 4))
	for _, o := range t {
		if !match(o) {
			continue
		}
		n := edits(s, strings.ReplaceAll(o.name, "-", "_"))
		if o.key != "" {
			n = min(n, edits(s, o.key))
		}
		if n < fewest {
			found, fewest = o, n
		}
	}
	return found
}

// edits counts the bytes to insert, remove or replace to make b of a, and
// neighbours to swap.
func edits(a, b string) int {
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := above[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
