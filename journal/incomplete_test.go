package journal

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// generations is a journal of three processes, each of which committed a topic:
// two ended with the checkpoints 2 and 4, the third was killed with log 5. Log 1
// was removed.
func generations(t *testing.T) *crashfs.FS {
	t.Helper()
	fsys := crashfs.New(1)
	for life := range uint64(3) {
		j, _ := openJournal(t, fsys.Mount())
		must(t, j.CommitDurable(createTopic(10+life, "t"+string('a'+rune(life)))))
		if life < 2 {
			must(t, j.Close())
			continue
		}
		fsys.Kill()
		_ = j.Close()
	}
	return fsys
}

func TestIncompleteSaysThatTopologyMayBeMissing(t *testing.T) {
	both := func(t *testing.T, fsys *crashfs.FS, _ string) {
		must(t, fsys.Remove(checkpointName(2)))
		must(t, fsys.FlipBit(checkpointName(4), 9))
	}
	remove := func(t *testing.T, fsys *crashfs.FS, name string) { must(t, fsys.Remove(name)) }
	empty := func(t *testing.T, fsys *crashfs.FS, name string) { must(t, fsys.WriteFile(name, nil)) }
	flip := func(off int64) func(*testing.T, *crashfs.FS, string) {
		return func(t *testing.T, fsys *crashfs.FS, name string) { must(t, fsys.FlipBit(name, off)) }
	}
	tests := []struct {
		name       string
		file       string
		damage     func(*testing.T, *crashfs.FS, string)
		incomplete bool
		topics     int
	}{
		{"nothing", logName(5), func(*testing.T, *crashfs.FS, string) {}, false, 3},
		{"newest checkpoint gone", checkpointName(4), remove, false, 3},
		{"newest checkpoint empty", checkpointName(4), empty, false, 3},
		{"newest checkpoint's header", checkpointName(4), flip(9), false, 3},
		{"newest checkpoint's record", checkpointName(4), flip(60), false, 3},
		{"older checkpoint gone", checkpointName(2), remove, false, 3},
		{"both checkpoints", "", both, true, 2},
		{"last log cut short", logName(5), func(t *testing.T, fsys *crashfs.FS, name string) {
			b, err := fsys.ReadFile(name)
			must(t, err)
			must(t, fsys.WriteFile(name, b[:frames(t, b)[0]+5])) // as a crash might have left it
		}, false, 2},
		{"log of the newest checkpoint gone", logName(4), remove, true, 3},
		{"last log's header", logName(5), flip(0), true, 2},
		{"last log's first record", logName(5), flip(headerSize + 13), true, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := generations(t)
			wantNames(t, fsys, fileName(2, checkpointSuffix), fileName(2, logSuffix),
				fileName(3, logSuffix), fileName(4, checkpointSuffix), fileName(4, logSuffix), fileName(5, logSuffix))
			tt.damage(t, fsys, tt.file)
			j, st := openJournal(t, fsys)
			defer j.Close()
			if st.Incomplete != tt.incomplete || len(st.State.Topics) != tt.topics {
				t.Errorf("incomplete %v, %d topics; want %v, %d", st.Incomplete, len(st.State.Topics), tt.incomplete, tt.topics)
			}
		})
	}
}

