// Package archive kills q archive, and the node it reads, and counts what is in
// its files.
package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"qmq/internal/archive"
	"qmq/internal/tcpclient"
	"qmq/test/process"
)

// inFlight is how many messages may be under way, and so how many may be archived
// twice for each kill.
const inFlight = 200

// rig is a node, whose topic t has the channel archive, and the files of it.
type rig struct {
	t      *testing.T
	bin    string
	daemon *process.Daemon
	dir    string
	last   int // messages that are OK'd
}

func newRig(t *testing.T) *rig {
	bin := process.Build(t, "cmd/qd", "cmd/q")
	r := &rig{t: t, bin: bin, dir: t.TempDir()}
	r.daemon = process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qd"), Args: []string{"--data-path=" + t.TempDir()}})
	r.daemon.Start(t)
	for _, path := range []string{"/topic/create?topic=t", "/channel/create?topic=t&channel=archive"} {
		if _, err := process.Ask(t.Context(), http.DefaultClient, "POST", r.daemon.HTTP, path, ""); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// publish publishes more messages, until n are OK'd.
func (r *rig) publish(n int) {
	r.t.Helper()
	p := tcpclient.NewProducer(r.daemon.TCP, tcpclient.Options{})
	defer p.Close()
	for r.last < n {
		var bodies [][]byte
		for i := range min(100, n-r.last) {
			bodies = append(bodies, fmt.Appendf(nil, "message %d", r.last+i))
		}
		if err := p.Publish(context.Background(), "t", bodies...).Wait(); err != nil {
			r.t.Fatal(err)
		}
		r.last += len(bodies)
	}
}

// start starts q archive.
func (r *rig) start() *process.Process {
	r.t.Helper()
	return process.Start(r.t, process.Command{Binary: filepath.Join(r.bin, "q"), Args: []string{"archive", "t", "-d", r.dir, "--compress=gzip", "--sync-interval=5ms", fmt.Sprint("--max-in-flight=", inFlight), "--addr=" + r.daemon.TCP}})
}

// drained waits until the channel is empty.
func (r *rig) drained() {
	r.t.Helper()
	process.Eventually(r.t, "all is archived", func() bool {
		text, err := process.Ask(r.t.Context(), http.DefaultClient, "GET", r.daemon.HTTP, "/stats?format=json&topic=t", "")
		if err != nil {
			return false
		}
		var stats struct {
			Topics []struct {
				Channels []struct {
					Depth    int64 `json:"depth"`
					InFlight int64 `json:"in_flight_count"`
				} `json:"channels"`
			} `json:"topics"`
		}
		if err := json.Unmarshal(text, &stats); err != nil || len(stats.Topics) == 0 {
			return false
		}
		c := stats.Topics[0].Channels[0]
		return c.Depth+c.InFlight == 0
	})
}

// check reads all files: every message is in them, and no more of them twice than
// that.
func (r *rig) check(twice int) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "*.jsonl.gz"))
	if err != nil {
		r.t.Fatal(err)
	}
	seen := make([]int, r.last)
	for _, file := range files {
		r.read(file, seen)
	}
	missing, more := 0, 0
	for _, n := range seen {
		if n == 0 {
			missing++
		}
		more += max(0, n-1)
	}
	if missing > 0 || more > twice {
		r.t.Errorf("of %d messages %d are missing, and %d are there more than once (at most %d may be)", r.last, missing, more, twice)
	}
	r.t.Logf("%d files, %d messages, %d more than once", len(files), r.last, more)
}

func (r *rig) read(file string, seen []int) {
	r.t.Helper()
	in, err := archive.Open(file)
	if err != nil {
		r.t.Fatal(err)
	}
	defer in.Close()
	for {
		line, err := in.Next()
		if err != nil {
			if err.Error() != "EOF" {
				r.t.Errorf("%s: %v", file, err)
			}
			return
		}
		var m struct{ Body string }
		var n int
		if err := json.Unmarshal(line, &m); err != nil {
			r.t.Fatalf("%s: %s", file, line)
		}
		if _, err := fmt.Sscanf(m.Body, "message %d", &n); err != nil || n >= len(seen) {
			r.t.Fatalf("%s: %s", file, line)
		}
		seen[n]++
	}
}

// TestKilledArchiveLosesNothing: what q had finished is in its files, and only
// what it had not finished is in them twice.
func TestKilledArchiveLosesNothing(t *testing.T) {
	const kills = 8
	r := newRig(t)
	for range kills {
		r.publish(r.last + 5000)
		q := r.start()
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // somewhere in the middle of its work
		q.Kill()
	}
	q := r.start()
	r.drained()
	q.Stop(t)
	r.check(kills * inFlight)
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*part*")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

// TestKilledNodeLosesNothing: what the node has OK'd is archived, whatever
// becomes of the node meanwhile. It tells its journal within 50 ms what is
// finished, so more may be there twice.
func TestKilledNodeLosesNothing(t *testing.T) {
	const kills = 4
	r := newRig(t)
	q := r.start()
	r.publish(100)
	r.drained() // it is connected
	for range kills {
		r.publish(r.last + 5000)
		r.daemon.Kill()
		r.daemon.Start(t)
	}
	r.publish(r.last + 100)
	r.drained()
	q.Stop(t)
	r.check(r.last)
}
