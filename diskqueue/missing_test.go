package diskqueue

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// The log of this table has three segments: messages 0–9, 10–19 and 20–29, the
// last three of which are one MPUB; behind them there were none.
const third = 10

// threeSegments is the log and what is done to it.
type threeSegments struct {
	t     *testing.T
	fs    *crashfs.FS
	n     *node
	first uint64
	paths [3]string
}

func writeThree(t *testing.T, sealed bool) *threeSegments {
	fs := newCrash(1)
	s := &threeSegments{t: t, fs: fs, n: newNode(fs).cold()}
	s.n.log.SegmentBytes = 1 << 20
	l, _ := s.n.open(t)
	s.first = l.End()
	for i := range 3 {
		if i > 0 {
			l.roll(l.active)
		}
		for k := range third - 3*(i/2) {
			mustAppend(t, l, single(bodyOf(i*third+k, damageBody)))
		}
		s.paths[i] = l.active.path
	}
	mustAppend(t, l, multi(bodyOf(27, damageBody), bodyOf(28, damageBody), bodyOf(29, damageBody)))
	if sealed {
		mustClose(t, l)
	} else {
		mustSync(t, l) // full segments have their index, the last one has none
		l.Discard()
	}
	s.n.log.Known, s.n.log.Start, s.n.log.KnownEnd = true, s.first, s.first+3*third
	return s
}

