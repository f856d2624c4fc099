package daemon

import (
	"os"
	"strings"
)

// BootID tells this boot of the machine from others. It is empty where the
// system does not say.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// placeID tells this boot of the machine, and the file system that a directory is on,
// from others; empty where the system does not say.
func placeID(dir string) string {
	boot, device := BootID(), deviceOf(dir)
	if boot == "" || device == "" {
		return ""
	}
	return boot + " " + device
}
