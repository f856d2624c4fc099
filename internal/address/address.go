// Package address knows what hosts and ports look like that nodes and
// directories tell one another. It looks nothing up and connects to nothing.
package address

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is how many bytes a host has at most.
const maxHost = 255

// HostsAllowed says in words what [ValidHost] takes.
const HostsAllowed = "a host name (1 to 255 of A-Z a-z 0-9 . - _) or an IP address, without scheme or port"

// ValidHost tells whether others can be told to connect to host: a name of 1
// to 255 letters, digits, dots, hyphens and underscores, or an IP address, that
// of version 6 with or without brackets and zone. Nothing else can stand in an
// address or URL without changing what the rest of it means.
func ValidHost(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	if isName(host) {
		return true
	}
	bare := Bare(host)
	ip, err := netip.ParseAddr(bare)
	if err != nil || !ip.Is6() {
		return false // what is of version 4 passes for a name, and has no brackets
	}
	return !strings.Contains(bare, "%") || isName(ip.Zone())
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

// Bare takes the brackets off an address of IP version 6.
func Bare(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// Join makes host:port of a host, which may have brackets or not.
func Join(host string, port int) string { return net.JoinHostPort(Bare(host), strconv.Itoa(port)) }

// ValidPort tells whether text is a port that can be connected to, as a number.
func ValidPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// IsUnspecified tells whether a host stands for all addresses of a machine,
// such as 0.0.0.0, to which others cannot connect.
func IsUnspecified(host string) bool {
	ip, err := netip.ParseAddr(Bare(host))
	return err == nil && ip.IsUnspecified()
}

// IsName tells whether host has to be looked up to be connected to.
func IsName(host string) bool {
	_, err := netip.ParseAddr(Bare(host))
	return err != nil
}
