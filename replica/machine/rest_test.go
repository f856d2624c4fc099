package machine

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// filesOf is each file of a disk with what is in it.
func filesOf(t *testing.T, disk *crashfs.FS) (files []string) {
	t.Helper()
	for _, f := range disk.Files() {
		b, err := disk.ReadFile(f.Name)
		must(t, err)
		files = append(files, f.Name+": "+string(b))
	}
	return files
}

// atRest looks at a shard and applies the entries that are behind its checkpoint. It
// returns what is amiss.
func atRest(t *testing.T, disk *crashfs.FS, entries [][]byte) (amiss []string) {
	t.Helper()
	before := filesOf(t, disk)
	r, err := OpenAtRest(disk.Mount(), dataDir, 3)
	must(t, err)
	index, _ := r.Applied()
	for i := index; i < uint64(len(entries)); i++ {
		_, err := r.Raft().Apply(i+1, 1, entries[i])
		must(t, err)
	}
	for _, d := range r.Damaged {
		amiss = append(amiss, "checkpoint "+path.Base(d.Path))
	}
	must(t, r.Check(func(l *CheckedLog) {
		for _, f := range l.Findings {
			amiss = append(amiss, fmt.Sprintf("%s %s %d, %d wanted", f.Kind, path.Base(f.Path), f.Range.Len(), l.Wanted(f.Range)))
		}
		for _, m := range l.Missing {
			amiss = append(amiss, fmt.Sprintf("%d of %s", m.Len(), l.Name))
		}
	}))
	unknown, err := r.Unknown()
	must(t, err)
	for _, path := range unknown {
		amiss = append(amiss, "unknown "+path)
	}
	if !slices.Equal(before, filesOf(t, disk)) {
		t.Fatal("files were changed")
	}
	return amiss
}

// Wherever a member stops, nothing is amiss with what is left, as long as nothing was
// damaged.
func TestNothingIsAmissAfterAStopAtAnyOperation(t *testing.T) {
	for seed := range uint64(3) {
		h := newHistory(t, seed, 150)
		disk := newDisk(seed)
		all := countOperations(disk)
		must(t, h.applyAll(open(t, disk), 11))
		for name, crash := range crashes {
			for at := int(seed % 3); at < *all; at += 3 {
				disk := newDisk(seed + uint64(at))
				stopAt(disk, at, crash)
				applied := uint64(0)
				if m, err := tryOpen(disk); err == nil {
					_ = h.applyAll(m, 11)
					applied, _ = m.Applied()
				}
				disk.Kill()
				disk.Fail(nil)
				entries := h.entries[:min(int(applied)+1, len(h.entries))]
				if amiss := atRest(t, disk, entries); len(amiss) > 0 {
					t.Fatalf("seed %d, %s at operation %d of %d: %q", seed, name, at, *all, amiss)
				}
			}
		}
	}
}

// What is damaged is found, each by its kind, whoever wants it.
func TestDamageOfAMemberAtRestIsFound(t *testing.T) {
	edit := func(change func([]byte) []byte) func(t *testing.T, disk *crashfs.FS, segments []string) {
		return func(t *testing.T, disk *crashfs.FS, segments []string) {
			b, err := disk.ReadFile(segments[1])
			must(t, err)
			must(t, disk.WriteFile(segments[1], change(b)))
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, disk *crashfs.FS, segments []string)
		want   string
	}{
		"flipped": {edit(func(b []byte) []byte {
			b[len(b)-150] ^= 4
			return b
		}), "damaged %s.seg 1, 1 wanted"},
		"cut": {edit(func(b []byte) []byte { return b[:len(b)-100] }), "missing %s.seg 1, 1 wanted"},
		"gone": {func(t *testing.T, disk *crashfs.FS, segments []string) {
			must(t, disk.Mount().Remove(segments[1]))
		}, "missing %s.idx"},
		"gone with its index": {func(t *testing.T, disk *crashfs.FS, segments []string) {
			must(t, disk.Mount().Remove(segments[1]))
			must(t, disk.Mount().Remove(strings.TrimSuffix(segments[1], ".seg")+".idx"))
		}, "of t"},
		"of another topic": {func(t *testing.T, disk *crashfs.FS, segments []string) {
			b, err := disk.ReadFile(segments[1])
			must(t, err)
			must(t, disk.WriteFile(path.Dir(segments[1])+"/0000000000000000.seg", b))
		}, "foreign 0000000000000000.seg"},
		"a directory": {func(t *testing.T, disk *crashfs.FS, segments []string) {
			must(t, disk.WriteFile(path.Dir(path.Dir(segments[1]))+"/x-0000000000000001/y", nil))
		}, "unknown"},
		"index": {func(t *testing.T, disk *crashfs.FS, segments []string) {
			must(t, disk.FlipBit(strings.TrimSuffix(segments[1], ".seg")+".idx", 40))
		}, "inconsistent %s.idx"},
		"checkpoint": {func(t *testing.T, disk *crashfs.FS, segments []string) {
			for _, f := range disk.Files() {
				if strings.HasSuffix(f.Name, checkpointSuffix) {
					must(t, disk.FlipBit(f.Name, 30))
				}
			}
		}, "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(1)
			fill(t, disk)
			if amiss := atRest(t, disk, nil); len(amiss) > 0 {
				t.Fatal(amiss)
			}
			var segments []string
			for _, f := range disk.Files() {
				if path.Ext(f.Name) == ".seg" {
					segments = append(segments, f.Name)
				}
			}
			c.damage(t, disk, segments)
			want := c.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, strings.TrimSuffix(path.Base(segments[1]), ".seg"))
			}
			if amiss := atRest(t, disk, nil); len(amiss) != 1 || !strings.Contains(amiss[0], want) {
				t.Errorf("found %q, want %q", amiss, want)
			}
		})
	}
}

// What is finished is nothing that is missing, though the checkpoint does not know yet.
func TestWhatIsFinishedBehindTheCheckpointIsNotMissing(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t"), createChannel(1, "c")))
	var entries [][]byte
	for n := range uint64(60) {
		feed(t, m, publish(1, 7, n+1, strings.Repeat("x", 300)))
	}
	index, err := m.Checkpoint()
	must(t, err)
	entries = make([][]byte, index)
	end := numbersOf(t, m).To
	done := changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: end, Cursor: end})
	feed(t, m, done)
	entries = append(entries, done.AppendTo(nil))
	disk.Kill()
	if amiss := atRest(t, disk, nil); len(amiss) == 0 {
		t.Error("nothing was given up")
	}
	if amiss := atRest(t, disk, entries); len(amiss) > 0 {
		t.Errorf("found %q", amiss)
	}
}
