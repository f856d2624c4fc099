// Package nearest finds the word that somebody meant who wrote another one. It has no state.
package nearest

import (
	"slices"
	"strings"
)

// longest is how long what was written may be, in bytes: more is no slip.
const longest = 64

// Word is the one of some words that takes the fewest edits to become what was written; ok is
// false where it is like none of them. Upper case is lower case, and a - is a _.
func Word(written string, words []string) (word string, ok bool) {
	if len(written) > longest {
		return "", false
	}
	written = plain(written)
	fewest := 1 + max(1, min(len(written)/3, 4))
	for _, w := range words {
		if far := len(written) - len(w); far >= fewest || -far >= fewest {
			continue // each edit makes up for one byte
		}
		if n := edits(written, plain(w)); n < fewest {
			word, ok, fewest = w, true, n
		}
	}
	return word, ok
}

// shortest is how long a word is at least of which a beginning is told from another word.
const shortest = 3

// Meant is Word, and where it finds none, the one of which what was written is the beginning, as
// prio is of priority, or that begins it, as defer does defer_ms.
func Meant(written string, words []string) (word string, ok bool) {
	if word, ok = Word(written, words); ok || len(written) > longest || len(written) < shortest {
		return word, ok
	}
	written = plain(written)
	for _, w := range words {
		if p := plain(w); strings.HasPrefix(p, written) || len(p) >= shortest && strings.HasPrefix(written, p+"_") {
			return w, true
		}
	}
	return "", false
}

// Slip is Meant where what was written may be a word of its own. Where it, or the word, has fewer
// than 4 bytes one letter is too much of it to go by: then it is a slip that has the same letters, as
// kye has of key, or at least shortest bytes of which the other goes on, as keys does.
func Slip(written string, words []string) (word string, ok bool) {
	word, ok = Meant(written, words)
	if !ok || min(len(written), len(word)) > shortest {
		return word, ok
	}
	a, b := plain(written), plain(word)
	begins := min(len(a), len(b)) == shortest && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
	if !begins && letters(a) != letters(b) {
		return "", false
	}
	return word, true
}

// letters are those of s, in their order in the alphabet.
func letters(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

func plain(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

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
