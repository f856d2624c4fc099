package diskqueue

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"qmq/message"
)

// copySealed appends what one log has of the numbers from at on to another, as a member
// does that is given a snapshot, and returns how many records came sealed.
func copySealed(t *testing.T, from, to *Log, at uint64, bytes int) (sealed int) {
	t.Helper()
	r := from.NewReader()
	defer r.Release()
	for at < from.End() {
		b := new(Batch)
		records, next, salt := r.AppendSealed([]byte("before"), at, from.End(), bytes)
		if string(records[:len("before")]) != "before" {
			t.Fatal("what was there before is not")
		}
		first, records := at, records[len("before"):]
		if next > at {
			if err := b.ParseSealed(records, first, salt); err != nil || uint64(b.Len()) != next-at {
				t.Fatalf("%d of %d to %d: %v", b.Len(), at, next, err)
			}
			sealed += b.Len()
		} else {
			var err error
			if b, first, next, err = r.ReadBatch(at, from.End(), bytes); err != nil || next <= at || len(records) > 0 {
				t.Fatalf("at %d: %d bytes, %v", at, len(records), err)
			}
		}
		at = next
		if b.Len() == 0 {
			continue
		}
		if to.End() < first {
			if err := to.Jump(first); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := to.AppendAt(first, []*Batch{b}); err != nil {
			t.Fatal(err)
		}
	}
	return sealed
}

func TestSealedRecordsAreAppendedElsewhere(t *testing.T) {
	from, _ := replicatedNode(newCrash(1), 5).open(t)
	mustAppend(t, from, single([]byte("a"), []byte("b")), multi([]byte("c"), []byte("d"), []byte("e")))
	if err := from.Jump(50); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // over several segments
		late := single(bodyOf(i, 90))
		late.Add(&message.Meta{Timestamp: 1, DeliverAt: int64(i + 1)}, bodyOf(i, 9))
		mustAppend(t, from, late, multi(bodyOf(i, 20), bodyOf(i, 200)))
	}
	mustAppend(t, from, single(bodyOf(1, 3<<10), bodyOf(2, 3<<10)))
	for _, start := range []uint64{5, 6, 300, 301} {
		for _, size := range []int{1, 100, 700, 1 << 20} {
			to, _ := replicatedNode(newCrash(2), start).open(t)
			copySealed(t, from, to, start, size)
			want, got := contents(t, from), contents(t, to)
			maps.DeleteFunc(want, func(seq uint64, _ string) bool { return seq < start })
			if !maps.Equal(got, want) || to.End() != from.End() {
				t.Errorf("from %d, %d bytes at a time: %d messages of %d, end %d of %d", start, size, len(got), len(want), to.End(), from.End())
			}
			marks, err := to.Marks(0, to.End())
			wanted, _ := from.Marks(start, from.End())
			if err != nil || !slices.Equal(marks, wanted) {
				t.Errorf("from %d: %d marks of %d, %v", start, len(marks), len(wanted), err)
			}
			mustClose(t, to)
		}
	}
	mustClose(t, from)
}

// All but what is next to a gap or to damage goes as it is.
func TestMostRecordsGoSealed(t *testing.T) {
	from, _ := replicatedNode(newCrash(1), 5).open(t)
	for i := range 1000 {
		mustAppend(t, from, single(bodyOf(i, 90)))
	}
	to, _ := replicatedNode(newCrash(2), 5).open(t)
	if sealed := copySealed(t, from, to, 5, 1<<20); sealed != 1000 {
		t.Errorf("%d of 1000", sealed)
	}
	mustClose(t, from)
	mustClose(t, to)
}

// Whatever is wrong with a segment, what comes of it elsewhere is what a reader gets of
// it here.
func TestDamageDoesNotTravelSealed(t *testing.T) {
	for _, c := range damages {
		for _, size := range []int{1, 200, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", c.name, size), func(t *testing.T) {
				fs := newCrash(1)
				n := newNode(fs).cold()
				first, path := writeDamageLog(t, n, true, true)
				b, err := fs.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := fs.WriteFile(path, c.damage(b)); err != nil {
					t.Fatal(err)
				}
				from, _ := n.open(t)
				to, _ := replicatedNode(newCrash(2), first).open(t)
				copySealed(t, from, to, first, size)
				got := contents(t, to)
				for i := range damageCount {
					body, ok := got[first+uint64(i)]
					if ok == slices.Contains(c.sealed, i) || ok && body != string(bodyOf(i, damageBody)) {
						t.Errorf("message %d: %v, %.20q; lost are to be %v", i, ok, body, c.sealed)
					}
				}
				mustClose(t, from)
				mustClose(t, to)
			})
		}
	}
}

func TestSealedRecordsThatAreNotWhatWasWrittenAreRefused(t *testing.T) {
	const salt = 77
	batch := single([]byte("one"), []byte("two"))
	records, _ := batch.seal(nil, nil, 9, salt, new(noting))
	if err := new(Batch).ParseSealed(records, 9, salt); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		flipped := bytes.Clone(records)
		flipped[i] ^= 4
		got := single([]byte("before"))
		if err := got.ParseSealed(flipped, 9, salt); !errors.Is(err, ErrRecords) || got.Len() != 0 {
			t.Errorf("a bit of byte %d: %v", i, err)
		}
	}
	part, _ := multi([]byte("three"), []byte("four")).seal(nil, nil, 9, salt, new(noting))
	one, _ := message.Size(part)
	for name, err := range map[string]error{
		"another salt":         new(Batch).ParseSealed(records, 9, salt+1),
		"another number":       new(Batch).ParseSealed(records, 10, salt),
		"cut":                  new(Batch).ParseSealed(records[:len(records)-1], 9, salt),
		"a byte more":          new(Batch).ParseSealed(append(bytes.Clone(records), 0), 9, salt),
		"the same twice":       new(Batch).ParseSealed(slices.Concat(records, records), 9, salt),
		"the start of an MPUB": new(Batch).ParseSealed(part[:one], 9, salt),
		"the end of an MPUB":   new(Batch).ParseSealed(part[one:], 10, salt),
	} {
		if !errors.Is(err, ErrRecords) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseSealed(f *testing.F) {
	for _, b := range []*Batch{single([]byte("one")), multi([]byte("one"), []byte("two"))} {
		records, _ := b.seal(nil, nil, 1, 1, new(noting))
		f.Add(records)
	}
	f.Fuzz(func(t *testing.T, records []byte) {
		b := new(Batch)
		if b.ParseSealed(records, 1, 1) != nil {
			return
		}
		again, starts := b.seal(nil, nil, 1, 1, new(noting))
		if !bytes.Equal(again, records) || len(starts) != b.Len() {
			t.Fatal("other bytes are written")
		}
	})
}
