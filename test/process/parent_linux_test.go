package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// asParent is a variable that has this program start another one and wait for it.
const asParent = "PROCESS_TEST_AS_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) == "" {
		os.Exit(m.Run())
	}
	p, err := Command{Binary: "/bin/sleep", Args: []string{"60"}, Stdin: os.Stdin}.Start()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("started")
	fmt.Println("it has ended:", p.Err())
}

func TestProcessEndsWithItsParentThatIsKilled(t *testing.T) {
	// Parent and child hold the one end of a pipe, so that the other one has an end when both
	// are gone.
	held, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	parent := exec.Command(os.Args[0])
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
	line := make([]byte, len("started"))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "started" {
		t.Errorf("%q, %v", line, err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait() // it was killed
	if err := held.SetReadDeadline(time.Now().Add(Timeout / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Read(line); !errors.Is(err, io.EOF) {
		t.Errorf("the child is still there: %v", err)
	}
}
