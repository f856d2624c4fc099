package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asParent is a variable that has this program start another one, the one of its own
// arguments, and wait for it.
const asParent = "PROCESS_TEST_AS_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) == "" {
		os.Exit(m.Run())
	}
	p, err := Command{Binary: os.Args[1], Args: os.Args[2:], Stdin: os.Stdin}.Start()
	if err == nil {
		_, err = p.Find(context.Background(), "qd") // what a member logs once it has begun anew
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("started", p.PID())
	fmt.Println("it has ended:", p.Err())
}

func TestProcessEndsWithItsParentThatIsKilled(t *testing.T) {
	endsWithItsParent(t, "/bin/sh", "-c", "echo as qd does; exec sleep 60")
}

// A member of a set begins anew at its start, and is to end with its parent all the same.
func TestMemberEndsWithItsParentThatIsKilled(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret of a set of this test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	peers := []string{Address(t), Address(t), Address(t)}
	endsWithItsParent(t, filepath.Join(Build(t, "cmd/qd"), "qd"), "--data-path="+t.TempDir(), "--tcp-address="+Address(t),
		"--http-address="+Address(t), "--cluster-peers="+strings.Join(peers, ","), "--cluster-address="+peers[0], "--cluster-secret-file="+secret)
}

func endsWithItsParent(t *testing.T, command ...string) {
	t.Helper()
	// Parent and child hold the one end of a pipe, so that the other one has an end when both
	// are gone.
	held, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	parent := exec.Command(os.Args[0], command...)
	parent.Env = append(os.Environ(), asParent+"=1")
	parent.Stdin = end
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	end.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var child int
	if _, scanned := fmt.Sscanf(line, "started %d", &child); err != nil || scanned != nil {
		t.Errorf("%q, %v", line, errors.Join(err, scanned))
	}
	_ = parent.Process.Kill()
	_ = parent.Wait() // it was killed
	if err := held.SetReadDeadline(time.Now().Add(Timeout / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the child is still there: %v", err)
		if child != 0 {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
	}
}
