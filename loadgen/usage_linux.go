package loadgen

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// UsageOf looks at a process of this machine.
func UsageOf(pid int) (Usage, error) {
	cpu, err := cpuClock(pid)
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	return Usage{CPU: cpu.Seconds(), RSS: kilobytes(status, "VmRSS:"), PeakRSS: kilobytes(status, "VmHWM:")}, nil
}

// cpuClock reads the clock that counts all CPU time of a process, in ns; the
// counters under /proc go in steps of 10 ms.
func cpuClock(pid int) (time.Duration, error) {
	const processSchedulerClock = 2
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|processSchedulerClock), &at); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	cpu, err := cpuClock(os.Getpid())
	if err != nil {
		return 0
	}
	return cpu
}

// kilobytes finds a field of /proc/PID/status and returns it in bytes.
func kilobytes(status []byte, field string) int64 {
	_, rest, found := bytes.Cut(status, []byte(field))
	fields := bytes.Fields(rest[:min(len(rest), 64)])
	if !found || len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return n << 10
}

// PIDOf finds the process that listens on a TCP address of this machine.
// Otherwise it returns ErrNotLocal.
func PIDOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil || !local(address) {
		return 0, ErrNotLocal
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return 0, ErrNotLocal
	}
	sockets := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // there may be no IPv6
		}
		listeners(string(text), n, sockets)
	}
	return ownerOf(sockets)
}

// listeners adds the links under which the sockets that listen on a port
// appear among a process's descriptors.
func listeners(table string, port int, sockets map[string]bool) {
	const (
		localAddress = 1
		state        = 3
		inode        = 9
		listening    = "0A"
	)
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > inode && f[state] == listening && strings.HasSuffix(f[localAddress], suffix) {
			sockets["socket:["+f[inode]+"]"] = true
		}
	}
}

// ownerOf finds the process that holds one of the sockets.
func ownerOf(sockets map[string]bool) (int, error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(sockets) == 0 {
		return 0, ErrNotLocal
	}
	for _, dir := range processes {
		entries, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // of another user, or gone
		}
		for _, e := range entries {
			if link, err := os.Readlink(dir + "/fd/" + e.Name()); err == nil && sockets[link] {
				return strconv.Atoi(filepath.Base(dir))
			}
		}
	}
	return 0, ErrNotLocal
}
