//go:build !linux

package daemon

func tellSlack() {}
