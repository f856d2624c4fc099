package crash

import (
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"qmq/test/process"
)

// Flags of the long run, given after -args.
var (
	kills      = flag.Int("kills", 3, "how often the daemon is killed under load")
	messages   = flag.Int("messages", 1_000_000, "how many messages are published in all")
	seed       = flag.Uint64("seed", 0, "of the random choices; 0 takes a new one (timing stays random)")
	daemonPath = flag.String("daemon", "", "`path` of a daemon to test instead of building cmd/qd")
	race       = flag.Bool("race-daemon", false, "build the daemon with the race detector")
)

// workDir holds the binaries of this test run.
var workDir string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(process.InFolder(m, func(dir string) { workDir = dir }))
}

// compile builds cmd/qd into a directory, with more flags for go build.
func compile(dir string, flags ...string) (string, error) {
	if *race {
		flags = append(flags, "-race")
	}
	return filepath.Join(dir, "qd"), process.Compile(dir, flags, "cmd/qd")
}

var buildOnce = sync.OnceValues(func() (string, error) {
	if *daemonPath != "" {
		return *daemonPath, nil
	}
	return compile(workDir)
})

// goodDaemon is the daemon as it stands in the tree.
func goodDaemon(t testing.TB) string {
	t.Helper()
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// chosenSeed is logged, so that the choices of a run can be repeated.
func chosenSeed(t testing.TB) uint64 {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s)
	return s
}

func TestNothingAcknowledgedIsLostWhenTheDaemonIsKilled(t *testing.T) {
	runLoad(t, subject{bin: goodDaemon(t)}, wholeLoad(*messages, *kills, chosenSeed(t))).require(t)
}
