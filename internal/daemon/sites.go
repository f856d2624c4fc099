package daemon

import (
	"strings"

	"qmq/config"
	"qmq/internal/httpapi"
)

// sitesOf are the sites of a daemon that is known under these names, which may
// be addresses with a port, or URLs.
func sitesOf(c *config.Common, names ...string) httpapi.Sites {
	s := httpapi.Sites{Allowed: c.AllowedHosts}
	for _, name := range names {
		if _, rest, ok := strings.Cut(name, "://"); ok {
			name = rest
		}
		name, _, _ = strings.Cut(name, "/")
		if name != "" { // it was the path of a unix socket
			s.Names = append(s.Names, name)
		}
	}
	return s
}
