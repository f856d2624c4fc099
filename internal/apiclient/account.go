package apiclient

import (
	"net/url"
	"strings"
	"sync"
)

// Accounts are users and passwords that addresses came with. Addresses are shown
// and logged, so what is in them is kept apart. The methods may be called
// concurrently; the zero value is ready.
type Accounts struct {
	mu sync.Mutex               // guards by
	by map[string]*url.Userinfo // by origin
}

// originOf is the scheme, host and port of a URL: what was chosen for https never
// goes out in clear, whatever addresses directories name.
func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

// Take remembers the user and the password of an address that somebody here has
// chosen, and returns the address without them.
func (a *Accounts) Take(address string) string {
	if !strings.Contains(address, "://") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	a.mu.Lock()
	if a.by == nil {
		a.by = make(map[string]*url.Userinfo)
	}
	a.by[originOf(u)] = u.User
	a.mu.Unlock()
	u.User = nil
	return u.String()
}

// with is a URL with the account for its host, if there is one.
func (a *Accounts) with(text string) string {
	if a == nil {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	a.mu.Lock()
	user := a.by[originOf(u)]
	a.mu.Unlock()
	if user == nil {
		return text
	}
	u.User = user
	return u.String()
}
