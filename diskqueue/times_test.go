package diskqueue

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/crc32c"
	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// published is a log whose messages have times, and which those are.
type published struct {
	node *node
	log  *Log
	list []message.Mark // Seq, and in DeliverAt the time
}

func (p *published) append(t tester, times ...int64) {
	t.Helper()
	b := new(Batch)
	for i, at := range times {
		b.Add(&message.Meta{Timestamp: at, OnlyFor: []string{"", "", "a", "b"}[at&3]}, bodyOf(i, 500))
	}
	done := mustAppend(t, p.log, b)
	for i, at := range times {
		p.list = append(p.list, message.Mark{Seq: done.First + uint64(i), DeliverAt: at})
	}
}

// since is what Since has to find.
func (p *published) since(time int64) uint64 {
	for _, m := range p.list {
		if m.DeliverAt >= time {
			return m.Seq
		}
	}
	return p.log.End()
}

// only is what Only has to find.
func (p *published) only(from, to uint64) (list []message.Only) {
	for _, m := range p.list {
		if name := []string{"", "", "a", "b"}[m.DeliverAt&3]; name != "" && from <= m.Seq && m.Seq < to {
			list = append(list, message.Only{Seq: m.Seq, Channel: name})
		}
	}
	return list
}

func (p *published) want(t tester, times ...int64) {
	t.Helper()
	r := p.log.NewReader()
	defer r.Release()
	for _, time := range times {
		if got, err := r.Since(time); got != p.since(time) || err != nil {
			t.Fatalf("since %d it is %d, %v, want %d", time, got, err, p.since(time))
		}
	}
	from := p.log.Start()
	to := from + (p.log.End()-from)/2
	if got, err := p.log.Only(from, to); err != nil || !slices.Equal(got, p.only(from, to)) {
		t.Fatalf("for one channel are %v, %v, want %v", got, err, p.only(from, to))
	}
}

// reopen closes the log, or not, and opens it again, with or without the index files.
func (p *published) reopen(t tester, clean, indexes bool, edit func([]byte, uint64) []byte) {
	t.Helper()
	if clean {
		mustClose(t, p.log)
	} else {
		p.log.Discard()
	}
	fs := p.node.fs
	entries, _ := fs.ReadDir(testDir)
	for _, e := range entries {
		base, ok := parseName(e.Name(), indexSuffix)
		if path := filepath.Join(testDir, e.Name()); ok && !indexes {
			fs.Remove(path)
		} else if ok && edit != nil {
			b, err := vfs.ReadFile(fs, path, 1<<20)
			if err != nil {
				t.Fatalf("%v", err)
			}
			if err := writeIndex(fs, path, edit(b, base)); err != nil {
				t.Fatalf("%v", err)
			}
		}
	}
	p.log, _ = p.node.open(t)
}

func newPublished(t tester) *published {
	p := &published{node: newNode(vfs.NewMem()).cold()}
	p.node.log.SegmentBytes = 64 << 10 // with a few entries of the index in each
	p.log, _ = p.node.open(t)
	return p
}

// TestSinceFindsTheFirstOfATimeOrLater whatever order the times are in, in all that a log is
// made of: before and after a restart, with indexes and without, and carried.
func TestSinceFindsTheFirstOfATimeOrLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPublished(t)
		defer func() { p.log.Discard() }()
		now, step := int64(1000), rapid.Int64Range(-300, 1000)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); what {
			case 0:
				p.reopen(t, rapid.Bool().Draw(t, "clean"), rapid.Bool().Draw(t, "indexes"), nil)
			case 1:
				mustSync(t, p.log)
			case 2:
				p.carry(t)
			default:
				times := make([]int64, rapid.IntRange(1, 100).Draw(t, "messages"))
				for i := range times {
					now = max(1, now+step.Draw(t, "step"))
					times[i] = now
				}
				p.append(t, times...)
			}
			ask := []int64{1, now, now + 1, 1 << 60}
			for range 5 {
				ask = append(ask, rapid.Int64Range(0, now+100).Draw(t, "time"))
			}
			p.want(t, ask...)
		}
	})
}

