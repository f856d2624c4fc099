//go:build !linux

package daemon

func begunAnew() bool { return false }

func beginAnew([]string) {}
