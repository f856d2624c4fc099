package diskqueue

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// The damaged segment holds 23 records of 78 bytes: messages 0–9, 10–13 in one
// MPUB, 14–19, and 20–22 in one MPUB.
const (
	damageBody   = 50
	damageRecord = message.HeaderSize + damageBody
	damageCount  = 23
)

func recordAt(i int) int { return segmentHead + i*damageRecord }

// flip changes a bit of the byte at offset within record i.
func flip(i, offset int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[recordAt(i)+offset] ^= 4
		return b
	}
}

func cutAt(offset int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:offset] }
}

func upTo(from, to int) (list []int) {
	for i := from; i <= to; i++ {
		list = append(list, i)
	}
	return list
}

const (
	inLen, inCRC, inSeq, inTimestamp, inFlags, inAttrLen, inBody = 0, 4, 8, 17, 24, 26, 40
)

var damages = []struct {
	name   string
	damage func([]byte) []byte
	open   []int // lost when found at Open
	sealed []int // lost when found by reading a segment that has its index
}{
	{"nothing", func(b []byte) []byte { return b }, nil, nil},
	{"len of the first", flip(0, inLen), []int{0}, []int{0}},
	{"high byte of len of the first", flip(0, inLen+3), []int{0}, []int{0}},
	{"crc of the first", flip(0, inCRC), []int{0}, []int{0}},
	{"body of the first", flip(0, inBody), []int{0}, []int{0}},
	{"len in the middle", flip(5, inLen), []int{5}, []int{5}},
	{"second byte of len in the middle", flip(5, inLen+1), []int{5}, []int{5}},
	{"crc in the middle", flip(5, inCRC), []int{5}, []int{5}},
	{"seq in the middle", flip(5, inSeq), []int{5}, []int{5}},
	{"high byte of seq in the middle", flip(5, inSeq+7), []int{5}, []int{5}},
	{"timestamp in the middle", flip(5, inTimestamp), []int{5}, []int{5}},
	{"flags in the middle", flip(5, inFlags), []int{5}, []int{5}},
	{"length of attributes in the middle", flip(5, inAttrLen), []int{5}, []int{5}},
	{"body in the middle", flip(5, inBody), []int{5}, []int{5}},
	{"first of an MPUB", flip(10, inBody), upTo(10, 13), []int{10}},
	{"within an MPUB", flip(12, inCRC), upTo(10, 13), []int{12}},
	{"last of an MPUB", flip(13, inBody), upTo(10, 13), []int{13}},
	{"between MPUBs", flip(19, inBody), []int{19}, []int{19}},
	{"len of the last", flip(22, inLen), upTo(20, 22), []int{22}},
	{"crc of the last", flip(22, inCRC), upTo(20, 22), []int{22}},
	{"seq of the last", flip(22, inSeq), upTo(20, 22), []int{22}},
	{"body of the last", flip(22, inBody), upTo(20, 22), []int{22}},
	{"two apart", func(b []byte) []byte { return flip(2, inBody)(flip(7, inLen)(b)) }, []int{2, 7}, []int{2, 7}},
	{"two neighbours", func(b []byte) []byte { return flip(2, inBody)(flip(3, inSeq)(b)) }, []int{2, 3}, []int{2, 3}},
	{"one before and one in an MPUB", func(b []byte) []byte { return flip(9, inBody)(flip(11, inSeq)(b)) }, upTo(9, 13), []int{9, 11}},
	{"a zeroed page", func(b []byte) []byte {
		clear(b[4608:5120])
		return b
	}, upTo(5, 13), upTo(5, 12)},
	{"cut between records", cutAt(recordAt(16)), upTo(16, 22), upTo(16, 22)},
	{"cut within a record", cutAt(recordAt(16) + 33), upTo(16, 22), upTo(16, 22)},
	{"cut within a header", cutAt(recordAt(16) + 5), upTo(16, 22), upTo(16, 22)},
	{"cut within an MPUB", cutAt(recordAt(12)), upTo(10, 22), upTo(12, 22)},
	{"torn last record", cutAt(recordAt(damageCount) - 3), upTo(20, 22), []int{22}},
	{"zeros behind", func(b []byte) []byte { return append(b, make([]byte, 3000)...) }, nil, nil},
	{"garbage behind", func(b []byte) []byte { return append(b, bodyOf(3, 3000)...) }, nil, nil},
	{"a former life behind", func(b []byte) []byte {
		old := slices.Clone(b[segmentHead:])
		seq := message.SeqOf(b[recordAt(damageCount-1):])
		for at := 0; at < len(old); {
			seq++
			at += message.Seal(old[at:], seq, 12345)
		}
		return append(b, old...)
	}, nil, nil},
	{"magic of the header", func(b []byte) []byte { b[0] ^= 1; return b }, nil, nil},
	{"salt of the header", func(b []byte) []byte { b[24] ^= 1; return b }, nil, nil},
	{"crc of the header", func(b []byte) []byte { b[61] ^= 1; return b }, nil, nil},
	{"magic of the second header", func(b []byte) []byte { b[secondHeader] ^= 1; return b }, nil, nil},
	{"salt of both headers", func(b []byte) []byte { b[24] ^= 1; b[secondHeader+25] ^= 1; return b }, nil, nil},
	{"both headers zeroed", func(b []byte) []byte { clear(b[:segmentHead]); return b }, nil, nil},
	{"both headers and the first record", func(b []byte) []byte { clear(b[:recordAt(0)+10]); return b }, upTo(0, 22), upTo(0, 0)},
	{"cut within the header", cutAt(40), upTo(0, 22), upTo(0, 22)},
	{"everything cut", cutAt(0), upTo(0, 22), upTo(0, 22)},
}

