package powercut

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"qmq/test/process"
)

// Flags of the long run, given after -args.
var (
	cuts       = flag.Int("cuts", 0, "how often the power is cut, half of them with --sync-every=1; needs root")
	daemonPath = flag.String("daemon", "", "`path` of a daemon to test instead of building cmd/qd")
)

// syncTimeout is that of the nodes. What is older than two of them must be
// there after a cut.
const syncTimeout = time.Second

func TestKillLosesNothing(t *testing.T) {
	suffer(t, &plainDisk{t.TempDir()}, 1, true)
}

func TestPowerCutLosesNothingOlderThanTwoSyncTimeouts(t *testing.T) {
	if n := *cuts - *cuts/2; n > 0 {
		suffer(t, newImageDisk(t, 512<<20), n, false)
	}
}

func TestPowerCutLosesNothingWhenEachPublishIsSynced(t *testing.T) {
	if n := *cuts / 2; n > 0 {
		suffer(t, newImageDisk(t, 512<<20), n, true, "--sync-every=1")
	}
}

func daemon(t *testing.T) (binary string) {
	t.Helper()
	if *daemonPath != "" {
		return *daemonPath
	}
	return filepath.Join(process.Build(t, "cmd/qd"), "qd")
}

// suffer runs nodes on a disk, one after the other, each until a cut, and
// checks after each what is there.
func suffer(t *testing.T, d disk, cuts int, lossless bool, args ...string) {
	binary := daemon(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d (timing stays random)", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := newLedger()
	n := startNode(t, binary, d, args...)
	for i := range cuts {
		w := startLoad(t, n, l, rng)
		time.Sleep(3*syncTimeout + time.Duration(rng.Int64N(int64(2*syncTimeout))))
		deadline := time.Now().Add(-2 * syncTimeout)
		d.cut(t, n.Kill)
		w.end()
		if lossless {
			deadline = time.Time{}
		}
		n = startNode(t, binary, d, args...)
		l.check(t, n, deadline)
		if t.Failed() {
			t.Fatalf("after cut %d", i+1)
		}
		t.Logf("cut %d: %d messages, %d topics", i+1, l.number, len(l.topics))
	}
	n.Stop(t)
}
