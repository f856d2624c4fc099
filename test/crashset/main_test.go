package crashset

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var (
	faultCount = flag.Int("faults", 5, "faults, one after the other")
	seed       = flag.Int64("seed", 1, "what the faults, their moments and the messages are made of")
	rate       = flag.Int("rate", 3000, "messages a second, of all publishers together")
	inFlight   = flag.Int("inflight", 600, "max_in_flight of consumers")
	only       = flag.String("kinds", "", "kinds of faults, separated by commas; all that are possible")
	isolated   = flag.Bool("isolated", false, "a network and a small disk for each member, in namespaces of Linux: partitions and full disks are possible")
	keep       = flag.String("keep", "", "where logs and data directories are left")
)

// inside tells the test that it is in its namespaces.
const inside = "CRASHSET_ISOLATED"

// With -isolated the test runs itself in namespaces of its own, where it may make
// networks and mount file systems without being root outside.
func TestMain(m *testing.M) {
	flag.Parse()
	if !*isolated || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			fmt.Fprintln(os.Stderr, "namespaces:", err)
		}
		os.Exit(1)
	}
}

// Whatever happens to members of a set, one fault after the other: what was OK'd comes,
// as it was published, an MPUB as a whole or not at all; what was finished in quiet times
// does not come again; and publishing goes on by itself.
func TestNothingIsLost(t *testing.T) {
	dir := *keep
	if dir == "" {
		dir = t.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := newSet(t, dir)
	t.Cleanup(func() { s.saveLogs(filepath.Join(dir, "logs")) })
	s.startAll()
	l := newLedger()
	s.create(l.topics()...)
	work := startLoad(t, s, l)
	time.Sleep(time.Second) // so that faults meet a set at work
	p := newPlan(t, s, l, work)
	for n := range *faultCount {
		if !p.next(n) {
			break
		}
	}
	work.stopPublishing()
	work.drain()
	work.stop()
	l.report(t, s.disturbances())
	p.report()
}
