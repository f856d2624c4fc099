package apiclient

import (
	"crypto/tls"
	"net/netip"
	"net/url"
	"strings"
)

// Credential is what is shown to daemons whose API is closed. The zero value is
// none.
type Credential struct {
	Header func() string // of each request, Authorization; nil, or an empty string: none
	// For says who gets it, by host: without port, and without brackets.
	For func(host string) bool
	// Insecure lets it go over connections that others may listen to, or whose
	// other end nobody has verified. Without it, it goes over verified TLS, and to
	// this machine.
	Insecure bool
}

// now is the header; empty: there is none.
func (c *Credential) now() string {
	if c.Header == nil {
		return ""
	}
	return c.Header()
}

// keptFrom says why the credential is not for a URL; empty: it is.
func (c *Credential) keptFrom(u *url.URL, t *tls.Config) string {
	verified := u.Scheme == "https" && (t == nil || !t.InsecureSkipVerify)
	switch {
	case c.For == nil || !c.For(u.Hostname()):
		return "it is not for " + u.Hostname()
	case c.Insecure, verified, isThisMachine(u.Hostname()):
		return ""
	case u.Scheme == "https":
		return "the certificate is not verified"
	}
	return "the connection is in clear"
}

// isThisMachine tells whether a host is loopback by its spelling: what a name
// resolves to is for others to say.
func isThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
