package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/internal/crc32c"
	"qmq/internal/vfs/crashfs"
)

// specimen is a log at rest, of three files that are in use and one that is
// prepared, with what is in it and where.
type specimen struct {
	h      *history
	writes []write
	files  map[string][]byte // by name
}

// write is where a write of the log stands, and how many updates were saved
// before it.
type write struct {
	file     string
	from, to int64
	updates  int
}

func makeSpecimen(t *testing.T) *specimen {
	t.Helper()
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	s := &specimen{h: newHistory(), files: make(map[string][]byte)}
	seen := func() {
		g := l.writer.active
		w := write{file: filepath.Base(g.path), from: firstRecord, to: g.end, updates: len(s.h.updates)}
		if n := len(s.writes); n > 0 && s.writes[n-1].file == w.file {
			w.from = s.writes[n-1].to
		}
		s.writes = append(s.writes, w)
	}
	seen()
	var failed error
	for i := range uint64(20) {
		id := uint32(i % 2)
		u := &Update{Shard: id, Entries: entries(i/2+1, 1, 1, 400), HardState: hard(1+i, 2, i/2)}
		s.h.save(t, l, u, &failed)
		if i%5 != 2 {
			l.Flush()
			seen()
		}
	}
	must(t, failed)
	fsys.Kill()
	for _, f := range fsys.Files() {
		b, err := fsys.ReadFile(f.Name)
		must(t, err)
		s.files[filepath.Base(f.Name)] = b
	}
	if last := s.writes[len(s.writes)-1].file; len(s.files) != 4 || last != segmentName(3) {
		t.Fatalf("the specimen has %d files, the last in use is %s", len(s.files), last)
	}
	return s
}

// disk is one with the specimen's files, changed.
func (s *specimen) disk(t *testing.T, change func(files map[string][]byte)) *crashfs.FS {
	t.Helper()
	files := make(map[string][]byte)
	for name, b := range s.files {
		files[name] = slices.Clone(b)
	}
	change(files)
	fsys := newDisk(t, 1)
	for name, b := range files {
		must(t, fsys.WriteFile(testDir+"/"+name, b))
	}
	return fsys
}

// outcome is what a start makes of damage.
type outcome int

const (
	nothing outcome = iota // all is there, and nothing is said
	torn                   // all but the last write is there, and it is said
	tornEnd                // all is there, and it seems to be torn
	damaged                // the log is empty, its files are kept
)

func (o outcome) String() string { return [...]string{"nothing", "torn", "torn end", "damaged"}[o] }

// at is what a change of one byte of a file does.
func (s *specimen) at(file string, offset int64) outcome {
	last := s.writes[len(s.writes)-1]
	if offset < firstRecord {
		return nothing // a header has another copy, and nobody reads what is between them
	}
	for _, w := range s.writes {
		switch {
		case w.file != file || offset < w.from || offset >= w.to:
		case w == last:
			return torn
		default:
			return damaged
		}
	}
	end := int64(firstRecord) // of the prepared file
	if file == last.file {
		end = last.to
	} else if file < last.file {
		return nothing // behind the end that the next file tells
	}
	if offset < end+recordHeader {
		return tornEnd
	}
	return nothing
}

