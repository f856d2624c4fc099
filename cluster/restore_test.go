package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"qmq/internal/vfs"
	"qmq/state"
)

// A restore that fails, or is ended anywhere, leaves nothing that is in the way of the
// next one; a member's directory is never taken for that.
func TestRestoreThatFailsLeavesNothing(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "order", 100)
	var backup bytes.Buffer
	if err := g.members[0].Backup(&backup); err != nil {
		t.Fatal(err)
	}
	o := RestoreOptions{FS: vfs.OS, Dir: t.TempDir(), Address: "127.0.0.1:1", SegmentBytes: 1 << 20, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	empty := func() bool {
		entries, err := o.FS.ReadDir(filepath.Join(o.Dir, "raft"))
		return ignoreMissing(err) == nil && len(entries) == 0
	}
	for _, part := range []int{0, 100, backup.Len() / 2, backup.Len() - 1} {
		if _, err := Restore(o, bytes.NewReader(backup.Bytes()[:part])); err == nil || errors.Is(err, ErrNotEmpty) || !empty() {
			t.Errorf("of %d bytes: %v", part, err)
		}
	}
	// What is left when the process ends in the middle.
	if err := o.identity().store(&identity{Member: 1, Joined: true, Renewing: &renewing{Member: 1, Cluster: 2, Address: o.Address}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.FS.MkdirAll(filepath.Join(o.Dir, "raft", "7")), o.FS.MkdirAll(filepath.Join(o.Dir, "replicated", "7", "orders-0000000000000001"))); err != nil {
		t.Fatal(err)
	}
	made, err := Restore(o, bytes.NewReader(backup.Bytes()))
	if err != nil || made.Address != o.Address {
		t.Fatal(made, err)
	}
	if _, err := Restore(o, bytes.NewReader(backup.Bytes())); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into what has a set: %v", err)
	}
	for _, such := range []identity{
		{Member: 1, Cluster: 3, Joined: true, Renewing: &renewing{Member: 1, Cluster: 2}},
		{Member: 1, Former: &former{Member: 4}, Renewing: &renewing{Member: 1, Cluster: 2}},
	} {
		o.Dir = t.TempDir()
		if err := o.identity().store(&such); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(o, bytes.NewReader(backup.Bytes())); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("where a set is to begin from what a member has: %v", err)
		}
	}
}