// The end of a process leaves the beginning of a frame at most: anything else at
// the end of a log is damage, unless the machine has ended since.
func TestEndOfALogCountsUnlessAProcessCanHaveLeftItSo(t *testing.T) {
	for name, tt := range map[string]struct {
		damage     func(end []byte) []byte
		incomplete bool
	}{
		"payload":         {func(b []byte) []byte { b[len(b)-3] ^= 1; return b }, true},
		"length":          {func(b []byte) []byte { b[0] ^= 1; return b }, true},
		"cut":             {func(b []byte) []byte { return b[:len(b)-1] }, false},
		"cut to a header": {func(b []byte) []byte { return b[:frameHeader] }, false},
		"cut to less":     {func(b []byte) []byte { return b[:5] }, false},
		"zeros":           {func(b []byte) []byte { clear(b[frameHeader+2:]); return b }, false},
	} {
		for _, boot := range []string{"this", "other"} {
			t.Run(name+", "+boot+" boot", func(t *testing.T) {
				fsys := crashfs.New(1)
				j, _ := openJournal(t, fsys.Mount(), booted("this"))
				must(t, j.Commit(createTopic(10, "t")))
				fsys.Kill()
				_ = j.Close()
				b, err := fsys.ReadFile(logName(1))
				must(t, err)
				last := frames(t, b)[0]
				must(t, fsys.WriteFile(logName(1), append(b[:last:last], tt.damage(b[last:usedEnd(b)])...)))
				j, st := openJournal(t, fsys, booted(boot))
				defer j.Close()
				if want := tt.incomplete && boot == "this"; st.Incomplete != want || st.LostBytes > 0 != want {
					t.Errorf("incomplete %v, %d bytes lost", st.Incomplete, st.LostBytes)
				}
			})
		}
	}
}

// What was synced is damaged when it cannot be read; what was not may be power
// that was lost, which keeps any part of it.
func TestHoleCountsWhereTheLogWasSynced(t *testing.T) {
	for name, tt := range map[string]struct {
		sync     bool
		boot     string
		counting bool
	}{
		"synced":                         {true, "tuesday", true},
		"not synced":                     {false, "tuesday", false},
		"not synced, and no power lost":  {false, "monday", true},
		"synced, and nothing came after": {true, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := crashfs.New(1)
				j, _ := openJournal(t, fsys.Mount(), booted("monday"))
				must(t, j.Commit(createTopic(1, "a")))
				must(t, j.Commit(createTopic(2, "b")))
				if tt.sync {
					must(t, j.Durable())
					synctest.Wait()
				}
				if tt.boot != "" {
					must(t, j.Commit(createTopic(3, "c")))
				}
				fsys.Kill()
				_ = j.Close() // its file system is gone
				b, err := fsys.ReadFile(logName(1))
				must(t, err)
				must(t, fsys.FlipBit(logName(1), int64(frames(t, b)[1]+frameHeader)))
				j, st := openJournal(t, fsys, booted(tt.boot))
				defer j.Close()
				if st.State.Topics[1] == nil || st.State.Topics[2] != nil || st.Incomplete != tt.counting || st.LostBytes > 0 != tt.counting {
					t.Errorf("topics %v, incomplete %v, %d bytes lost", st.State.Topics, st.Incomplete, st.LostBytes)
				}
			})
		})
	}
}

// A number in the name of something that is no log is not used for one.
func TestDirectoryInTheNewestLogsPlaceStopsNoStart(t *testing.T) {
	fsys := generations(t)
	must(t, fsys.Remove(logName(5)))
	must(t, fsys.Mount().MkdirAll(logName(5)))
	j, found := openJournal(t, fsys.Mount())
	if len(found.State.Topics) != 2 || found.LastLog != 4 {
		t.Errorf("%d topics, the newest log is %d", len(found.State.Topics), found.LastLog)
	}
	must(t, j.CommitDurable(createTopic(20, "new")))
	must(t, j.Close())
	j, found = openJournal(t, fsys.Mount())
	if found.State.Topics[20] == nil {
		t.Error("what was committed is forgotten")
	}
	must(t, j.Close())
}

func TestStateNamesTheLogsOfThisBoot(t *testing.T) {
	fsys := crashfs.New(1)
	last := uint64(0)
	for i, boot := range []string{"monday", "monday", "tuesday", "tuesday", "tuesday"} {
		j, found := openJournal(t, fsys.Mount(), func(o *Options) { o.BootID = boot })
		switch {
		case found.LastLog != last:
			t.Errorf("start %d: the newest log is %d, not %d", i, found.LastLog, last)
		case found.SameBoot != (found.BootLog > 0):
			t.Errorf("start %d: same boot %v, since log %d", i, found.SameBoot, found.BootLog)
		case i == 4 && found.BootLog != 3:
			t.Errorf("the first log of the day is %d, not 3", found.BootLog)
		}
		last = j.Log()
		fsys.Kill()
		_ = j.Close()
	}
}