func (s *threeSegments) change(i int, f func([]byte) []byte) {
	b, err := s.fs.ReadFile(s.paths[i])
	if err == nil {
		err = s.fs.WriteFile(s.paths[i], f(b))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *threeSegments) remove(paths ...string) {
	for _, p := range paths {
		if err := s.fs.Remove(p); err != nil && !isNotExist(err) {
			s.t.Fatal(err)
		}
	}
}

func (s *threeSegments) index(i int) string {
	return strings.TrimSuffix(s.paths[i], segmentSuffix) + indexSuffix
}

func (s *threeSegments) swap(a, b string) {
	for _, r := range [][2]string{{a, a + "~"}, {b, a}, {a + "~", b}} {
		if err := s.fs.Rename(r[0], r[1]); err != nil {
			s.t.Fatal(err)
		}
	}
}

// The numbers of a message within its segment: see recordAt.
func spoilSeq(k int) func([]byte) []byte { return flip(k, inSeq) }

var missingCases = []struct {
	name   string
	damage func(*threeSegments)
	lost   []int
	kinds  []FindingKind
	at     int  // the segment that is named; -1: the directory
	index  bool // its index is named
	kept   bool // something was there to keep
}{
	{"nothing", func(*threeSegments) {}, nil, nil, 0, false, false},
	{"seq of the last record", func(s *threeSegments) { s.change(2, spoilSeq(9)) }, upTo(27, 29), []FindingKind{Missing}, 2, false, true},
	{"high byte of seq of the last record", func(s *threeSegments) { s.change(2, flip(9, inSeq+7)) }, upTo(27, 29), []FindingKind{Missing}, 2, false, true},
	{"len of the last record", func(s *threeSegments) { s.change(2, flip(9, inLen+3)) }, upTo(27, 29), []FindingKind{Missing}, 2, false, true},
	{"last record cut off", func(s *threeSegments) { s.change(2, cutAt(recordAt(9))) }, upTo(27, 29), []FindingKind{Missing}, 2, false, true},
	{"last MPUB cut off", func(s *threeSegments) { s.change(2, cutAt(recordAt(7))) }, upTo(27, 29), []FindingKind{Missing}, 2, false, false},
	{"last segment cut to 0 bytes", func(s *threeSegments) { s.change(2, cutAt(0)) }, upTo(20, 29), []FindingKind{Missing}, 2, false, false},
	{"last segment cut to 10 bytes", func(s *threeSegments) { s.change(2, cutAt(10)) }, upTo(20, 29), []FindingKind{Missing}, 2, false, true},
	{"last segment cut to 64 bytes", func(s *threeSegments) { s.change(2, cutAt(64)) }, upTo(20, 29), []FindingKind{Missing}, 2, false, true},
	{"last segment cut to its headers", func(s *threeSegments) { s.change(2, cutAt(segmentHead)) }, upTo(20, 29), []FindingKind{Missing}, 2, false, true},
	{"last segment zeroed", func(s *threeSegments) { s.change(2, func(b []byte) []byte { clear(b); return b }) }, upTo(20, 29), []FindingKind{Missing}, 2, false, true},
	{"last segment deleted", func(s *threeSegments) { s.remove(s.paths[2]) }, upTo(20, 29), []FindingKind{Missing}, -1, false, false},
	{"middle segment cut to 0 bytes", func(s *threeSegments) { s.change(1, cutAt(0)) }, upTo(10, 19), []FindingKind{Missing}, 1, false, false},
	{"middle segment cut to 0 bytes, without its index", func(s *threeSegments) { s.change(1, cutAt(0)); s.remove(s.index(1)) }, upTo(10, 19), []FindingKind{Missing}, 1, false, false},
	{"middle segment cut in the middle", func(s *threeSegments) { s.change(1, cutAt(recordAt(4)+9)) }, upTo(14, 19), []FindingKind{Missing}, 1, false, true},
	{"middle segment cut in the middle, without its index", func(s *threeSegments) { s.change(1, cutAt(recordAt(4)+9)); s.remove(s.index(1)) }, upTo(14, 19), []FindingKind{Missing}, 1, false, true},
	{"middle segment deleted", func(s *threeSegments) { s.remove(s.paths[1]) }, upTo(10, 19), []FindingKind{Missing}, 1, true, false},
	{"middle segment deleted with its index", func(s *threeSegments) { s.remove(s.paths[1], s.index(1)) }, upTo(10, 19), []FindingKind{Missing}, -1, false, false},
	{"first segment deleted", func(s *threeSegments) { s.remove(s.paths[0]) }, upTo(0, 9), []FindingKind{Missing}, 0, true, false},
	{"first segment deleted with its index", func(s *threeSegments) { s.remove(s.paths[0], s.index(0)) }, upTo(0, 9), []FindingKind{Missing}, -1, false, false},
	{"all indexes deleted", func(s *threeSegments) { s.remove(s.index(0), s.index(1), s.index(2)) }, nil, nil, 0, false, false},
	{"middle segment is that of another topic", func(s *threeSegments) {
		s.change(1, func([]byte) []byte { return (&segmentHeader{version: 2, incarnation: 77, base: 5}).head() })
	}, upTo(10, 19), []FindingKind{Missing}, 1, false, true},
	{"two segments swapped", func(s *threeSegments) { s.swap(s.paths[0], s.paths[1]) }, nil, []FindingKind{Misplaced, Misplaced}, 0, false, false},
	{"two segments swapped with their indexes", func(s *threeSegments) { s.swap(s.paths[0], s.paths[1]); s.swap(s.index(0), s.index(1)) }, nil, []FindingKind{Misplaced, Misplaced}, 0, false, false},
	{"last two segments swapped", func(s *threeSegments) { s.swap(s.paths[1], s.paths[2]) }, nil, []FindingKind{Misplaced, Misplaced}, 1, false, false},
	{"middle segment under a free name", func(s *threeSegments) {
		if err := s.fs.Rename(s.paths[1], segmentPath(testDir, s.first+12)); err != nil {
			s.t.Fatal(err)
		}
		s.paths[1] = segmentPath(testDir, s.first+12)
	}, nil, []FindingKind{Misplaced}, 1, false, false},
	{"header of the last segment", func(s *threeSegments) { s.change(2, func(b []byte) []byte { b[30] ^= 8; return b }) }, nil, []FindingKind{HeaderDamaged}, 2, false, false},
	{"both headers of the last segment", func(s *threeSegments) {
		s.change(2, func(b []byte) []byte { b[30] ^= 8; b[secondHeader+30] ^= 8; return b })
	}, nil, []FindingKind{HeaderDamaged}, 2, false, false},
	{"both headers and the first record of the last segment", func(s *threeSegments) {
		s.change(2, func(b []byte) []byte { clear(b[:recordAt(0)+20]); return b })
	}, upTo(20, 29), []FindingKind{Missing}, 2, false, true},
}

func TestWhatIsMissingIsCountedNamedAndKept(t *testing.T) {
	for _, c := range missingCases {
		for _, sameBoot := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/same boot=%v", c.name, sameBoot), func(t *testing.T) {
				s := writeThree(t, false)
				s.n.log.SameBoot = sameBoot
				c.damage(s)
				files := s.fs.Files()
				l, rec := s.n.open(t)
				s.wantLost(l, c.lost)
				if rec.Lost() != uint64(len(c.lost)) || len(rec.Findings) != len(c.kinds) {
					t.Fatalf("found %+v, want %d lost and %v", rec.Findings, len(c.lost), c.kinds)
				}
				want := s.named(c.at, c.index)
				if len(c.kinds) > 0 && !slices.ContainsFunc(rec.Findings, func(f Finding) bool { return f.Path == want }) {
					t.Errorf("found %+v, want %s", rec.Findings, want)
				}
				for i, f := range rec.Findings {
					if f.Kind != c.kinds[i] || f.Err == nil || (f.Copy != "") != c.kept {
						t.Errorf("found %+v, want %s", f, want)
					}
					if f.Copy != "" {
						if _, err := s.fs.ReadFile(f.Copy); err != nil {
							t.Errorf("no copy: %v", err)
						}
					}
				}
				// Nothing of what is left is touched.
				for _, f := range files {
					if b, err := s.fs.ReadFile(f.Name); err != nil || int64(len(b)) != f.Size {
						t.Errorf("%s of %d bytes has %d now, %v", f.Name, f.Size, len(b), err)
					}
				}
				// It is found again at each start, until it is given up.
				mustAppend(t, l, single([]byte("new")))
				end := l.End()
				mustClose(t, l)
				s.n.log.KnownEnd = end
				l, again := s.n.open(t)
				s.wantLost(l, c.lost)
				if !slices.EqualFunc(again.Findings, rec.Findings, sameFinding) {
					t.Errorf("the next start found %+v, the first one %+v", again.Findings, rec.Findings)
				}
				mustClose(t, l)
				for _, f := range rec.Findings {
					s.n.log.GivenUp = append(s.n.log.GivenUp, f.Range)
				}
				if slices.Contains(c.kinds, Missing) {
					l, rec = s.n.open(t)
					if len(rec.Findings) > 0 {
						t.Errorf("given up, and found %+v", rec.Findings)
					}
					mustClose(t, l)
				}
			})
		}
	}
}

