package journal

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

var update = flag.Bool("update", false, "write what is found to testdata")

// dump is every record of the journal's files, as bytes. Salts are random, and
// so are the checksums that they seed: those are checked, and the rest is told.
func dump(t *testing.T, fsys *crashfs.FS) string {
	t.Helper()
	var out strings.Builder
	for _, name := range names(fsys) {
		b, err := fsys.ReadFile(testDir + "/" + name)
		must(t, err)
		salt, _, err := parseHeader(b)
		must(t, err)
		fmt.Fprintf(&out, "%s\n  %x\n", name, b[:12])
		lost, _, tail := scan(b, salt, func(off int, payload []byte) {
			fmt.Fprintf(&out, "  %6d %x\n", off, payload)
		})
		if len(lost) > 0 || tail > 0 {
			t.Fatalf("%s: lost %v, tail %d", name, lost, tail)
		}
	}
	return out.String()
}

// TestBytesOnTheDiskAreWhatTheyWere holds the format: what is written today has
// to be readable by every version that read what was written before, and the
// other way round.
func TestBytesOnTheDiskAreWhatTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), booted("monday"))
		s := withChannel(t, j)
		for _, e := range []state.Entry{
			{Op: state.PauseTopic, Topic: 1, FanOut: 120}, {Op: state.UnpauseTopic, Topic: 1},
			{Op: state.EmptyTopic, Topic: 1, FanOut: 125, Void: seqset.Range{From: 121, To: 125}},
			{Op: state.PauseChannel, Topic: 1, Channel: 2}, {Op: state.EmptyChannel, Topic: 1, Channel: 2, FanOut: 110},
			{Op: state.SetFanOut, Topic: 1, FanOut: 1 << 53}, {Op: state.GiveUp, Topic: 1, Void: seqset.Range{To: 105}},
			{Op: state.CreateTopic, Topic: 3, Name: "gone", FanOut: 1, Unlearnt: true}, {Op: state.LearnTopic, Topic: 3},
			{Op: state.DeleteTopic, Topic: 3}, {Op: state.AckDamage, Name: "x"}, {Op: state.AckDamage, Name: "y"},
			{Op: state.ForgetDamage, Name: "x"},
			{Op: state.CreateChannel, Topic: 1, Channel: 4, Name: "late", Start: 120},
			{Op: state.DeleteChannel, Topic: 1, Channel: 4, FanOut: 130}, {Op: state.UnpauseChannel, Topic: 1, Channel: 2},
		} {
			must(t, j.Commit(e))
		}
		s.empty(110)
		s.ack(112, 113, 120, 7_000)
		s.requeue(state.OpenMessage{Seq: 115, Attempts: 7, Due: 1_800_000_000_000})
		must(t, j.Flush())
		s.requeue(state.OpenMessage{Seq: 114, Attempts: 65535})
		j.NoteEnd(1, 130, 7_001)
		must(t, j.Flush())
		must(t, j.CommitDurable(createTopic(^uint64(0), "ü")))
		synctest.Wait() // the log says that it is synced before anything else is written
		must(t, j.Commit(state.Entry{Op: state.DeleteTopic, Topic: ^uint64(0)}))
		must(t, j.Close())
		got := dump(t, fsys)
		const path = "testdata/bytes.golden"
		if *update {
			must(t, os.WriteFile(path, []byte(got), 0o644))
		}
		want, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal([]byte(got), want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestHeadersAndFramesAreWhatTheyWere(t *testing.T) {
	b := appendFrame(appendHeader(nil, 0x01020304), 0x01020304, []byte("payload"))
	if got, want := fmt.Sprintf("%x", b), frameGolden; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

const frameGolden = "514a4f55524e414c020000000403020183e17f0d070000009b12d8c84142caf37061796c6f6164"
