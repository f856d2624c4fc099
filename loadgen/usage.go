package loadgen

import (
	"errors"
	"net"
)

// ErrNotLocal is why the usage of a process is not known.
var ErrNotLocal = errors.New("loadgen: no process of this machine listens there, or it is not ours to look at")

// Usage is what a process has taken of the machine.
type Usage struct {
	CPU     float64 `json:"cpu_seconds"`    // since its start, user and system
	RSS     int64   `json:"rss_bytes"`      // now
	PeakRSS int64   `json:"peak_rss_bytes"` // most since its start
}

// withCPU is the CPU time in seconds of the processes that work for the daemon.
func (t *Target) withCPU() (seconds float64, err error) {
	for _, pid := range t.With {
		usage, err := UsageOf(pid)
		if err != nil {
			return 0, err
		}
		seconds += usage.CPU
	}
	return seconds, nil
}

// local tells whether address is on this machine.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ips, err := net.LookupIP(host)
	if err != nil || host == "" {
		return host == ""
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ips[0]) {
			return true
		}
	}
	return ips[0].IsLoopback() || ips[0].IsUnspecified()
}
