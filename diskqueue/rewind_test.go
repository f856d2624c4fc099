package diskqueue

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"qmq/internal/vfs/crashfs"
)

// Strict mode: nothing was answered for, so all since the last good sync goes.
func TestRewoundMessagesAreNeverReadAgain(t *testing.T) {
	for seed := range uint64(40) {
		for _, hot := range []int{0, 100} {
			fs := newCrash(seed)
			n := newNode(fs)
			n.log.SegmentBytes, n.log.HotMessages = 2<<10, hot
			l, _ := n.open(t)
			rewindOnce(t, fs, l, int(seed%3)*12, int(seed%5)*9+1)
			wantOwned(t, l)
			switch seed % 4 {
			case 0:
				fs.Kill()
			case 1:
				fs.Crash(crashfs.DropAll)
			default:
				fs.Crash(crashfs.Random)
			}
			l, rec := n.open(t)
			want := int(seed%3)*12 + 5
			found := contents(t, l)
			if len(found) != want || len(rec.Findings) > 0 {
				t.Errorf("chance %d: %d messages came back, want %d; %+v", seed, len(found), want, rec)
			}
			for seq, body := range found {
				if strings.Contains(body, "message 90") {
					t.Errorf("chance %d: message %d is %.20q, which was rewound", seed, seq, body)
				}
			}
			mustClose(t, l)
		}
	}
}

// rewindOnce syncs good messages, rewinds bad ones and syncs five new ones.
func rewindOnce(t *testing.T, fs *crashfs.FS, l *Log, good, bad int) {
	t.Helper()
	for i := range good {
		mustAppend(t, l, single(bodyOf(i, 100)))
	}
	mustSync(t, l)
	end := l.End()
	for i := range bad {
		mustAppend(t, l, single(bodyOf(9000+i, 100)))
	}
	// A reader ahead of its channel must not keep what it saw.
	r := l.NewReader()
	wantBody(t, r, end, bodyOf(9000, 100))
	failNext(fs, 1, crashfs.OpSync)
	var failed *SyncError
	if _, err := l.Sync(); !errors.As(err, &failed) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync: %v", err)
	}
	l.Rewind()
	wantNothingFrom(t, l, end)
	if _, err := r.Read(end); !errors.Is(err, ErrNotFound) {
		t.Errorf("a reader still sees message %d: %v", end, err)
	}
	if err := l.Probe(100); err != nil {
		t.Fatalf("Probe: %v", err)
	}
	for i := range 5 {
		if done := mustAppend(t, l, single(bodyOf(500+i, 150))); done.First != end+uint64(i) {
			t.Fatalf("goes on with %d, want %d", done.First, end+uint64(i))
		}
		wantBody(t, r, end+uint64(i), bodyOf(500+i, 150))
	}
	for i := range good {
		wantBody(t, r, end-uint64(good-i), bodyOf(i, 100))
	}
	r.Release()
	mustSync(t, l)
}

func TestRewindWithoutANewMessageSurvivesTheEndOfTheProcess(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	l, _ := n.open(t)
	mustAppend(t, l, single(bodyOf(0, 100)))
	mustSync(t, l)
	mustAppend(t, l, single(bodyOf(1, 100)))
	failNext(fs, 1, crashfs.OpSync)
	if _, err := l.Sync(); err == nil {
		t.Fatal("Sync succeeds")
	}
	l.Rewind()
	fs.Kill()
	l, _ = n.open(t)
	if found := contents(t, l); len(found) != 1 {
		t.Errorf("%d messages came back", len(found))
	}
	mustClose(t, l)
}

func TestRewindKeepsWhatWasThereAtOpen(t *testing.T) {
	for _, op := range []crashfs.Op{crashfs.OpSync, crashfs.OpSyncDir, crashfs.OpOpen} {
		fs := newCrash(1)
		n := newNode(fs).cold()
		n.shared.OpenFiles = 1
		l, _ := n.open(t)
		first := l.End()
		for i := range 60 {
			mustAppend(t, l, single(bodyOf(i, 100)))
		}
		fs.Kill() // OK'd and synced or not: who knows
		l, _ = n.open(t)
		again := l.End()
		mustAppend(t, l, single(bodyOf(900, 100)))
		failNext(fs, 1, op)
		if _, err := l.Sync(); err == nil {
			t.Fatalf("%s fails, Sync does not", op)
		}
		l.Rewind()
		wantNothingFrom(t, l, again)
		for range 2 {
			found := contents(t, l)
			if got := bodies(found, first, first+60); len(got) != 60 || len(found) != 60 {
				t.Fatalf("%s failed: %d messages are left", op, len(found))
			}
			fs.Kill()
			l, _ = n.open(t)
		}
	}
}