// expect opens the log and compares.
func (s *specimen) expect(t *testing.T, what string, fsys *crashfs.FS, want outcome) {
	t.Helper()
	before := snapshotOf(t, fsys)
	o := options(fsys.Mount())
	checked, err := Check(o.FS, o.Dir)
	must(t, err)
	l, r := mustOpen(t, o)
	got := nothing
	switch {
	case len(r.Damaged) > 0:
		got = damaged
	case r.Torn != nil:
		got = torn
	}
	if got != want && !(want == tornEnd && got == torn) {
		t.Errorf("%s: %+v, want %v", what, r, want)
	}
	if (got == damaged) != (len(checked.Damaged) > 0) || (got == torn) != (checked.Torn != nil) {
		t.Errorf("%s: Check says %+v, Open %+v", what, checked, r)
	}
	h := newHistory()
	h.updates = slices.Clone(s.h.updates)
	for id, m := range s.h.shards {
		h.shards[id] = m
	}
	switch want {
	case damaged:
		if first, last := bounds(l.Shard(0)); first != 1 || last != 0 || !r.Forgetful() {
			t.Errorf("%s: the log has entries from %d to %d: %+v", what, first, last, r)
		}
		for name, b := range before {
			kept, err := fsys.ReadFile(r.Kept + "/" + filepath.Base(name))
			if err != nil || !bytes.Equal(kept, b) {
				t.Errorf("%s: %s is not kept as it was: %v", what, name, err)
			}
		}
	case torn:
		h.check(t, l, s.writes[len(s.writes)-2].updates)
	default:
		h.check(t, l, len(h.updates))
	}
	must(t, l.Close())
	l, again := mustOpen(t, o)
	if again.Torn != nil || again.Forgetful() != r.Forgetful() || len(again.Damaged) > 0 {
		t.Errorf("%s: the start after that: %+v, before %+v", what, again, r)
	}
	must(t, l.Close())
}

func snapshotOf(t *testing.T, fsys *crashfs.FS) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, f := range fsys.Files() {
		b, err := fsys.ReadFile(f.Name)
		must(t, err)
		files[f.Name] = b
	}
	return files
}

func TestEachByteThatChangesIsNoticed(t *testing.T) {
	s := makeSpecimen(t)
	for name, b := range s.files {
		offsets := []int64{}
		for i := int64(0); i < int64(len(b)); i++ {
			header := i < headerSize || i >= secondHeader && i < secondHeader+headerSize
			record := i >= firstRecord && (name == segmentName(3) || i%3 == 0)
			if header || record || i%512 == 100 {
				offsets = append(offsets, i)
			}
		}
		for _, i := range offsets {
			fsys := s.disk(t, func(files map[string][]byte) { files[name][i] ^= 1 << (i % 8) })
			s.expect(t, fmt.Sprintf("%s, byte %d", name, i), fsys, s.at(name, i))
			if t.Failed() {
				return
			}
		}
	}
}

func TestDamage(t *testing.T) {
	s := makeSpecimen(t)
	last := s.writes[len(s.writes)-1]
	older := s.writes[len(s.writes)-3]
	for _, c := range []struct {
		name   string
		change func(files map[string][]byte)
		want   outcome
	}{
		{"nothing", func(map[string][]byte) {}, nothing},
		{"both headers of a file in use", func(f map[string][]byte) {
			f[segmentName(2)][5] ^= 1
			f[segmentName(2)][secondHeader+5] ^= 1
		}, damaged},
		{"both headers of the prepared file", func(f map[string][]byte) {
			f[segmentName(4)][0] ^= 1
			f[segmentName(4)][secondHeader] ^= 1
		}, damaged},
		{"zeros in the middle", func(f map[string][]byte) { clear(f[older.file][older.from:older.to]) }, damaged},
		{"zeros at the end of the last write", func(f map[string][]byte) { clear(f[last.file][last.to-8 : last.to]) }, torn},
		{"zeros from within the last write on", func(f map[string][]byte) { clear(f[last.file][last.from+30:]) }, torn},
		{"zeros from within an older file on", func(f map[string][]byte) { clear(f[segmentName(2)][firstRecord+100:]) }, damaged},
		{"a file of zeros", func(f map[string][]byte) { clear(f[segmentName(2)]) }, damaged},
		{"an empty file", func(f map[string][]byte) { f[segmentName(3)] = nil }, damaged},
		{"a file in the middle is missing", func(f map[string][]byte) { delete(f, segmentName(2)) }, damaged},
		{"files under each other's names", func(f map[string][]byte) {
			f[segmentName(1)], f[segmentName(2)] = f[segmentName(2)], f[segmentName(1)]
		}, damaged},
		{"records of another file", func(f map[string][]byte) {
			copy(f[segmentName(3)][firstRecord:], f[segmentName(2)][firstRecord:firstRecord+2000])
		}, damaged},
		{"a write in the place of a later one", func(f map[string][]byte) {
			copy(f[older.file][older.to:], f[older.file][older.from:older.to])
		}, damaged},
		{"a good sum over nonsense", func(f map[string][]byte) { reseal(f[older.file], older.from) }, damaged},
		{"the prepared file is missing", func(f map[string][]byte) { delete(f, segmentName(4)) }, nothing},
		{"leftovers behind the end of a file", func(f map[string][]byte) {
			b := f[segmentName(3)]
			copy(b[last.to+recordHeader:], f[segmentName(2)][firstRecord:len(b)-(int(last.to)+recordHeader)+firstRecord])
		}, nothing},
		{"names of others", func(f map[string][]byte) { f["5.wal"], f["x"], f["0000000000000001.wal.kept-1"] = nil, nil, nil }, nothing},
	} {
		t.Run(c.name, func(t *testing.T) { s.expect(t, c.name, s.disk(t, c.change), c.want) })
	}
}

