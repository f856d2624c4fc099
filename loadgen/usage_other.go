//go:build !linux

package loadgen

import "time"

// UsageOf is not known on this system.
func UsageOf(pid int) (Usage, error) { return Usage{}, ErrNotLocal }

// PIDOf is not known on this system.
func PIDOf(address string) (int, error) { return 0, ErrNotLocal }

func ownCPU() time.Duration { return 0 }
