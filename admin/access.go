package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

// role is what somebody may do.
type role string

const (
	roleViewer role = "viewer"
	roleAdmin  role = "admin"
)

// person is who sent a request.
type person struct {
	name string
	role role
	in   bool // may see anything at all
}

// access decides who may do what.
type access struct {
	header string
	admins []string
	login  *login // nil: no file of users
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
	p := person{name: r.Header.Get(a.header), role: roleAdmin, in: true}
	if p.name == "" {
		p.name, _, _ = r.BasicAuth()
	}
	if len(a.admins) > 0 && !slices.Contains(a.admins, r.Header.Get(a.header)) {
		p.role = roleViewer
	}
	return p
}

// whoMay names those who may change things; none if everybody may.
func (a *access) whoMay() []string {
	if a.login != nil {
		return a.login.admins()
	}
	return a.admins
}

// refusal is the sentence for somebody who may not.
func (a *access) refusal() string {
	admins := a.whoMay()
	switch len(admins) {
	case 0:
		return "Your role is viewer. Nobody is admin here."
	case 1:
		return fmt.Sprintf("Your role is viewer. %s may do this.", admins[0])
	}
	rest := "1 other"
	if n := len(admins) - 1; n > 1 {
		rest = fmt.Sprintf("%d others", n)
	}
	return fmt.Sprintf("Your role is viewer. %s and %s may do this.", admins[0], rest)
}

// within tells whether a request comes from a network; ok is false if its
// address cannot be read.
func within(network netip.Prefix, r *http.Request) (in, ok bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false, false
	}
	return network.Contains(from.Addr().Unmap()), true
}
