package journal

import (
	"encoding/binary"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"qmq/internal/crc32c"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// writtenLog is the one log of a journal that was killed after a topic 1, a
// channel 2 that acknowledged 100, then 102, then 104, and a topic 3: five
// frames. The source is what the channel had done in the end.
func writtenLog(t *testing.T) (fsys *crashfs.FS, s *testSource) {
	t.Helper()
	fsys = crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount(), booted("monday"))
	s = withChannel(t, j)
	for _, seq := range []uint64{100, 102, 104} {
		s.ack(seq)
		must(t, j.Flush())
	}
	must(t, j.Commit(createTopic(3, "late")))
	fsys.Kill()
	_ = j.Close() // its file system is gone
	return fsys, s
}

func logName(n uint64) string        { return path.Join(testDir, fileName(n, logSuffix)) }
func checkpointName(n uint64) string { return path.Join(testDir, fileName(n, checkpointSuffix)) }

// frames is where each frame of a file begins, but for the first, and its end.
func frames(t *testing.T, b []byte) (offsets []int) {
	t.Helper()
	salt, _, err := parseHeader(b)
	must(t, err)
	lost, _, tail := scan(b, salt, func(off int, payload []byte) {
		if state.KindOf(payload) != kindFirst {
			offsets = append(offsets, off)
		}
	})
	if len(lost) > 0 || tail > 0 {
		t.Fatalf("lost %v, tail %d", lost, tail)
	}
	return append(offsets, len(b))
}

func TestDamagedLogGivesBackWhatIsWhole(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b []byte, frame []int) []byte
		topics []uint64
		acked  []uint64 // of 100, 102, 104; nil: the channel is not there
		lost   bool
	}{
		{"nothing", func(b []byte, _ []int) []byte { return b },
			[]uint64{1, 3}, []uint64{100, 102, 104}, false},
		{"last frame cut", func(b []byte, f []int) []byte { return b[:f[5]-1] },
			[]uint64{1}, []uint64{100, 102, 104}, false},
		{"cut in a frame's header", func(b []byte, f []int) []byte { return b[:f[4]+5] },
			[]uint64{1}, []uint64{100, 102, 104}, false},
		{"cut between frames", func(b []byte, f []int) []byte { return b[:f[3]] },
			[]uint64{1}, []uint64{100, 102}, false},
		{"zeros after the end", func(b []byte, _ []int) []byte { return append(b, make([]byte, 5000)...) },
			[]uint64{1, 3}, []uint64{100, 102, 104}, false},
		{"last frame all zeros", func(b []byte, f []int) []byte { clear(b[f[4]:]); return b },
			[]uint64{1}, []uint64{100, 102, 104}, false},
		{"flip in a payload", func(b []byte, f []int) []byte { b[f[2]+frameHeader+3] ^= 4; return b },
			[]uint64{1, 3}, []uint64{100, 104}, true},
		{"flip in a checksum", func(b []byte, f []int) []byte { b[f[2]+5] ^= 4; return b },
			[]uint64{1, 3}, []uint64{100, 104}, true},
		{"length too long", func(b []byte, f []int) []byte { b[f[2]+1] = 0xff; return b },
			[]uint64{1, 3}, []uint64{100, 104}, true},
		{"length too short", func(b []byte, f []int) []byte { b[f[2]]--; return b },
			[]uint64{1, 3}, []uint64{100, 104}, true},
		{"length zero", func(b []byte, f []int) []byte { clear(b[f[2] : f[2]+4]); return b },
			[]uint64{1, 3}, []uint64{100, 104}, true},
		{"a sector of zeros over two frames", func(b []byte, f []int) []byte { clear(b[f[1]+9 : f[3]-1]); return b },
			[]uint64{1, 3}, []uint64{100, 104}, true}, // the floor says that 100 is done
		{"two places", func(b []byte, f []int) []byte { b[f[1]+9] ^= 1; b[f[3]+9] ^= 1; return b },
			[]uint64{1, 3}, []uint64{100, 102}, true},
		{"creation lost", func(b []byte, f []int) []byte { b[f[0]+10] ^= 1; return b },
			[]uint64{3}, nil, true},
		{"bytes put in between", func(b []byte, f []int) []byte { return slices.Insert(b, f[2], []byte("something else")...) },
			[]uint64{1, 3}, []uint64{100, 102, 104}, true},
		{"frame of another file put in between", func(b []byte, f []int) []byte {
			return slices.Insert(b, f[2], appendFrame(nil, 12345, state.NewEncoder().Entries([]state.Entry{{Op: state.DeleteTopic, Topic: 1}}))...)
		}, []uint64{1, 3}, []uint64{100, 102, 104}, true},
		{"malformed record under a good checksum", func(b []byte, f []int) []byte {
			salt, _, _ := parseHeader(b)
			return slices.Insert(b, f[2], appendFrame(nil, salt, []byte{0x92, byte(state.KindChanges), 0xc1})...)
		}, []uint64{1, 3}, []uint64{100, 102, 104}, true},
		{"header", func(b []byte, _ []int) []byte { b[13] ^= 1; return b }, nil, nil, true},
		{"cut in the header", func(b []byte, _ []int) []byte { return b[:headerSize-1] }, nil, nil, false},
		{"empty file", func([]byte, []int) []byte { return nil }, nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys, _ := writtenLog(t)
			b, err := fsys.ReadFile(logName(1))
			must(t, err)
			must(t, fsys.WriteFile(logName(1), tt.damage(b, frames(t, b))))

			j, st := openJournal(t, fsys, booted("monday")) // a kill loses nothing
			defer j.Close()
			for _, id := range []uint64{1, 3} {
				if got, want := st.State.Topics[id] != nil, slices.Contains(tt.topics, id); got != want {
					t.Errorf("topic %d there: %v, want %v", id, got, want)
				}
			}
			if got := st.LostBytes > 0; got != tt.lost {
				t.Errorf("lost %d bytes, want any: %v", st.LostBytes, tt.lost)
			}
			c := st.State.Channel(1, 2)
			if c == nil {
				if tt.acked != nil {
					t.Fatal("channel is not there")
				}
				return
			}
			for _, seq := range []uint64{100, 101, 102, 103, 104} {
				if got, want := c.Acked.Contains(seq), slices.Contains(tt.acked, seq); got != want {
					t.Errorf("%d acknowledged: %v, want %v", seq, got, want)
				}
			}
		})
	}
}

