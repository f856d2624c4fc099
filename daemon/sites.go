package daemon

import (
	"net/netip"
	"os"
	"strings"

	"qmq/config"
	"qmq/internal/httpapi"
)

// sitesOf are the sites of a daemon that is known under these names, which may
// be addresses with a port, or URLs, and under those that the machine's own file
// of hosts gives to its loopback addresses.
func sitesOf(c *config.Common, names ...string) httpapi.Sites {
	s := httpapi.Sites{Allowed: c.AllowedHosts}
	for _, name := range names {
		if _, rest, ok := strings.Cut(name, "://"); ok {
			name = rest
		}
		name, _, _ = strings.Cut(name, "/")
		name = name[strings.LastIndexByte(name, '@')+1:]
		if name != "" { // it was the path of a unix socket
			s.Names = append(s.Names, name)
		}
	}
	s.Names = append(s.Names, loopbackNames(hostsFile)...)
	return s
}

// hostsFile names addresses before DNS does. Hence nobody elsewhere can have a
// page under a name that is in it with an address of this machine.
const hostsFile = "/etc/hosts"

// loopbackNames are those of loopback addresses in a file of hosts, such as the
// full name of a machine; none if there is no such file.
func loopbackNames(file string) (names []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if ip, err := netip.ParseAddr(fields[0]); err == nil && ip.IsLoopback() {
			names = append(names, fields[1:]...)
		}
	}
	return names
}
