package powercut

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"qmq/test/process"
)

// It runs with the power cuts, as it needs what they need.
func TestNodeOnAFullFileSystemStartsAndCanBeDrained(t *testing.T) {
	if *cuts == 0 {
		return
	}
	binary, d, l := daemon(t), newImageDisk(t, 64<<20), newLedger()
	n := startNode(t, binary, d)
	w := &load{t: t, n: n, l: l}
	for _, topic := range []string{"work", "junk", "waste"} {
		w.create(topic, "c", "d")
	}
	p := w.producer()
	for range 500 {
		if !w.send(p, "work") || !w.send(p, "junk") || !w.send(p, "waste") {
			t.Fatal("not published")
		}
	}
	process.Eventually(t, "there is a reserve", func() bool {
		spare, err := filepath.Glob(filepath.Join(d.path(), "journal", "*.spare"))
		return err == nil && len(spare) == 3
	})
	fillUp(t, d.path())
	for w.send(p, "work") { // what is left in the segment
	}
	p.Stop()
	n.Kill()

	n = startNode(t, binary, d)
	n.answers("/channel/delete", "work", "d")
	n.answers("/channel/create", "work", "new")
	n.answers("/channel/empty", "waste", "c")
	n.answers("/topic/pause", "waste")
	n.answers("/topic/delete", "junk")
	for range 20 { // more than a log holds without room of its own
		n.answers("/topic/create", "t")
		n.answers("/topic/delete", "t")
	}
	got := l.drain(t, n, "work", "c")
	if want := len(l.topics["work"].channels["c"].owed); len(got) != want {
		t.Errorf("%d messages, want %d", len(got), want)
	}
	time.Sleep(2 * time.Second) // the last FINs are journalled 50 ms later, more on a busy machine
	n.Kill()

	n = startNode(t, binary, d)
	s := n.stats()
	left := s.left()
	if _, ok := left["junk"]; ok || len(left) != 2 {
		t.Errorf("topics %v, want work and waste", left)
	}
	if got := left["work"]; len(got) != 2 || got["c"] != 0 || got["new"] != 0 {
		t.Errorf("channels of work %v, want c and new, both empty", got)
	}
	if got := left["waste"]; got["c"] != 0 || got["d"] != 500 {
		t.Errorf("channels of waste %v, want c empty and d of 500", got)
	}
	if damaged(s.Damage) {
		t.Errorf("damage: %v", s.Damage)
	}
	n.Stop(t)
}

// answers asks for a change, which must be answered well.
func (n *node) answers(path string, names ...string) {
	n.t.Helper()
	if _, err := n.ask(http.MethodPost, path, names...); err != nil {
		n.t.Error(err)
	}
}

// fillUp writes a file until the file system has room for no further byte.
func fillUp(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "everything"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
