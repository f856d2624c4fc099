package message

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatAMessageIsAboutIsInItsRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var keys []string
		var values [][]byte
		m := Meta{
			DeliverAt: rapid.SampledFrom([]int64{0, 77}).Draw(t, "deliver at"),
			OnlyFor:   rapid.SampledFrom([]string{"", "c"}).Draw(t, "only for"),
			Key:       rapid.SliceOfN(rapid.Byte(), 0, MaxKey).Draw(t, "key"),
			Priority:  rapid.Uint8Range(0, MaxPriority).Draw(t, "priority"),
		}
		for range rapid.IntRange(0, MaxHeaders).Draw(t, "headers") {
			key, value := rapid.StringMatching(`[!#-'*+.^_|~A-Za-z0-9-]{1,30}`).Draw(t, "name"), rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")
			keys, values = append(keys, key), append(values, value)
			m.Headers = AppendHeader(m.Headers, key, value)
		}
		if err := CheckHeaders(m.Headers); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "with a dedup id") {
			id := MakeDedupID([]byte("an id"))
			m.DedupID = &id
		}
		rec := AppendNew(nil, &m, 0, []byte("body"))
		Seal(rec, 9, 7)
		v := Decode(rec)
		if string(v.Body) != "body" || !bytes.Equal(v.Headers(), m.Headers) || !bytes.Equal(v.Key(), m.Key) || v.Priority() != m.Priority {
			t.Fatalf("%+v of %+v", v, m)
		}
		if id, ok := v.DedupID(); ok != (m.DedupID != nil) || ok && id != *m.DedupID {
			t.Fatalf("the dedup id is %x, %v", id, ok)
		}
		n := 0
		for key, value := range Headers(v.Headers()) {
			if string(key) != keys[n] || !bytes.Equal(value, values[n]) {
				t.Fatalf("header %d is %q: %q, not %q: %q", n, key, value, keys[n], values[n])
			}
			n++
		}
		if n != len(keys) {
			t.Fatalf("%d headers of %d", n, len(keys))
		}
	})
}

func TestAHeaderIsFoundInAnyCase(t *testing.T) {
	h := AppendHeader(AppendHeader(AppendHeader(nil, "Other", "x"), "Content-Type", "first"), "content-type", "second")
	if v, ok := Header(h, "CONTENT-type"); !ok || string(v) != "first" {
		t.Errorf("%q, %v", v, ok)
	}
	if v, ok := Header(h, "content"); ok {
		t.Errorf("there is a header %q", v)
	}
}

func TestAllHeadersThatMayBeTakeMaxEncoded(t *testing.T) {
	all := AppendHeader(nil, "k", strings.Repeat("v", MaxHeaderBytes-4))
	all = AppendHeader(AppendHeader(all, HeaderKey, strings.Repeat("k", MaxKey)), HeaderPriority, "9")
	var m Meta
	if err := m.Describe(all); err != nil || len(all) != MaxEncoded || len(m.Headers) != MaxHeaderBytes {
		t.Errorf("%d bytes, of which %d are kept: %v", len(all), len(m.Headers), err)
	}
}

func TestHeadersBeyondTheLimitsAreRefusedWithTheLimit(t *testing.T) {
	many := func(n int) (h []byte) {
		for range n {
			h = AppendHeader(h, "k", "v")
		}
		return h
	}
	key, priority := AppendHeader(nil, "Key", strings.Repeat("k", MaxKey)), AppendHeader(nil, "priority", "9")
	longest := AppendHeader(nil, "k", strings.Repeat("v", 16<<10-4))
	for _, c := range []struct {
		name    string
		headers []byte
		want    string // empty: they may be
	}{
		{"none", nil, ""},
		{"as many as may be, a key and a priority", slices.Concat(many(64), key, priority), ""},
		{"one more, a key and a priority", slices.Concat(key, many(65), priority), "more than 64"},
		{"as many as may be, and two keys", slices.Concat(many(64), key, key), "more than 64"},
		{"as long as may be, a key and a priority", slices.Concat(key, longest, priority), ""},
		{"the same and a header", slices.Concat(longest, priority, key, many(1)), "more than 16384 bytes"},
		{"as many as may be", many(64), ""},
		{"one more", many(65), "more than 64"},
		{"as long as may be", AppendHeader(nil, "k", strings.Repeat("v", 16<<10-4)), ""},
		{"a byte longer", AppendHeader(nil, "k", strings.Repeat("v", 16<<10-3)), "more than 16384 bytes"},
		{"a long key", AppendHeader(nil, strings.Repeat("k", 255), ""), ""},
		{"a longer key", AppendHeader(nil, strings.Repeat("k", 256), ""), "a key must be"},
		{"a key whose length in a byte is 1, before what is right then", AppendHeader(nil, "k!!"+strings.Repeat("a", 254), strings.Repeat("v", 8225)), "a key must be"},
		{"a value whose length in two bytes is 0", AppendHeader(nil, "k", strings.Repeat("v", 1<<16)), "more than 16384 bytes"},
		{"no key", AppendHeader(nil, "", "v"), "a key must be"},
		{"a space in a key", AppendHeader(nil, "a b", "v"), "a key must be"},
		{"a key that is no ASCII", AppendHeader(nil, "schlüssel", "v"), "a key must be"},
		{"cut in the value", AppendHeader(nil, "k", "value")[:6], "cut short"},
		{"cut in the length", AppendHeader(nil, "k", "value")[:3], "cut short"},
		{"cut in the key", AppendHeader(nil, "key", "value")[:2], "cut short"},
	} {
		err := CheckHeaders(c.headers)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrHeaders) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzHeaders: whatever the bytes are, reading them ends, and what is found right is
// read in full.
func FuzzHeaders(f *testing.F) {
	f.Add(AppendHeader(AppendHeader(nil, "traceparent", "00-x"), "k", ""))
	f.Add([]byte{3, 'k'})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var again []byte
		for key, value := range Headers(encoded) {
			again = AppendHeader(again, string(key), value)
		}
		if !bytes.HasPrefix(encoded, again) || CheckHeaders(encoded) == nil && len(again) != len(encoded) {
			t.Fatalf("%x is read as %x", encoded, again)
		}
	})
}