// withoutSpare takes the reserve away, as a full disk may: the next process goes on
// in the last log.
func withoutSpare(t *testing.T, fsys *crashfs.FS) {
	for _, name := range names(fsys) {
		if strings.HasSuffix(name, spareSuffix) {
			must(t, fsys.Remove(filepath.Join(testDir, filepath.Base(name))))
		}
	}
}

// On a full disk the log that a loss of power left holes in is taken into use
// again: they are no damage then either, however much is synced behind them.
func TestHoleOfAPowerLossIsNoDamageInALogThatIsTakenIntoUseAgain(t *testing.T) {
	for _, third := range []string{"tuesday", "wednesday"} {
		t.Run(third, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys, j, _ := fullDisk(t, booted("monday"))
				for n := range uint64(3) {
					must(t, j.Commit(createTopic(10+n, string('a'+rune(n)))))
				}
				log := logName(j.Log())
				fsys.Kill()
				_ = j.Close() // its file system is gone
				b, err := fsys.ReadFile(log)
				must(t, err)
				at := frames(t, b)
				must(t, fsys.FlipBit(log, int64(at[len(at)-3]+frameHeader)))
				for _, boot := range []string{"tuesday", third} {
					withoutSpare(t, fsys)
					var st *Found
					j, st = openJournal(t, fsys.Mount(), booted(boot), reserved)
					if logName(j.Log()) != log {
						t.Errorf("goes on in %d, not in %s", j.Log(), log)
					}
					if st.State.Topics[10] == nil || st.State.Topics[11] != nil || st.State.Topics[12] == nil || st.Incomplete || st.LostBytes > 0 {
						t.Errorf("%s: topics %v, incomplete %v, %d bytes lost", boot, st.State.Topics, st.Incomplete, st.LostBytes)
					}
					must(t, j.CommitDurable(state.Entry{Op: state.PauseTopic, Topic: 12}))
					synctest.Wait()
					fsys.Kill()
					_ = j.Close()
				}
			})
		})
	}
}

// What is damaged is kept for a look, so no log is written to again that is.
func TestDamagedLogIsNotTakenIntoUseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, j, _ := fullDisk(t, booted("monday"))
		must(t, j.Commit(createTopic(10, "a")))
		log := j.Log()
		fsys.Kill()
		_ = j.Close() // its file system is gone
		b, err := fsys.ReadFile(logName(log))
		must(t, err)
		at := frames(t, b)
		must(t, fsys.FlipBit(logName(log), int64(at[len(at)-2]+frameHeader)))
		damaged, err := fsys.ReadFile(logName(log))
		must(t, err)
		withoutSpare(t, fsys)
		j, st := openJournal(t, fsys, booted("monday"), reserved)
		defer j.Close()
		is, err := fsys.ReadFile(logName(log))
		must(t, err)
		if st.LostBytes == 0 || j.Log() == log || !bytes.Equal(is, damaged) {
			t.Errorf("%d bytes lost, goes on in log %d", st.LostBytes, j.Log())
		}
	})
}

// The first log may be a second attempt, which the machine's end kept from being
// written.
func TestEmptyFirstLogTellsOfNoneBefore(t *testing.T) {
	for name, content := range map[string][]byte{"empty": nil, "zeros": make([]byte, spareSize)} {
		fsys := crashfs.New(1)
		must(t, fsys.WriteFile(logName(2), content))
		j, st := openJournal(t, fsys, booted("monday"))
		if st.Incomplete || st.LostBytes > 0 {
			t.Errorf("%s: incomplete %v, %d bytes lost", name, st.Incomplete, st.LostBytes)
		}
		must(t, j.Close())
	}
}
