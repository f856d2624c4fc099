//go:build !linux

package process

import "os/exec"

// endWithParent does nothing: there is no way to have a process end with this one.
func endWithParent(*exec.Cmd) {}
