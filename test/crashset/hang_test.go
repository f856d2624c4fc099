package crashset

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"qmq/test/process"
)

// The signals at which a member's disk hangs, and does not any more.
const (
	hangs       = syscall.SIGUSR1
	hangsNoMore = syscall.SIGUSR2
)

// hanging is a disk whose syncs wait between two signals.
const hanging = `package vfs

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

var disk sync.RWMutex // held while it hangs

func init() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		hangs := false
		for s := range signals {
			switch now := s == syscall.SIGUSR1; {
			case now && !hangs:
				disk.Lock()
				hangs = true
			case !now && hangs:
				disk.Unlock()
				hangs = false
			}
		}
	}()
}

func hangingSync(f *os.File) error {
	disk.RLock()
	defer disk.RUnlock()
	return datasync(f)
}
`

// buildQD builds qd with a disk that hangs when it is told to, and returns where it is.
func buildQD(t *testing.T) (dir string) {
	t.Helper()
	const source, sync, hangs = "internal/vfs/os.go", "err := datasync(f.File)", "err := hangingSync(f.File)"
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(b), sync) != 1 {
		t.Fatalf("%s syncs otherwise than this test knows", source)
	}
	dir = t.TempDir()
	overlay, err := process.Overlay(dir, map[string]string{source: strings.Replace(string(b), sync, hangs, 1), "internal/vfs/hang.go": hanging})
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Compile(dir, []string{overlay}, "cmd/qd"); err != nil {
		t.Fatal(err)
	}
	return dir
}