// writeDamageLog writes the segment, and one behind it if followed is set, and
// ends the process.
func writeDamageLog(t *testing.T, n *node, followed, sealed bool) (first uint64, path string) {
	t.Helper()
	n.log.SegmentBytes = 1 << 20
	l, _ := n.open(t)
	first = l.End()
	body := func(i int) []byte { return bodyOf(i, damageBody) }
	for i := range 10 {
		mustAppend(t, l, single(body(i)))
	}
	mustAppend(t, l, multi(body(10), body(11), body(12), body(13)))
	for i := 14; i < 20; i++ {
		mustAppend(t, l, single(body(i)))
	}
	mustAppend(t, l, multi(body(20), body(21), body(22)))
	path = l.active.path
	if followed {
		l.roll(l.active)
		mustAppend(t, l, single(body(23), body(24)))
	}
	if sealed {
		mustClose(t, l)
	} else {
		l.Discard()
	}
	return first, path
}

func TestWhatComesBackOfDamagedSegments(t *testing.T) {
	for _, c := range damages {
		for _, followed := range []bool{false, true} {
			for _, sealed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/followed=%v/sealed=%v", c.name, followed, sealed), func(t *testing.T) {
					lost := c.open
					if sealed {
						lost = c.sealed
					}
					testDamage(t, c.damage, lost, followed, sealed)
				})
			}
		}
	}
}