// carry puts a carry segment with two thirds of the messages in the place of the full segments.
func (p *published) carry(t *rapid.T) {
	p.log.EndSegment()
	mustSync(t, p.log)
	var numbers, keep []seqset.Range
	for _, s := range p.log.list() {
		numbers = append(numbers, s.numbers())
	}
	left := slices.DeleteFunc(slices.Clone(p.list), func(m message.Mark) bool { return m.Seq%3 == 0 })
	if len(left) == 0 {
		return
	}
	p.list = left
	for _, m := range p.list {
		keep = append(keep, seqset.Range{From: m.Seq, To: m.Seq + 1})
	}
	if err := p.log.Carry(numbers, seqset.Union(keep), func([]seqset.Range) error { return nil }); err != nil {
		t.Fatalf("%v", err)
	}
}

// oldIndex draws an index as versions before did that told no times.
func oldIndex(b []byte, base uint64) []byte {
	d, _ := decodeIndex(b, base)
	old := slices.Clone(b[:indexHeaderSize])
	binary.LittleEndian.PutUint32(old[4:], binary.LittleEndian.Uint32(old[4:])-timedIndex)
	for _, e := range d.index {
		old = binary.LittleEndian.AppendUint32(old, e.rel)
		old = binary.LittleEndian.AppendUint32(old, e.offset)
	}
	for _, r := range d.runs {
		old = binary.LittleEndian.AppendUint64(old, r.seq)
		old = binary.LittleEndian.AppendUint32(old, r.count)
		old = binary.LittleEndian.AppendUint32(old, r.offset)
	}
	binary.LittleEndian.PutUint32(old[12:], crc32c.Sum(old[indexCRCStart:]))
	return old
}

// TestSinceInALogOfAnOlderVersion goes by the times that it reads, before newer segments and
// between them.
func TestSinceInALogOfAnOlderVersion(t *testing.T) {
	p := newPublished(t)
	defer func() { p.log.Discard() }()
	now := int64(1000)
	fill := func() {
		for range 10 {
			var times []int64
			for range 50 {
				now += 40
				times = append(times, now)
			}
			p.append(t, times...)
		}
	}
	ask := func() (times []int64) {
		for at := int64(900); at < now+100; at += 133 {
			times = append(times, at)
		}
		return times
	}
	fill()
	p.reopen(t, true, true, oldIndex)
	for _, s := range p.log.list() {
		if s.newest != 0 {
			t.Fatal("the index tells times")
		}
	}
	p.list = append([]message.Mark(nil), p.list...)
	wantSince(t, p, ask())
	fill()
	wantSince(t, p, ask())
	p.reopen(t, true, true, func(b []byte, base uint64) []byte {
		if d, _ := decodeIndex(b, base); d.newest == 0 || base%2 == 0 {
			return b
		}
		return oldIndex(b, base)
	})
	wantSince(t, p, ask())
}

func wantSince(t *testing.T, p *published, times []int64) {
	t.Helper()
	r := p.log.NewReader()
	defer r.Release()
	for _, at := range times {
		if got, err := r.Since(at); got != p.since(at) || err != nil {
			t.Fatalf("since %d it is %d, %v, want %d", at, got, err, p.since(at))
		}
	}
}

// TestSinceReadsOneStretch of one segment, however long the log is.
func TestSinceReadsOneStretch(t *testing.T) {
	p := newPublished(t)
	defer func() { p.log.Discard() }()
	counted := &countingFS{FS: p.node.fs}
	p.node.fs, p.node.shared.FS, p.node.shared.CacheBytes = counted, counted, 1
	now := int64(1000)
	for range 100 {
		var times []int64
		for range 50 {
			now += 1 + rand.Int64N(100)
			times = append(times, now)
		}
		p.append(t, times...)
	}
	p.reopen(t, true, true, nil)
	for range 100 {
		at := 1000 + rand.Int64N(now-1000)
		counted.reads.Store(0)
		wantSince(t, p, []int64{at})
		if n := counted.reads.Load(); n > 2 { // a record may go on behind the stretch
			t.Fatalf("%d reads to find %d", n, at)
		}
	}
}

// countingFS counts reads of files.
type countingFS struct {
	vfs.FS
	reads atomic.Int64
}

func (c *countingFS) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	return countingFile{f, c}, err
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f countingFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.reads.Add(1)
	return f.File.ReadAt(b, off)
}