// reseal makes the entry at an offset one whose payload makes no sense.
func reseal(b []byte, at int64) {
	h, err := decodeHeader(b)
	if err != nil {
		panic(err)
	}
	n := binary.LittleEndian.Uint32(b[at:])
	body := b[at+recordHeader:][:padded(int(n))]
	body[16] = 99 // its type
	binary.LittleEndian.PutUint32(b[at+16:], crc32c.Update(seedOf(h.salt, at), body))
	binary.LittleEndian.PutUint32(b[at+20:], crc32c.Update(seedOf(h.salt, at), b[at:at+20]))
}

func TestFileThatIsCutOffIsDamaged(t *testing.T) {
	s := makeSpecimen(t)
	for _, name := range []string{segmentName(1), segmentName(3), segmentName(4)} {
		for size := 0; size < len(s.files[name]); size += 61 {
			fsys := s.disk(t, func(files map[string][]byte) { files[name] = files[name][:size] })
			s.expect(t, fmt.Sprintf("%s of %d bytes", name, size), fsys, damaged)
		}
	}
}

func TestLogOfAnotherNodeOrProgramIsRefusedAsItIs(t *testing.T) {
	s := makeSpecimen(t)
	for name, c := range map[string]struct {
		change func(*Options)
		files  func(map[string][]byte)
		want   error
	}{
		"node":    {change: func(o *Options) { o.Node++ }, want: ErrForeign},
		"cluster": {change: func(o *Options) { o.Cluster++ }, want: ErrForeign},
		"format": {files: func(f map[string][]byte) {
			b := f[segmentName(2)]
			for _, at := range []int{0, secondHeader} {
				b[at+4] = formatVersion + 1
				binary.LittleEndian.PutUint32(b[at+60:], crc32c.Sum(b[at:at+60]))
			}
		}, want: ErrNewer},
		"kind of record": {files: func(f map[string][]byte) {
			b, at := f[segmentName(2)], int64(firstRecord)
			h, _ := decodeHeader(b)
			b[at+12] = byte(lastKind + 1)
			binary.LittleEndian.PutUint32(b[at+20:], crc32c.Update(seedOf(h.salt, at), b[at:at+20]))
		}, want: ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			if c.files == nil {
				c.files = func(map[string][]byte) {}
			}
			fsys := s.disk(t, c.files)
			before := snapshotOf(t, fsys)
			o := options(fsys.Mount())
			if c.change != nil {
				c.change(&o)
			}
			if _, _, err := Open(o); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			for name, b := range snapshotOf(t, fsys) {
				if !bytes.Equal(b, before[name]) {
					t.Errorf("%s was changed", name)
				}
			}
		})
	}
}

func TestMediumThatFailsIsNoDamage(t *testing.T) {
	s := makeSpecimen(t)
	fsys := s.disk(t, func(map[string][]byte) {})
	must(t, fsys.BadSectors(testDir+"/"+segmentName(2), 9000, 9512))
	if _, _, err := Open(options(fsys.Mount())); err == nil || !strings.Contains(err.Error(), segmentName(2)) {
		t.Errorf("got %v", err)
	}
	must(t, fsys.BadSectors(testDir+"/"+segmentName(2), 0, 0))
	s.expect(t, "afterwards", fsys, nothing)
}

