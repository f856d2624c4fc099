package nearest

import (
	"strings"
	"testing"
)

var words = []string{"defer", "ttl", "key", "priority", "dedup_id"}

func TestWordThatWasMeantIsFound(t *testing.T) {
	for written, want := range map[string]string{
		"dedupid": "dedup_id", "dedup-id": "dedup_id", "DedupID": "dedup_id", "dedpu_di": "dedup_id", "DEFER": "defer", "efer": "defer", "differ": "defer", "x_defer": "defer",
		"keys": "key", "kye": "key", "TTL": "ttl", "priorty": "priority", "proirity": "priority",
		"": "", "x": "", "channel": "", "delay": "", "dr": "", "prio": "", "defer_ms": "", strings.Repeat("key", 30): "",
	} {
		if word, ok := Word(written, words); word != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", written, word, ok, want)
		}
	}
	for written, want := range map[string]string{
		"prio": "priority", "pri": "priority", "dedup": "dedup_id", "defer_ms": "defer", "Defer-Ms": "defer", "ttl_ms": "ttl", "kye": "key",
		"": "", "p": "", "de": "", "deferral": "", "keyed": "", "id": "", "priority" + strings.Repeat("_", 60): "",
	} {
		if word, ok := Meant(written, words); word != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", written, word, ok, want)
		}
	}
}

func TestShortWordOfSomebodysOwnIsNoSlip(t *testing.T) {
	words := append(words, "ids", "node", "tail")
	for written, want := range map[string]string{
		"KEY": "key", "kye": "key", "keys": "key", "ttls": "ttl", "ttl_ms": "ttl", "Ids": "ids", "isd": "ids", "pri": "priority", "prio": "priority", "dfer": "defer", "nodes": "node",
		"id": "", "ID": "", "_id": "", "idx": "", "uids": "", "bids": "", "tt": "", "ke": "", "hey": "", "t": "", "": "", "ts": "", "de": "",
	} {
		if word, ok := Slip(written, words); word != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", written, word, ok, want)
		}
	}
}

func TestEditsBetweenWords(t *testing.T) {
	for _, test := range []struct {
		a, b string
		n    int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "axc", 1}, {"abc", "abcd", 1},
		{"abcd", "acbd", 1}, {"kitten", "sitting", 3},
	} {
		if n := edits(test.a, test.b); n != test.n {
			t.Errorf("%q to %q takes %d", test.a, test.b, n)
		}
	}
}

func BenchmarkMeantByNobody(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Meant("zzz", words)
	}
}
