package httpapi

import (
	"net"
	"net/http"
	"net/netip"
)

// passedOn are the headers in which proxies say that a request is not theirs.
var passedOn = [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"}

// Local tells whether a request was sent from this machine, as far as it shows:
// from a loopback address or over a unix socket, and through no proxy.
func Local(r *http.Request) bool {
	for _, header := range passedOn {
		if len(r.Header.Values(header)) > 0 {
			return false
		}
	}
	if _, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}
