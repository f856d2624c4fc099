package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"qmq/internal/address"
)

// role is what somebody may do.
type role string

const (
	roleViewer role = "viewer"       // figures and messages
	roleStats  role = "stats-viewer" // figures
	roleAdmin  role = "admin"
)

// person is who sent a request.
type person struct {
	name     string
	role     role
	in       bool // may see anything at all
	verified bool // the name is no mere claim
}

// access decides who may do what.
type access struct {
	header  string
	admins  []string
	proxies []netip.Prefix // whose headers count; none: everybody's do
	login   *login         // nil: no file of users
}

// kind is how people are told apart.
func (a *access) kind() string {
	switch {
	case a.login != nil:
		return "login"
	case len(a.admins) > 0:
		return "header"
	}
	return "open"
}

// who sent a request.
func (a *access) who(r *http.Request) person {
	if a.login != nil {
		return a.login.who(r)
	}
	byProxy := a.throughProxy(r)
	p := person{role: roleAdmin, in: true, verified: byProxy}
	if byProxy || len(a.proxies) == 0 {
		p.name = r.Header.Get(a.header)
	}
	if len(a.admins) > 0 && !slices.Contains(a.admins, p.name) {
		p.role = roleViewer
	}
	if p.name == "" {
		p.name, _, _ = r.BasicAuth()
		p.verified = false
	}
	return p
}

// throughProxy tells whether a request comes from a proxy whose headers count.
func (a *access) throughProxy(r *http.Request) bool {
	ip, err := netip.ParseAddr(hostOf(r.RemoteAddr))
	return err == nil && a.isProxy(ip)
}

func (a *access) isProxy(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap()
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// from is the address of whoever sent a request, without its port: what the last
// proxy that counts says, or else where the connection comes from.
func (a *access) from(r *http.Request) string {
	from := hostOf(r.RemoteAddr)
	if !a.throughProxy(r) {
		return from
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := netip.ParseAddr(address.Bare(hostOf(strings.TrimSpace(hop)))) // some proxies say the port
		if err != nil {
			break // what is left of it may be anything
		}
		if from = ip.String(); !a.isProxy(ip) {
			break
		}
	}
	return from
}

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// whoMay names those who may change things; none if everybody may.
func (a *access) whoMay() []string {
	if a.login != nil {
		return a.login.admins()
	}
	return a.admins
}

// refusal is the sentence for somebody who may not. It does not tell who may: the
// names are half of what a guesser needs.
func (a *access) refusal() string {
	if len(a.whoMay()) == 0 {
		return "Your role is viewer. Nobody is admin here."
	}
	return "Your role is viewer. An admin may do this."
}

// entryOf begins the entry of what a request does.
func (s *Server) entryOf(r *http.Request, action string) entry {
	p := s.access.who(r)
	return entry{User: p.name, Unverified: p.name != "" && !p.verified, From: s.access.from(r), Action: action}
}
