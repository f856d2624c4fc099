package diskqueue

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"qmq/internal/seqset"
	"qmq/message"
)

var everything = seqset.Range{To: math.MaxUint64}

// dump is what Dump hands over of a log that nobody has open, in order.
func (n *node) dump(t tester, want seqset.Range) (found map[uint64]string, findings []Finding) {
	t.Helper()
	found = make(map[uint64]string)
	before := uint64(0)
	findings, err := Dump(n.shared.FS, CheckOptions{Dir: n.log.Dir, Incarnation: n.log.Incarnation, Expected: n.log.Expected}, want, func(v message.View) error {
		if v.Seq <= before {
			t.Errorf("message %d comes behind %d", v.Seq, before)
		}
		before = v.Seq
		found[v.Seq] = string(v.Body)
		return nil
	})
	if err != nil {
		t.Fatalf("Dump: %v", err)
	}
	return found, findings
}

// TestDumpHandsOverWhatIsServed, whatever is damaged, and finds what is not.
func TestDumpHandsOverWhatIsServed(t *testing.T) {
	for _, c := range damages {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sealed=%v", c.name, sealed), func(t *testing.T) {
				fs := newCrash(1)
				n := newNode(fs).cold()
				first, path := writeDamageLog(t, n, true, sealed)
				n.log.Known, n.log.Start, n.log.KnownEnd = true, first, first+damageCount+2
				if found, findings := n.dump(t, everything); len(found) != damageCount+2 || len(findings) > 0 {
					t.Errorf("before the damage %d messages, %+v", len(found), findings)
				}
				b, err := fs.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := fs.WriteFile(path, c.damage(b)); err != nil {
					t.Fatal(err)
				}
				before, _ := fs.ReadDir(n.log.Dir)
				found, findings := n.dump(t, everything)
				if after, _ := fs.ReadDir(n.log.Dir); len(after) != len(before) {
					t.Errorf("%d files, before there were %d", len(after), len(before))
				}
				lost := c.open
				if sealed {
					lost = c.sealed
				}
				if got := lostIn(findings, first); !slices.Equal(got, lost) {
					t.Errorf("lost are %v, want %v: %+v", got, lost, findings)
				}
				l, _ := n.open(t)
				if served := contents(t, l); !maps.Equal(served, found) {
					t.Errorf("%d messages, %d are served", len(found), len(served))
				}
				mustClose(t, l)
			})
		}
	}
}

// TestDumpOfACarrySegmentKnowsItsGaps, and passes over one damaged record alone.
func TestDumpOfACarrySegmentKnowsItsGaps(t *testing.T) {
	for _, withIndex := range []bool{true, false} {
		fs := newCrash(1)
		c := newCarried(t, fs)
		c.choose(0, 5, 4)
		if err := c.carry(); err != nil {
			t.Fatal(err)
		}
		c.forget()
		s := c.log.list()[0]
		mustClose(t, c.log)
		c.reopen(t, fs)
		mustClose(t, c.log)
		if !withIndex {
			fs.Remove(s.indexPath())
		}
		if found, findings := c.node.dump(t, everything); !maps.Equal(found, c.all) || len(findings) > 0 {
			t.Errorf("index %v: %d messages of %d, %+v", withIndex, len(found), len(c.all), findings)
		}
		if err := fs.FlipBit(s.path, segmentHead+100); err != nil {
			t.Fatal(err)
		}
		found, findings := c.node.dump(t, everything)
		if len(found) != len(c.all)-1 || len(findings) != 1 || findings[0].Kind != Damaged {
			t.Errorf("index %v: %d messages of %d, %+v", withIndex, len(found), len(c.all), findings)
		}
	}
}

// TestDumpOfSomeNumbers reads those alone.
func TestDumpOfSomeNumbers(t *testing.T) {
	n := newNode(newCrash(1)).cold()
	n.log.SegmentBytes = 256 << 10
	l, _ := n.open(t)
	all := make(map[uint64]string)
	for i := range 400 {
		all[l.End()] = string(bodyOf(i, 3000))
		mustAppend(t, l, single(bodyOf(i, 3000)))
	}
	start, end := l.Start(), l.End()
	mustClose(t, l)
	for _, want := range []seqset.Range{{From: start + 50, To: start + 51}, {From: 0, To: start + 3}, {From: end - 2, To: math.MaxUint64}, {From: start + 10, To: start + 390}, {From: end, To: end + 5}} {
		found, findings := n.dump(t, want)
		expected := maps.Clone(all)
		maps.DeleteFunc(expected, func(seq uint64, _ string) bool { return seq < want.From || seq >= want.To })
		if !maps.Equal(found, expected) || len(findings) > 0 {
			t.Errorf("%v: %d messages, want %d; %+v", want, len(found), len(expected), findings)
		}
	}
	enough := errors.New("enough")
	_, err := Dump(n.shared.FS, CheckOptions{Dir: n.log.Dir, Incarnation: n.log.Incarnation}, everything, func(message.View) error { return enough })
	if err != enough {
		t.Errorf("%v", err)
	}
}