func TestDamagedCheckpointFallsBackToTheFilesBefore(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b []byte, frame []int) []byte
	}{
		{"end missing", func(b []byte, f []int) []byte { return b[:f[len(f)-2]] }},
		{"end torn", func(b []byte, f []int) []byte { return b[:len(b)-1] }},
		{"frame taken out", func(b []byte, f []int) []byte { return slices.Delete(b, f[0], f[1]) }},
		{"flip", func(b []byte, f []int) []byte { b[f[1]+12] ^= 1; return b }},
		{"something after the end", func(b []byte, _ []int) []byte { return append(b, 7) }},
		{"header", func(b []byte, _ []int) []byte { b[0] ^= 1; return b }},
		{"empty file", func([]byte, []int) []byte { return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys, s := writtenLog(t)
			old, err := fsys.ReadFile(logName(1))
			must(t, err)
			j, _ := openJournal(t, fsys)
			must(t, j.Close()) // writes the checkpoint
			last := checkpointName(3)
			b, err := fsys.ReadFile(last)
			must(t, err)
			must(t, fsys.WriteFile(logName(1), old))
			must(t, fsys.WriteFile(last, tt.damage(b, frames(t, b))))

			j, st := openJournal(t, fsys)
			wantChannel(t, st, s)
			if st.State.Topics[3] == nil || st.State.MaxIncarnation != 3 {
				t.Errorf("topic 3: %v, highest incarnation %d", st.State.Topics[3], st.State.MaxIncarnation)
			}
			must(t, j.Close())
			if _, err := fsys.ReadFile(last + damagedSuffix); err != nil {
				t.Errorf("the damaged file is not kept: %v", err)
			}
			j, st = openJournal(t, fsys)
			defer j.Close()
			wantChannel(t, st, s)
		})
	}
}

func TestDamagedCheckpointAloneGivesBackWhatIsWhole(t *testing.T) {
	fsys, s := writtenLog(t)
	j, _ := openJournal(t, fsys)
	must(t, j.Close())
	b, err := fsys.ReadFile(checkpointName(3))
	must(t, err)
	fsys.FlipBit(checkpointName(3), int64(len(b)-3)) // in its end

	j, st := openJournal(t, fsys)
	defer j.Close()
	wantChannel(t, st, s)
}

func TestFileOfNewerVersionIsRefused(t *testing.T) {
	fsys, _ := writtenLog(t)
	b, err := fsys.ReadFile(logName(1))
	must(t, err)
	b[8]++
	binary.LittleEndian.PutUint32(b[16:], crc32c.Sum(b[:16]))
	must(t, fsys.WriteFile(logName(1), b))
	if _, _, err := Open(Options{FS: fsys, Dir: testDir, Logger: quiet()}); !errors.Is(err, errVersion) {
		t.Fatalf("got %v", err)
	}
}

func TestReadErrorIsNotTakenForDamage(t *testing.T) {
	fsys, s := writtenLog(t)
	broken := errors.New("cable pulled")
	fsys.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRead && strings.HasSuffix(name, logSuffix) {
			return broken
		}
		return nil
	})
	if _, _, err := Open(Options{FS: fsys, Dir: testDir, Logger: quiet()}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	fsys.Fail(nil)
	j, st := openJournal(t, fsys)
	defer j.Close()
	wantChannel(t, st, s)
}

func TestUnknownFilesAreLeftAlone(t *testing.T) {
	fsys, _ := writtenLog(t)
	unknown := []string{"README", "0000000000000001.log.damaged", "1.log", "0000000000000000.bak", "000000000000000A.log"}
	for _, name := range unknown {
		must(t, fsys.WriteFile(path.Join(testDir, name), []byte("mine")))
	}
	must(t, fsys.WriteFile(path.Join(testDir, fileName(7, temporarySuffix)), []byte("half a checkpoint")))
	j, _ := openJournal(t, fsys)
	must(t, j.Close())
	for _, name := range unknown {
		if b, err := fsys.ReadFile(path.Join(testDir, name)); string(b) != "mine" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	want := append(unknown, fileName(1, logSuffix), fileName(8, logSuffix), fileName(9, checkpointSuffix), fileName(9, logSuffix))
	slices.Sort(want)
	if got := names(fsys); !slices.Equal(got, want) {
		t.Errorf("files: %v, want %v", got, want)
	}
}

// names is what is in the journal's folder.
func names(fsys *crashfs.FS) (list []string) {
	for _, f := range fsys.Files() {
		if path.Dir(f.Name) == testDir {
			list = append(list, path.Base(f.Name))
		}
	}
	slices.Sort(list)
	return list
}