func TestDamagedNodeGoesOnUnderAnotherIdOnly(t *testing.T) {
	s := makeSpecimen(t)
	fsys := s.disk(t, func(f map[string][]byte) { f[segmentName(1)][9000] ^= 1 })
	o := options(fsys.Mount())
	l, r := mustOpen(t, o)
	if len(r.Damaged) == 0 {
		t.Fatalf("%+v", r)
	}
	mustSave(t, l, &Update{Shard: 1, HardState: hard(9, 9, 0)})
	must(t, l.Close())
	if l, r = mustOpen(t, o); !r.Forgetful() || r.Doubt == "" {
		t.Errorf("the next start: %+v", r)
	}
	must(t, l.Close())
	kept, err := setAside(o.FS, o.Dir)
	must(t, err)
	if kept == r.Kept {
		t.Errorf("two logs are kept in %s", kept)
	}
	if l, r = mustOpen(t, o); !r.New || r.Doubt == "" {
		t.Errorf("the same node in an empty directory: %+v", r)
	}
	must(t, l.Close())
	_, err = setAside(o.FS, o.Dir)
	must(t, err)
	o.Node = 99
	if l, r = mustOpen(t, o); !r.New || r.Forgetful() {
		t.Errorf("another node: %+v", r)
	}
	must(t, l.Close())
}

func TestEntryThatGoesBadIsNeverRead(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.CacheBytes = 1
	var found []Finding
	o.Found = func(f Finding) { found = append(found, f) }
	l, _ := mustOpen(t, o)
	mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 5, 100)})
	at := l.shards[1].stretches[0].places[2]
	must(t, fsys.FlipBit(l.segments[0].path[:len(testDir)+1]+segmentName(1), int64(at.offset)+50))
	s := l.Shard(1)
	if list, err := s.Entries(3, 6, 1); !errors.Is(err, ErrDamaged) || list != nil {
		t.Errorf("got %v, %v", list, err)
	}
	if len(found) != 1 || found[0].Kind != Unreadable || found[0].Offset != int64(at.offset) {
		t.Errorf("found %v", found)
	}
	if list, err := s.Entries(1, 3, 1000); len(list) != 2 || err != nil {
		t.Errorf("those before: %v, %v", list, err)
	}
	l.Compact(1, 3)
	if _, err := s.Entries(3, 6, 1); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("one that only followers need: %v", err)
	}
	must(t, l.Close())
}

// FuzzOpen: nothing that stands in a file makes Open panic, or hang.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(firstRecord), []byte{1, 2, 3}, false)
	f.Add(uint16(firstRecord+13), []byte{1}, true)
	f.Fuzz(func(t *testing.T, at uint16, b []byte, seal bool) {
		s := makeSpecimen(t)
		fsys := s.disk(t, func(files map[string][]byte) {
			file := files[segmentName(2)]
			copy(file[min(int(at), len(file)):], b)
			if h, err := decodeHeader(file); seal && err == nil {
				sealAll(file, h.salt)
			}
		})
		l, _, err := Open(options(fsys.Mount()))
		if err != nil {
			return
		}
		for id := range uint32(3) {
			s := l.Shard(id)
			first, last := bounds(s)
			_, _ = s.Entries(first, min(last+1, first+1000), 1<<20) // it may have gone bad
		}
		must(t, l.Close())
	})
}

// sealAll makes the sums of a file's records good, whatever they say.
func sealAll(b []byte, salt uint32) {
	for at := int64(firstRecord); at+recordHeader <= int64(len(b)); {
		n := int64(padded(int(binary.LittleEndian.Uint32(b[at:]))))
		if at+recordHeader+n > int64(len(b)) {
			return
		}
		binary.LittleEndian.PutUint32(b[at+16:], crc32c.Update(seedOf(salt, at), b[at+recordHeader:][:n]))
		binary.LittleEndian.PutUint32(b[at+20:], crc32c.Update(seedOf(salt, at), b[at:at+20]))
		at += recordHeader + n
	}
}