func testDamage(t *testing.T, damage func([]byte) []byte, lost []int, followed, sealed bool) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	first, path := writeDamageLog(t, n, followed, sealed)
	b, err := fs.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.WriteFile(path, damage(b)); err != nil {
		t.Fatal(err)
	}
	count := damageCount
	if followed {
		count += 2
	}
	for round := range 3 {
		l, rec := n.open(t)
		if l.End() < first+uint64(count) {
			t.Fatalf("goes on at %d, the last one was %d", l.End(), first+uint64(count)-1)
		}
		found := contents(t, l)
		for i := range count {
			seq := first + uint64(i)
			got, ok := found[seq]
			delete(found, seq)
			if ok == slices.Contains(lost, i) || ok && got != string(bodyOf(i, damageBody)) {
				t.Errorf("round %d: message %d: %v %.20q, lost are to be %v", round, i, ok, got, lost)
			}
			if !sealed && slices.Contains(lost, i) != isVoid(l, seq) {
				t.Errorf("round %d: message %d is void: %v", round, i, isVoid(l, seq))
			}
		}
		for seq, got := range found {
			if round == 0 || got != "new" {
				t.Errorf("round %d: message %d %.20q was never appended", round, seq, got)
			}
		}
		if !sealed && round == 0 && len(lost) > 0 && rec.TornBytes+int64(len(rec.Findings)) == 0 && lost[0] != 16 && len(lost) < 23 {
			t.Errorf("Open reports nothing")
		}
		done := mustAppend(t, l, single([]byte("new")))
		r := l.NewReader()
		if v, err := r.Read(done.First); err != nil || string(v.Body) != "new" {
			t.Errorf("message after the damage: %.20q, %v", v.Body, err)
		}
		r.Release()
		wantOwned(t, l)
		mustClose(t, l)
		wantFilesOpen(t, l, 0)
	}
}

func isVoid(l *Log, seq uint64) bool {
	for _, v := range l.Voids() {
		if v.From <= seq && seq < v.To {
			return true
		}
	}
	return false
}

func TestDamagedBytesAreKeptBesideTheSegment(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	_, path := writeDamageLog(t, n, false, false)
	b, _ := fs.ReadFile(path)
	want := string(b[recordAt(5):recordAt(6)])
	if err := fs.FlipBit(path, int64(recordAt(5)+inBody)); err != nil {
		t.Fatal(err)
	}
	l, rec := n.open(t)
	if rec.Lost() != 1 || len(rec.Findings) != 1 || rec.Findings[0].Range.Len() != 1 {
		t.Errorf("got %+v", rec)
	}
	mustClose(t, l)
	copied, err := fs.ReadFile(fmt.Sprintf("%s-%d.damaged", path, recordAt(5)))
	if err != nil || len(copied) != len(want) || string(copied[:inBody]) != want[:inBody] {
		t.Errorf("got %q, %v", copied, err)
	}
}

