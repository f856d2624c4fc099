package jsonpointer

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestTextsAndNumbersAreFoundAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		pointer, body, want string // want is empty where nothing is found
	}{
		{"/user/id", `{"user": {"id": "u-7"}}`, "u-7"},
		{"/user/id", ` {"a": [1, {"user": {"id": 2}}], "user": {"x": null, "id": 1.50e3}, "b": 1} `, "1.50e3"},
		{"/user/id", `{"user": {"id": 12345678901234567890123}}`, "12345678901234567890123"},
		{"", `"all of it"`, "all of it"},
		{"", ` 7 `, "7"},
		{"/1/0", `[[1], [2], [3]]`, "2"},
		{"/0", `{"0": "a name"}`, "a name"},
		{"/01", `[1, 2]`, ""},
		{"/-", `[1, 2]`, ""},
		{"/", `{"": "the empty name"}`, "the empty name"},
		{"/a~1b/c~0d", `{"a/b": {"c~d": "x"}}`, "x"},
		{"/~01", `{"~1": "x", "/": "y"}`, "x"},
		{"/id", `{"id": "caf\u00e9 \"x\" \n"}`, "café \"x\" \n"},
		{"/caf\u00e9", `{"caf\u00e9": "by its meaning"}`, "by its meaning"},
		{"/id", `{"id": "first", "id": "last"}`, "last"},
		{"/id", `{"id": "first", "id": null}`, ""},
		{"/id", `{"id": true}`, ""},
		{"/id", `{"id": {"id": 1}}`, ""},
		{"/id", `{"id": [1]}`, ""},
		{"/id", `{"no": 1}`, ""},
		{"/id/x", `{"id": "a text"}`, ""},
		{"/id", `{"id": "cut`, ""},
		{"/id", `{"id": "x"} and more`, ""},
		{"/id", `{"id": "x"`, ""},
		{"/id", `{"id": "x", }`, ""},
		{"/id", "{\"id\": \"\xff\"}", ""},
		{"/id", ``, ""},
		{"/id", `no JSON`, ""},
	} {
		p, err := Parse(c.pointer)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(c.body)
		got, ok := p.Scalar(body)
		if string(got) != c.want || ok != (c.want != "") {
			t.Errorf("%s in %s is %q, %v, want %q", c.pointer, c.body, got, ok, c.want)
		}
		if string(body) != c.body {
			t.Errorf("the body %s was changed to %s", c.body, body)
		}
	}
}

func TestTextsThatAreNoPointersAreRefused(t *testing.T) {
	for _, text := range []string{"user", "user/id", "/a~", "/a~2b", "#/a", "/" + strings.Repeat("x", MaxLength)} {
		if _, err := Parse(text); !errors.Is(err, ErrSyntax) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestAValueIsFoundWithoutMemory(t *testing.T) {
	p, _ := Parse("/user/id")
	body := []byte(`{"at": "2026-11-28", "user": {"name": "somebody", "id": "u-7"}, "list": [1, 2, 3]}`)
	if n := testing.AllocsPerRun(100, func() { p.Scalar(body) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzScalar: what is found is in the text as another reader has it, and no bytes hurt.
func FuzzScalar(f *testing.F) {
	f.Add("/a", []byte(`{"a": "b"}`))
	f.Add("/0/a~1", []byte(`[{"a/": 1e5}]`))
	f.Add("", []byte(`"\ud800"`))
	f.Fuzz(func(t *testing.T, pointer string, body []byte) {
		p, err := Parse(pointer)
		if err != nil {
			return
		}
		was := bytes.Clone(body)
		_, ok := p.Scalar(body)
		if !bytes.Equal(was, body) || ok && !json.Valid(body) {
			t.Fatalf("%q in %q", pointer, body)
		}
	})
}

func BenchmarkScalar(b *testing.B) {
	p, _ := Parse("/user/id")
	body := []byte(`{"at": "2026-11-28T12:00:00Z", "user": {"name": "somebody", "id": "u-7"}, "amounts": [1, 2, 3, 4, 5], "note": "` + strings.Repeat("x", 80) + `"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Scalar(body); !ok {
			b.Fatal("not found")
		}
	}
}
