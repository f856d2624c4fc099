package diskqueue

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmq/message"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBytesOnDiskAreAsTheyWere: what one version writes the next one reads, so
// the bytes do not change unless docs/format.md does.
func TestBytesOnDiskAreAsTheyWere(t *testing.T) {
	const salt = 0x5a17
	b := new(Batch)
	b.Add(&message.Meta{Timestamp: testTime}, []byte("alone"))
	b.Add(&message.Meta{Timestamp: testTime + 1, DeliverAt: 1_700_000_060_000}, []byte("deferred"))
	b.BeginMulti()
	b.Add(&message.Meta{Timestamp: testTime + 2}, []byte("first"))
	b.Add(&message.Meta{Timestamp: testTime + 2}, nil)
	b.Add(&message.Meta{Timestamp: testTime + 2}, []byte("last"))
	b.EndMulti()
	records, _ := b.seal(nil, nil, 1000, salt, new(noting))

	full := &segment{salt: salt, layout: layout{base: 1000, end: 1100, size: 90_000,
		index:   []indexEntry{{0, 4160}, {40, 20_000}, {99, 80_000}},
		times:   times{latest: []int64{testTime, testTime + 5}, newest: testTime + 5},
		damaged: []damage{{from: 1003, to: 1004, offset: 300, resume: 400}}}}
	carried := &segment{salt: salt, layout: layout{base: 1000, end: 1100, size: 9000, carried: true,
		runs: []run{{1000, 3, 4160}, {1050, 1, 5000}}, times: times{latest: []int64{testTime}, newest: testTime + 7}}}
	delayed := [][]message.Mark{{{Seq: 1000, DeliverAt: 5}}, {{Seq: 1050, DeliverAt: 1 << 60}}}
	lists := sidelists{marks: delayed, only: []message.Only{{Seq: 1050, Channel: "c"}}}
	for name, got := range map[string][]byte{
		"records":        records,
		"header":         (&segmentHeader{version: 2, incarnation: 7, base: 1000, salt: salt, created: 5, prevEnd: 990, prevKnown: true}).encode(),
		"header-reused":  (&segmentHeader{version: 2, incarnation: 7, base: 1000, salt: salt, created: 5, recycled: true}).encode(),
		"header-carried": (&segmentHeader{version: carryVersion, incarnation: 7, base: 1000, salt: salt, created: 5, end: 1100, count: 4}).encode(),
		"index":          encodeIndex(full, lists),
		"index-carried":  encodeIndex(carried, lists),
	} {
		path := filepath.Join("testdata", name+".hex")
		dump := hex.Dump(got)
		if *update {
			if err := os.WriteFile(path, []byte(dump), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if dump != string(want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, dump, want)
		}
	}
}

// TestIndexesOfOlderVersionsAreRead as they were written, without times.
func TestIndexesOfOlderVersionsAreRead(t *testing.T) {
	for name, entries := range map[string]int{"index-v1": 3, "index-carried-v2": 2} {
		dump, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for line := range strings.Lines(string(dump)) {
			_, line, _ = strings.Cut(line, "  ")
			line, _, _ = strings.Cut(line, "|")
			text.WriteString(strings.Join(strings.Fields(line), ""))
		}
		b, err := hex.DecodeString(text.String())
		if err != nil {
			t.Fatal(err)
		}
		d, err := decodeIndex(b, 1000)
		if err != nil || len(d.index)+len(d.runs) != entries || len(d.marks) != 2 || d.newest != 0 || d.only != nil {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}