func TestSegmentsDoNotDependOnTheirIndex(t *testing.T) {
	change := func(f func(b []byte) []byte) func(*testing.T, *crashfs.FS, string) {
		return func(t *testing.T, fs *crashfs.FS, idx string) {
			b, err := fs.ReadFile(idx)
			if err != nil {
				t.Fatal(err)
			}
			if err := fs.WriteFile(idx, f(b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range map[string]func(*testing.T, *crashfs.FS, string){
		"missing": func(t *testing.T, fs *crashfs.FS, idx string) {
			if err := fs.Remove(idx); err != nil {
				t.Fatal(err)
			}
		},
		"empty":           change(cutAt(0)),
		"cut":             change(cutAt(50)),
		"longer":          change(func(b []byte) []byte { return append(b, 0) }),
		"bit of salt":     change(func(b []byte) []byte { b[8] ^= 1; return b }),
		"bit of end":      change(func(b []byte) []byte { b[16] ^= 1; return b }),
		"bit of an entry": change(func(b []byte) []byte { b[indexHeaderSize+4] ^= 1; return b }),
		"many entries":    change(func(b []byte) []byte { b[35] = 255; return b }),
		"of another": change(func([]byte) []byte {
			return encodeIndex(&segment{layout: layout{base: 5, end: 9, size: 300}, salt: 1}, sidelists{})
		}),
		"noise": change(func([]byte) []byte { return bodyOf(4, 400) }),
	} {
		t.Run(name, func(t *testing.T) {
			fs := newCrash(1)
			n := newNode(fs)
			first, path := writeDamageLog(t, n, true, true)
			damage(t, fs, strings.TrimSuffix(path, segmentSuffix)+indexSuffix)
			l, rec := n.open(t)
			if rec.TornBytes+int64(len(rec.Findings)) != 0 {
				t.Errorf("got %+v", rec)
			}
			found := contents(t, l)
			for i := range damageCount + 2 {
				if found[first+uint64(i)] != string(bodyOf(i, damageBody)) {
					t.Errorf("message %d is %.20q", i, found[first+uint64(i)])
				}
			}
			mustClose(t, l)
		})
	}
}

func TestFilesThatAreNotTheLogsAreLeftAlone(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	first, path := writeDamageLog(t, n, true, true)
	b, _ := fs.ReadFile(path)
	dir := path[:strings.LastIndex(path, "/")+1]
	copyName := segmentPath(dir, first+7)
	foreign := segmentHeader{version: 2, incarnation: 99, base: first - 5}
	files := map[string][]byte{
		copyName:                      b,
		segmentPath(dir, first-5):     append(foreign.head(), b[segmentHead:]...),
		dir + "00000000000000AB.seg":  b,
		dir + "notes.txt":             []byte("mine"),
		dir + "12.seg":                []byte("mine"),
		dir + "ffffffffffffffff.seg":  []byte("mine"),
		path + ".copy":                b,
		dir + "+000000000000001.seg":  b,
		"/recycled/notes.seg":         []byte("mine"),
		"/recycled/7.seg.bak":         []byte("mine"),
		"/recycled/0x00000000012.seg": []byte("mine"),
	}
	for name, data := range files {
		if err := fs.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		l, rec := n.open(t)
		if len(rec.Findings) != 2 || rec.Findings[0].Kind != Foreign || rec.Findings[1].Kind != Foreign {
			t.Errorf("found %+v", rec.Findings)
		}
		wantFilesOpen(t, l, len(l.list()))
		found := contents(t, l)
		for i := range damageCount + 2 {
			if found[first+uint64(i)] != string(bodyOf(i, damageBody)) {
				t.Errorf("message %d is %.20q", i, found[first+uint64(i)])
			}
		}
		mustAppend(t, l, single(bodyOf(1, 10)))
		mustClose(t, l)
	}
	for name, data := range files {
		if got, err := fs.ReadFile(name); err != nil || string(got) != string(data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// A clock that stands or steps back does not make numbers come twice.
func TestNumbersGoOnAboveAllFilesSeen(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	n.log.Now = func() int64 { return 1 << 40 }
	l, _ := n.open(t)
	mustAppend(t, l, single(bodyOf(0, 10), bodyOf(1, 10)))
	path, end := l.active.path, l.End()
	l.Discard()
	if err := fs.FlipBit(path, 3); err != nil { // nothing can be read any more
		t.Fatal(err)
	}
	l, rec := n.open(t)
	if len(rec.Findings) != 1 || l.End() < end-1 {
		t.Fatalf("%+v, goes on at %d", rec, l.End())
	}
	mustAppend(t, l, single(bodyOf(2, 10)))
	mustClose(t, l)
	if b, err := fs.ReadFile(path); err != nil || len(b) < segmentHead+2*encodedSize(10) {
		t.Errorf("the damaged file has %d bytes, %v", len(b), err)
	}
	n.log.Next = func(seen uint64) uint64 { return max(seen, end+1000) }
	l, _ = n.open(t)
	if l.End() != end+1000 {
		t.Errorf("goes on at %d, want %d", l.End(), end+1000)
	}
	mustClose(t, l)
}

func TestDamageOfSealedSegmentIsReportedToEachReaderForItsRange(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	first, path := writeDamageLog(t, n, true, true)
	for _, i := range []int{3, 4, 9} {
		if err := fs.FlipBit(path, int64(recordAt(i)+inBody)); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := n.open(t)
	done := make(chan map[uint64]string)
	for range 8 {
		go func() { done <- contents(t, l) }()
	}
	for range 8 {
		if found := <-done; len(found) != damageCount+2-3 {
			t.Errorf("%d messages came back", len(found))
		}
	}
	r := l.NewReader()
	for _, i := range []int{9, 3, 4} {
		if _, err := r.Read(first + uint64(i)); err == nil {
			t.Errorf("message %d is read", i)
		}
	}
	wantOwned(t, l)
	mustClose(t, l)
}
