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
