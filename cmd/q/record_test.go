package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzRecordReadsBack: whatever a body is, its line is one line, which
// encoding/json reads back as it was, and so does q pub.
func FuzzRecordReadsBack(f *testing.F) {
	for _, body := range []string{"x", "a\nb\r\t\x00\x1f\x7f", `"\/<&>`, "ü\u2028", "\xff\xfe", `{"a":"b\u0000"}`} {
		f.Add([]byte(body), "t", int64(3), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, topic string, size int64, truncated bool) {
		r := record{Topic: "t", ID: "0123456789abcdef", Time: stamp(size), Attempts: int(size & 0xffff), Node: "127.0.0.1:1", Size: size, State: "ready", Truncated: truncated}
		r.setBody(body)
		line := r.appendTo(nil)
		if bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("%q is several lines", line)
		}
		var read record
		if err := json.Unmarshal(line, &read); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(r.Base64) == 0 {
			r.Base64 = nil
		}
		if !reflect.DeepEqual(read, r) {
			t.Fatalf("%s reads as %+v, not %+v", line, read, r)
		}
		if truncated || len(body) == 0 {
			return
		}
		got, err := parseRecord(line)
		if err != nil || !bytes.Equal(got.body, body) {
			t.Fatalf("%s: %q, %v", line, got.body, err)
		}
	})
}
