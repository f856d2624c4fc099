package process

import (
	"os/exec"
	"syscall"
)

// endWithParent has the process killed when this one is gone, killed too, as go test kills
// tests that take too long.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
