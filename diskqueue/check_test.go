package diskqueue

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"qmq/internal/seqset"
	"qmq/message"
)

func (n *node) check(t tester) Checked {
	t.Helper()
	k, err := Check(n.shared.FS, CheckOptions{Dir: n.log.Dir, Incarnation: n.log.Incarnation, Expected: n.log.Expected})
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	return k
}

// wantSound checks that nothing is amiss with a log that nobody has open.
func (n *node) wantSound(t tester) Checked {
	t.Helper()
	k := n.check(t)
	for _, f := range k.Findings {
		t.Errorf("Check finds %+v", f)
	}
	return k
}

// told is what tells a finding from others, and what it counts.
func told(list []Finding) (told []string) {
	for _, f := range list {
		told = append(told, fmt.Sprint(f.Kind, " ", f.Path, " ", f.Range, " ", f.Lost))
	}
	slices.Sort(told)
	return told
}

// lostIn is the numbers that findings say are lost, from first on.
func lostIn(list []Finding, first uint64) (lost []int) {
	var ranges []seqset.Range
	for _, f := range list {
		if f.Lost > 0 {
			ranges = append(ranges, f.Range)
		}
	}
	for _, r := range seqset.Union(ranges) {
		for seq := r.From; seq < r.To; seq++ {
			lost = append(lost, int(seq-first))
		}
	}
	return lost
}

func TestCheckFindsWhatOpenFindsAndWhatReadingEverythingShows(t *testing.T) {
	for _, c := range damages {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sealed=%v", c.name, sealed), func(t *testing.T) {
				fs := newCrash(1)
				n := newNode(fs).cold()
				first, path := writeDamageLog(t, n, true, sealed)
				n.log.Known, n.log.Start, n.log.KnownEnd = true, first, first+damageCount+2
				if k := n.wantSound(t); k.Segments != 2 || k.Records != damageCount+2 || k.Start != first || k.End != first+damageCount+2 {
					t.Errorf("before the damage: %+v", k)
				}
				b, err := fs.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := fs.WriteFile(path, c.damage(b)); err != nil {
					t.Fatal(err)
				}
				before, _ := fs.ReadDir(n.log.Dir)
				k := n.check(t)
				if after, _ := fs.ReadDir(n.log.Dir); len(after) != len(before) {
					t.Errorf("%d files, before there were %d", len(after), len(before))
				}
				want := c.open
				if sealed {
					want = c.sealed
				}
				if got := lostIn(k.Findings, first); !slices.Equal(got, want) {
					t.Errorf("lost are %v, want %v: %+v", got, want, k.Findings)
				}
				l, rec := n.open(t)
				for _, f := range told(rec.Findings) {
					if !slices.Contains(told(k.Findings), f) {
						t.Errorf("Open finds %s, Check %v", f, told(k.Findings))
					}
				}
				if !sealed && len(rec.Findings) != len(k.Findings) {
					t.Errorf("Check finds %v, Open %v", told(k.Findings), told(rec.Findings))
				}
				mustClose(t, l)
			})
		}
	}
}

func TestCheckFindsFilesThatContradictOneAnother(t *testing.T) {
	index := func(change func(*decodedIndex)) func(t *testing.T, n *node, path string) {
		return func(t *testing.T, n *node, path string) {
			l, _ := n.open(t)
			s := l.list()[0]
			idx, err := l.readIndex(s)
			if err != nil {
				t.Fatal(err)
			}
			change(&idx)
			changed := &segment{layout: layout{base: s.base, end: idx.end, size: idx.size, index: idx.index, damaged: idx.damaged}, salt: idx.salt}
			l.Discard()
			if err := writeIndex(n.fs, s.indexPath(), encodeIndex(changed, idx.lists())); err != nil {
				t.Fatal(err)
			}
		}
	}
	bytes := func(change func(b []byte, salt uint32)) func(t *testing.T, n *node, path string) {
		return func(t *testing.T, n *node, path string) {
			f, err := n.fs.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			size, _ := f.Size()
			b := make([]byte, size)
			if _, err := readFull(f, b, 0); err != nil {
				t.Fatal(err)
			}
			h, _ := decodeSegmentHeader(b)
			change(b, h.salt)
			if _, err := f.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, n *node, path string)
		said  string
	}{
		"index lists a message as deferred": {index(func(d *decodedIndex) {
			d.marks = []message.Mark{{Seq: d.end - 1, DeliverAt: 5}}
		}), "deferred"},
		"index says that records end later": {index(func(d *decodedIndex) { d.size++ }), "end at offset"},
		"index points between records":      {index(func(d *decodedIndex) { d.index[0].offset += 5 }), "starts at offset"},
		"part of an MPUB is another message": {bytes(func(b []byte, salt uint32) {
			rec := b[recordAt(12):]
			seq := message.SeqOf(rec)
			rec[inFlags] = 0
			message.Seal(rec, seq, salt)
		}), "MPUB"},
		"first of an MPUB is none": {bytes(func(b []byte, salt uint32) {
			rec := b[recordAt(10):]
			seq := message.SeqOf(rec)
			rec[inFlags] = byte(message.FlagBatch)
			message.Seal(rec, seq, salt)
		}), "MPUB"},
		"header of the next segment knows fewer": {func(t *testing.T, n *node, path string) {
			l, _ := n.open(t)
			s := l.list()[1]
			s.prevEnd -= 2
			l.writeHead(s)
			l.Discard()
		}, "has more"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(newCrash(1)).cold()
			_, path := writeDamageLog(t, n, true, true)
			n.wantSound(t)
			c.spoil(t, n, path)
			k := n.check(t)
			found := slices.ContainsFunc(k.Findings, func(f Finding) bool {
				return f.Kind == Inconsistent && strings.Contains(f.Err.Error(), c.said)
			})
			if !found {
				t.Errorf("found %+v", k.Findings)
			}
		})
	}
}

func TestCheckOfALogThatIsNotThereFindsNothing(t *testing.T) {
	n := newNode(newCrash(1))
	if k := n.wantSound(t); k.Segments != 0 || k.End != 0 {
		t.Errorf("%+v", k)
	}
	n.log.Expected = Expected{Known: true, Start: 10, KnownEnd: 15}
	if k := n.check(t); len(k.Findings) != 1 || k.Findings[0].Lost != 5 || k.Findings[0].Kind != Missing {
		t.Errorf("of five messages: %+v", k.Findings)
	}
}

// What is damaged of an MPUB is told once: that it is not whole follows.
func TestCheckTellsADamagedEndOfAnMPUBOnce(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	l, _ := n.open(t)
	mustAppend(t, l, multi(bodyOf(0, 100), bodyOf(1, 100)))
	mustClose(t, l)
	for _, f := range fs.Files() {
		b, err := fs.ReadFile(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.LastIndex(string(b), "message 1"); strings.HasSuffix(f.Name, ".seg") && i > 0 {
			b[i] ^= 1
			if err := fs.WriteFile(f.Name, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if k := n.check(t); len(k.Findings) != 1 || k.Findings[0].Kind != Damaged {
		t.Errorf("found %+v", k.Findings)
	}
}
