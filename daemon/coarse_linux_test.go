package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/config"
)

// tellSlack is the body of a process that has the options of qd, and does nothing but tell
// how late its threads may be woken.
func tellSlack() {
	Exec(Program[config.QD]{
		Name: "qd", Parse: QD.Parse, Usage: QD.Usage, Common: QD.Common, Coarse: QD.Coarse,
		Instead: func(q config.QD, stdout io.Writer, _ *slog.Logger) (done bool, err error) {
			told := make(chan error)
			go func() { // one that the runtime began
				runtime.LockOSThread()
				slack, err := slackOfThread()
				fmt.Fprintln(stdout, q.ClusterAddress, slack, os.Getenv(anew))
				told <- err
			}()
			runtime.LockOSThread() // so that it is not this one
			return true, <-told
		},
	})
}

func TestOnlyMembersOfSetsLetThreadsSleepLonger(t *testing.T) {
	runtime.LockOSThread()
	own, err := slackOfThread()
	if err != nil {
		t.Fatal(err)
	}
	later := []time.Duration{own}
	if own == usualSlack {
		later = []time.Duration{coarseSlack, watchSlack} // mostly the first
	}
	const set = "--cluster-peers=a:1,b:1,c:1 --cluster-address=a:1 --cluster-secret-file=" + os.DevNull
	const file = "cluster_peers = [\"a:1\", \"b:1\", \"c:1\"]\ncluster_address = \"a:1\"\ncluster_secret_file = \"" + os.DevNull + "\"\n"
	path := t.TempDir() + "/qd.toml"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, args, stdin, address string
		slacks                     []time.Duration // one of them
	}{
		{"a node of its own", "", "", "", []time.Duration{own}},
		{"a member", set, "", "a:1", later},
		{"a member, by a file", "--config=" + path, "", "a:1", later},
		// What is read from a pipe is there once.
		{"a member, by a pipe", "--config=/dev/stdin", file, "a:1", []time.Duration{own}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(test.args)...)
			cmd.Env = append(os.Environ(), "QD_TEST_TELLS_SLACK=1")
			cmd.Stdin, cmd.Stderr = strings.NewReader(test.stdin), os.Stderr
			out, err := cmd.Output()
			told := func(slack time.Duration) bool { return string(out) == fmt.Sprintln(test.address, slack, "") }
			if err != nil || !slices.ContainsFunc(test.slacks, told) {
				t.Errorf("it tells %q, %v; want %q and one of %v", out, err, test.address, test.slacks)
			}
		})
	}
}