// named is the path that a finding has to name.
func (s *threeSegments) named(segment int, index bool) string {
	switch {
	case segment < 0:
		return testDir
	case index:
		return s.index(segment)
	}
	return s.paths[segment]
}

// sameFinding says whether two starts found the same.
func sameFinding(a, b Finding) bool {
	return a.Kind == b.Kind && a.Path == b.Path && a.Range == b.Range && a.Lost == b.Lost && a.Copy == b.Copy
}

// wantLost checks which messages are there, and that the others are void.
func (s *threeSegments) wantLost(l *Log, lost []int) {
	s.t.Helper()
	found := contents(s.t, l)
	for i := range 3 * third {
		seq := s.first + uint64(i)
		got, ok := found[seq]
		if ok == slices.Contains(lost, i) || ok && got != string(bodyOf(i, damageBody)) {
			s.t.Errorf("message %d: %v %.20q, lost are to be %v", i, ok, got, lost)
		}
		if !ok && !isVoid(l, seq) {
			s.t.Errorf("message %d is lost and not void", i)
		}
	}
}

// A segment whose header a loss of power took speaks for no number before it: what was synced
// there is missed.
func TestATornHeaderHidesNoLossBeforeIt(t *testing.T) {
	s := writeThree(t, false)
	s.n.log.KnownEnd = s.first + 2*third
	s.remove(s.paths[1], s.index(1))
	s.change(2, func(b []byte) []byte { clear(b[:segmentHead]); return b })
	for range 2 {
		l, rec := s.n.open(t)
		s.wantLost(l, upTo(10, 19))
		if rec.Lost() != third || len(rec.Findings) != 1 || rec.Findings[0].Kind != Missing {
			t.Errorf("found %+v", rec.Findings)
		}
		s.n.log.GivenUp = seqset.Union(append(s.n.log.GivenUp, rec.Skipped...))
		mustClose(t, l)
	}
}