// TestSinceBehindDamage passes over what is lost, and stops at what may be read later.
func TestSinceBehindDamage(t *testing.T) {
	fs := crashfs.New(1)
	p := &published{node: newNode(fs.Mount()).cold()}
	p.node.log.SegmentBytes, p.node.shared.CacheBytes = 256<<10, 1
	p.log, _ = p.node.open(t)
	var times []int64
	for i := range int64(300) {
		times = append(times, 1000+i)
	}
	p.append(t, times...)
	mustSync(t, p.log)
	s := p.log.list()[0]
	entry := s.index[2]
	lost := s.base + uint64(entry.rel)
	flipOnDisk(t, p.node.fs, s.path, int64(entry.offset)+100)
	p.list = slices.DeleteFunc(p.list, func(m message.Mark) bool { return m.Seq == lost })
	wantSince(t, p, []int64{1000 + int64(entry.rel) - 1, 1000 + int64(entry.rel), 1000 + int64(entry.rel) + 1, 1299, 1300})
	p.log.Discard()
}

// flipOnDisk changes a byte of a file.
func flipOnDisk(t *testing.T, fs vfs.FS, path string, at int64) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// TestIndexIsOfItsVersion: a bit of the version does not make another index of it.
func TestIndexIsOfItsVersion(t *testing.T) {
	s, delayed := exampleIndex()
	b := encodeIndex(s, exampleLists(delayed))
	old := oldIndex(encodeIndex(&segment{salt: s.salt, layout: layout{base: s.base, end: s.end, size: s.size, index: s.index}}, sidelists{}), s.base)
	if d, err := decodeIndex(old, s.base); err != nil || d.newest != 0 || len(d.index) != 3 {
		t.Fatalf("of an old index: %+v, %v", d, err)
	}
	for _, b := range [][]byte{b, old} {
		for version := range uint32(20) {
			other := slices.Clone(b)
			if binary.LittleEndian.PutUint32(other[4:], version); version == binary.LittleEndian.Uint32(b[4:]) {
				continue
			}
			if _, err := decodeIndex(other, s.base); err == nil {
				t.Errorf("version %d is taken for %d", binary.LittleEndian.Uint32(b[4:]), version)
			}
		}
	}
}

// BenchmarkSince seeks by time in a million messages, by the index and, as where it does not
// tell times, by a search that reads messages.
func BenchmarkSince(b *testing.B) {
	const messages, each = 1_000_000, 1000
	l := benchLog(b, 0)
	body := strings.Repeat("x", benchBody)
	for i := 0; i < messages; i += each {
		batch := new(Batch)
		for k := range each {
			batch.Add(&message.Meta{Timestamp: testTime + int64(i+k)}, []byte(body))
		}
		mustAppend(b, l, batch)
	}
	mustSync(b, l)
	first, r := l.Start(), l.NewReader()
	defer r.Release()
	for name, find := range map[string]func(int64) (uint64, error){
		"index": r.Since,
		"search": func(time int64) (uint64, error) {
			seq, _, err := r.firstSince(r.firstAscending(first, l.End(), time), l.End(), time)
			return seq, err
		},
	} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			for b.Loop() {
				i := rand.Uint64N(messages)
				if seq, err := find(testTime + int64(i)); seq != first+i || err != nil {
					b.Fatal(seq, err)
				}
			}
		})
	}
}

// TestSinceBesideAppends, reclaims and indexes that are written: what is found is of that time,
// and what is before it is not.
func TestSinceBesideAppends(t *testing.T) {
	p := newPublished(t)
	defer func() { p.log.Discard() }()
	p.append(t, 4)
	first := p.log.Start()
	var over atomic.Bool
	var seekers sync.WaitGroup
	for range 2 {
		seekers.Go(func() {
			r := p.log.NewReader()
			defer r.Release()
			for at := int64(4); !over.Load(); at += 20 {
				seq, err := r.Since(at)
				if end := p.log.End(); seq < end && seq > max(first+uint64(at/4)-1, p.log.Start()) || err != nil {
					t.Errorf("since %d it is %d, %v", at, seq, err)
				}
				if seq >= p.log.End()-1 {
					at = 4
				}
			}
		})
	}
	for i := range int64(200) {
		times := make([]int64, 20)
		for k := range times {
			times[k] = 4 * (2 + 20*i + int64(k))
		}
		p.append(t, times...)
		if i%20 == 19 {
			mustSync(t, p.log)
			p.log.Reclaim(p.log.Start() + 100)
		}
	}
	over.Store(true)
	seekers.Wait()
}
