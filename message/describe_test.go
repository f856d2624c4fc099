package message

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// encode makes headers of keys and values in turn.
func encode(list ...string) (h []byte) {
	for i := 0; i < len(list); i += 2 {
		h = AppendHeader(h, list[i], list[i+1])
	}
	return h
}

// decode is the reverse of encode.
func decode(h []byte) (list []string) {
	for key, value := range Headers(h) {
		list = append(list, string(key), string(value))
	}
	return list
}

func TestHeadersOfQBecomeAttributesAndComeBackAsHeaders(t *testing.T) {
	id := MakeDedupID([]byte("order-7"))
	for _, c := range []struct {
		sent, kept, back []string
		key              string
		priority         uint8
		id               *DedupID
	}{
		{sent: nil},
		{sent: []string{"A", "1", "b", "2", "a", "3"}, kept: []string{"A", "1", "b", "2", "a", "3"}, back: []string{"A", "1", "b", "2", "a", "3"}},
		{sent: []string{"Key", "u-1"}, back: []string{"key", "u-1"}, key: "u-1"},
		{sent: []string{"priority", "9", "key", "u-1", "a", "1"}, kept: []string{"a", "1"}, back: []string{"key", "u-1", "priority", "9", "a", "1"}, key: "u-1", priority: 9},
		{sent: []string{"a", "1", "key", "u-1", "b", "2", "priority", "3"}, kept: []string{"a", "1", "b", "2"}, back: []string{"key", "u-1", "priority", "3", "a", "1", "b", "2"}, key: "u-1", priority: 3},
		{sent: []string{"priority", "0"}},
		{sent: []string{"Dedup-Id", "order-7", "a", ""}, kept: []string{"Dedup-Id", "order-7", "a", ""}, back: []string{"Dedup-Id", "order-7", "a", ""}, id: &id},
	} {
		var m Meta
		if err := m.Describe(encode(c.sent...)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(decode(m.Headers), c.kept) || string(m.Key) != c.key || m.Priority != c.priority ||
			(m.DedupID == nil) != (c.id == nil) || c.id != nil && *m.DedupID != *c.id {
			t.Errorf("%q is %+v", c.sent, m)
		}
		rec := AppendNew(nil, &m, 0, nil)
		v := Decode(rec)
		if back := decode(v.AppendDescription(nil)); !slices.Equal(back, c.back) {
			t.Errorf("%q comes back as %q, want %q", c.sent, back, c.back)
		}
	}
}

func TestHeadersOfQThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct {
		sent []string
		want string
	}{
		{[]string{"key", ""}, "key must be 1 to 255 bytes long, not 0"},
		{[]string{"key", strings.Repeat("k", 256)}, "key must be 1 to 255 bytes long, not 256"},
		{[]string{"key", "a", "KEY", "a"}, "key is there twice"},
		{[]string{"priority", "10"}, `priority must be 0 to 9, not "10"`},
		{[]string{"priority", "-1"}, "priority must be"},
		{[]string{"priority", "05"}, "priority must be"},
		{[]string{"priority", ""}, "priority must be"},
		{[]string{"priority", "high"}, "priority must be"},
		{[]string{"priority", "1", "priority", "1"}, "priority is there twice"},
		{[]string{"dedup-id", ""}, "dedup-id must not be empty"},
		{[]string{"dedup-id", "a", "x", "", "dedup-id", "b"}, "dedup-id is there twice"},
	} {
		var m Meta
		if err := m.Describe(encode(c.sent...)); !errors.Is(err, ErrHeaders) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.sent, err, c.want)
		}
	}
}

func TestNoHeaderIsLostOnItsWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SampledFrom([]string{"a", "B", "key", "priority", "x-long-name"})
		seen := map[string]bool{}
		var sent, want []string
		for range rapid.IntRange(0, 20).Draw(t, "headers") {
			key, value := keys.Draw(t, "key"), rapid.StringMatching(`[1-9]`).Draw(t, "value")
			own := key == "key" || key == "priority"
			if own && seen[key] {
				continue
			}
			seen[key] = true
			if sent = append(sent, key, value); own {
				want = append([]string{key, value}, want...)
			} else {
				want = append(want, key, value)
			}
		}
		if len(want) > 2 && want[0] == "priority" && want[2] == "key" {
			want[0], want[1], want[2], want[3] = want[2], want[3], want[0], want[1]
		}
		var m Meta
		h := encode(sent...)
		was := bytes.Clone(h)
		if err := m.Describe(h); err != nil || !bytes.Equal(h, was) {
			t.Fatal(err)
		}
		v := Decode(AppendNew(nil, &m, 0, nil))
		if got := decode(v.AppendDescription(nil)); !slices.Equal(got, want) {
			t.Fatalf("%q comes back as %q, want %q", sent, got, want)
		}
	})
}