// What the medium does not give at one start, though it was never synced, is there when a later
// start can read it.
func TestWhatCannotBeReadAtAStartIsNotGivenUp(t *testing.T) {
	for name, unread := range map[string]func(s *threeSegments){
		"the file": func(s *threeSegments) {
			s.fs.Fail(func(op crashfs.Op, path string) error {
				if op == crashfs.OpOpen && path == s.paths[1] {
					return syscall.EIO
				}
				return nil
			})
		},
		"its headers": func(s *threeSegments) { s.fs.BadSectors(s.paths[1], 0, int64(recordAt(1))) },
		"its end":     func(s *threeSegments) { s.fs.BadSectors(s.paths[1], int64(recordAt(4)), 1<<30) },
	} {
		t.Run(name, func(t *testing.T) {
			s := writeThree(t, false)
			s.n.log.KnownEnd = s.first + third
			s.remove(s.index(1))
			unread(s)
			l, rec := s.n.open(t)
			if len(rec.Findings) == 0 || rec.Findings[0].Kind != Unreadable || rec.Findings[0].Path != s.paths[1] {
				t.Errorf("found %+v", rec.Findings)
			}
			mustClose(t, l)
			s.fs.Fail(nil)
			s.wantAllLater(t, s.paths[1], rec.Skipped)
		})
	}
}

// wantAllLater wants that a start which can read a file again has all, after one that could
// not has given up some numbers.
func (s *threeSegments) wantAllLater(t *testing.T, path string, givenUp []seqset.Range) {
	t.Helper()
	s.fs.BadSectors(path, 0, 0)
	s.n.log.GivenUp = givenUp
	l, rec := s.n.open(t)
	if len(rec.Findings) > 0 {
		t.Errorf("later %+v", rec.Findings)
	}
	s.wantLost(l, nil)
	mustClose(t, l)
}

// Nor is what stands in the last file, behind which the log goes on.
func TestWhatCannotBeReadOfTheLastFileIsNotGivenUp(t *testing.T) {
	for name, from := range map[string]int64{"all": 0, "its records": segmentHead, "its end": int64(recordAt(1))} {
		t.Run(name, func(t *testing.T) {
			s := writeThree(t, false)
			s.n.log.KnownEnd = s.first + third
			s.fs.BadSectors(s.paths[2], from, 1<<30)
			l, rec := s.n.open(t)
			if len(rec.Findings) != 1 || rec.Findings[0].Kind != Unreadable || rec.Findings[0].Path != s.paths[2] {
				t.Errorf("found %+v", rec.Findings)
			}
			mustClose(t, l)
			s.wantAllLater(t, s.paths[2], rec.Skipped)
		})
	}
}

func TestALogThatIsGoneIsMissingAsAWhole(t *testing.T) {
	s := writeThree(t, true)
	if err := s.fs.RemoveAll(testDir); err != nil {
		t.Fatal(err)
	}
	l, rec := s.n.open(t)
	if rec.Lost() != 3*third || len(rec.Findings) != 1 || rec.Findings[0].Path != testDir {
		t.Errorf("found %+v", rec)
	}
	mustAppend(t, l, single([]byte("new")))
	mustClose(t, l)
}

// What was given up, or never given to a record, is not missed; nor is what a
// loss of power may have taken.
func TestWhatNeedNotBeThereIsNotMissing(t *testing.T) {
	for name, c := range map[string]func(*threeSegments){
		"given up": func(s *threeSegments) {
			s.remove(s.paths[1], s.index(1))
			s.n.log.GivenUp = []seqset.Range{{From: s.first + 10, To: s.first + 20}}
		},
		"given up, and the end of its files undone": func(s *threeSegments) {
			s.n.log.GivenUp = []seqset.Range{{To: s.first + 10}}
		},
		"given up, and the end of its index undone": func(s *threeSegments) {
			s.remove(s.paths[0])
			s.n.log.GivenUp = []seqset.Range{{To: s.first + 10}}
		},
		"not synced": func(s *threeSegments) {
			s.change(2, cutAt(recordAt(5)+7))
			s.n.log.KnownEnd = s.first + 25
		},
		"not synced at all": func(s *threeSegments) {
			s.change(2, cutAt(0))
			s.n.log.KnownEnd = s.first + 20
		},
		"a hole in what was not synced": func(s *threeSegments) {
			s.change(2, flip(3, inBody))
			s.n.log.KnownEnd = s.first + 20
		},
		"torn header of what was not synced": func(s *threeSegments) {
			s.change(2, func(b []byte) []byte { clear(b[:512]); return b })
			s.n.log.KnownEnd = s.first + 20
		},
		"headers of what was not synced never written": func(s *threeSegments) {
			s.change(2, func(b []byte) []byte { clear(b[:recordAt(1)]); return b })
			s.n.log.KnownEnd = s.first + 20
		},
		"write cut short by the end of the process": func(s *threeSegments) {
			s.change(2, cutAt(recordAt(9)+40))
			s.n.log.KnownEnd, s.n.log.SameBoot = s.first+27, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := writeThree(t, false)
			c(s)
			for range 3 {
				l, rec := s.n.open(t)
				if len(rec.Findings) > 0 {
					t.Errorf("found %+v", rec.Findings)
				}
				s.n.log.GivenUp = seqset.Union(append(s.n.log.GivenUp, rec.Skipped...))
				mustAppend(t, l, single([]byte("new")))
				mustClose(t, l)
				s.n.log.KnownEnd = l.End()
			}
		})
	}
}

// A loss of power may leave of what was not synced a file that alone says which numbers before
// it no record had, or leaves it open, and holds none: with the file goes what it says, and later
// starts, which know of an end above it, are not to miss those numbers.
func TestWhatAFileWithoutRecordsSaysOfTheNumbersBeforeItIsToldBeforeItGoes(t *testing.T) {
	for name, damage := range map[string]func(second, third []byte) (left, empty []byte){
		"its headers are lost, and the end of its MPUB": func(second, third []byte) ([]byte, []byte) {
			clear(third[:segmentHead])
			return second[:headerSize/2], cutAt(recordAt(2))(third)
		},
		"its records are lost": func(second, third []byte) ([]byte, []byte) {
			return second[:headerSize/2], third[:segmentHead]
		},
		"there are two such files": func(second, third []byte) ([]byte, []byte) {
			return second[:segmentHead], third[:segmentHead]
		},
		"nothing is left of the one before it": func(second, third []byte) ([]byte, []byte) {
			clear(third[:segmentHead])
			return nil, cutAt(recordAt(2))(third)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := newCrash(1)
			n := newNode(fs).cold()
			l, _ := n.open(t)
			first := mustAppend(t, l, single(bodyOf(0, damageBody)))
			mustSync(t, l)
			mustClose(t, l)
			l, _ = n.open(t) // the journal is not told of the numbers that it skips
			second := mustAppend(t, l, single(bodyOf(1, damageBody), bodyOf(2, damageBody)))
			l.roll(l.active)
			third := mustAppend(t, l, multi(bodyOf(3, damageBody), bodyOf(4, damageBody), bodyOf(5, damageBody)))
			l.roll(l.active)
			fourth := mustAppend(t, l, single(bodyOf(6, damageBody)))
			l.Discard()
			files := make(map[uint64][]byte)
			for _, base := range []uint64{second.First, third.First} {
				files[base], _ = fs.ReadFile(segmentPath(testDir, base))
			}
			left, empty := damage(files[second.First], files[third.First])
			fs.WriteFile(segmentPath(testDir, second.First), left)
			fs.WriteFile(segmentPath(testDir, third.First), empty)
			n.log.Known, n.log.Start, n.log.KnownEnd = true, first.First, first.End
			for start := range 3 {
				l, rec := n.open(t)
				if len(rec.Findings) > 0 {
					t.Errorf("start %d found %+v", start, rec.Findings)
				}
				if got := bodies(contents(t, l), fourth.First, fourth.End); len(got) != 1 {
					t.Errorf("start %d: what is there is not read", start)
				}
				n.log.GivenUp = seqset.Union(append(n.log.GivenUp, rec.Skipped...))
				mustAppend(t, l, single([]byte("new")))
				n.log.KnownEnd, _ = l.Sync()
				mustClose(t, l)
			}
		})
	}
}

// Numbers that starts skip are no records; that they are none is known from the
// next segment, also when the one before it is gone.
func TestSkippedNumbersAreNotMissing(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	n.log.Known = true
	var ends []uint64
	for round := range 5 {
		l, rec := n.open(t)
		if len(rec.Findings) > 0 {
			t.Fatalf("start %d: %+v", round, rec.Findings)
		}
		if round == 0 {
			n.log.Start = l.End()
		}
		n.log.GivenUp = seqset.Union(append(n.log.GivenUp, rec.Skipped...))
		if round != 2 { // one start without a message, which tells of no end
			mustAppend(t, l, single(bodyOf(round, 10)))
			n.log.KnownEnd, _ = l.Sync()
		}
		mustClose(t, l)
		ends = append(ends, n.log.KnownEnd)
	}
	if err := fs.Remove(segmentPath(testDir, ends[1]-1)); err != nil {
		t.Fatal(err)
	}
	l, rec := n.open(t)
	if rec.Lost() != 1 || len(rec.Findings) != 1 || rec.Findings[0].Range != (seqset.Range{From: ends[1] - 1, To: ends[1]}) {
		t.Errorf("found %+v", rec)
	}
	mustClose(t, l)
}

// A process that is killed leaves the beginning of what it wrote: a record that
// is there as a whole, and not good, was damaged since.
func TestDamageOfTheLastRecordOfAKilledProcessIsNotTakenForATornWrite(t *testing.T) {
	for _, at := range []int{inLen, inCRC, inSeq, inBody} {
		for _, recycled := range []bool{false, true} {
			s := writeThree(t, false)
			s.n.log.KnownEnd, s.n.log.SameBoot = s.first+20, true // not told of the last ones
			s.change(2, func(b []byte) []byte {
				if recycled {
					h, _ := decodeSegmentHeader(b)
					h.recycled = true
					copy(b, h.head())
				}
				return flip(9, at)(b)
			})
			l, rec := s.n.open(t)
			want := uint64(3) // its MPUB
			if recycled {     // what stands there may be of another use
				want = 0
			}
			if rec.Lost() != want {
				t.Errorf("byte %d, recycled=%v: found %+v", at, recycled, rec)
			}
			if want > 0 && rec.Findings[0].Copy != copyName(s.paths[2], int64(recordAt(7))) {
				t.Errorf("byte %d: found %+v", at, rec)
			}
			mustClose(t, l)
		}
	}
}

// Logs of the first version do not know what was before a segment.
func TestLogsOfTheFirstVersionAreReadAndGoOn(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	first := writeFirstVersion(t, fs, 1<<40, 20)
	second := writeFirstVersion(t, fs, 1<<40+500, 20) // after a restart
	for round := range 3 {
		l, rec := n.open(t)
		if len(rec.Findings) > 0 || rec.TornBytes > 0 {
			t.Fatalf("start %d: %+v", round, rec)
		}
		found := contents(t, l)
		for i := range 20 {
			for _, base := range []uint64{first, second} {
				if found[base+uint64(i)] != string(bodyOf(i, damageBody)) {
					t.Errorf("message %d of the segment at %d is %.20q", i, base, found[base+uint64(i)])
				}
			}
		}
		mustAppend(t, l, single([]byte("new")))
		n.log.Known = true
		n.log.KnownEnd, _ = l.Sync()
		mustClose(t, l)
	}
	// Without its header it is known by its records.
	b, _ := fs.ReadFile(segmentPath(testDir, second))
	clear(b[:segmentHeadV1])
	fs.WriteFile(segmentPath(testDir, second), b)
	fs.Remove(filepath.Join(testDir, fmt.Sprintf("%016x%s", second, indexSuffix)))
	l, rec := n.open(t)
	if len(rec.Findings) != 1 || rec.Findings[0].Kind != HeaderDamaged || rec.Lost() > 0 {
		t.Errorf("found %+v", rec)
	}
	if got := bodies(contents(t, l), second, second+20); len(got) != 20 {
		t.Errorf("%d messages came back", len(got))
	}
	mustClose(t, l)
}

func writeFirstVersion(t *testing.T, fs *crashfs.FS, base uint64, count int) uint64 {
	t.Helper()
	h := segmentHeader{version: 1, incarnation: 1, base: base, salt: 99}
	b := new(Batch)
	for i := range count {
		b.Add(&message.Meta{Timestamp: testTime}, bodyOf(i, damageBody))
	}
	records, _ := b.seal(nil, nil, base, h.salt, new(noting))
	if err := fs.WriteFile(segmentPath(testDir, base), append(h.head(), records...)); err != nil {
		t.Fatal(err)
	}
	return base
}

// A segment that was taken out is on no disk unless it was synced, and is missed
// by a start as long as the journal does not know that it was given up.
func TestWhatLeftUnsyncedIsNotCalledSyncedBeforeItIsGivenUp(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	l, _ := n.open(t)
	first := mustAppend(t, l, single(bodyOf(0, 3000)), single(bodyOf(1, 3000)))
	mustAppend(t, l, single(bodyOf(2, 3000)))
	gone := l.DetachBelow(first.End)
	if len(gone) != 1 {
		t.Fatalf("%d segments were taken out", len(gone))
	}
	end, err := l.Sync()
	if err != nil || end > first.First {
		t.Errorf("synced up to %d, %v; what begins at %d is not", end, err, first.First)
	}
	n.log.Known, n.log.Start, n.log.KnownEnd = true, first.First, end
	fs.Crash(crashfs.DropAll)
	l.Discard()
	l, rec := n.open(t)
	if len(rec.Findings) > 0 {
		t.Errorf("the loss of power is called damage: %+v", rec.Findings)
	}
	mustClose(t, l)
}

func TestWhatIsGivenUpHoldsNoSyncedEndBack(t *testing.T) {
	n := newNode(newCrash(1))
	l, _ := n.open(t)
	first := mustAppend(t, l, single(bodyOf(0, 3000)), single(bodyOf(1, 3000)))
	mustAppend(t, l, single(bodyOf(2, 3000)))
	l.RemoveFiles(l.DetachBelow(first.End))
	mustSync(t, l)
	mustClose(t, l)
}
