package apiclient

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// upgrades are where daemons are asked that answer only to TLS. Its methods may
// be called concurrently; the zero value is ready.
type upgrades struct {
	mu sync.Mutex        // guards to
	to map[string]string // host:port of HTTPS, by host:port of HTTP
}

// maxUpgrades bounds the daemons that are remembered.
const maxUpgrades = 10_000

// of is the URL to ask instead of one.
func (s *upgrades) of(plain string) string {
	u, err := url.Parse(plain)
	if err != nil || u.Scheme != "http" {
		return plain
	}
	s.mu.Lock()
	host, ok := s.to[u.Host]
	s.mu.Unlock()
	if !ok {
		return plain
	}
	u.Scheme, u.Host = "https", host
	return u.String()
}

// remember has later requests to the daemon of a URL go where secure is. Both
// can be parsed.
func (s *upgrades) remember(plain, secure string) {
	from, err1 := url.Parse(plain)
	to, err2 := url.Parse(secure)
	if err1 != nil || err2 != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to == nil || len(s.to) >= maxUpgrades {
		s.to = make(map[string]string)
	}
	s.to[from.Host] = to.Host
}

func (s *upgrades) forget(plain string) {
	u, err := url.Parse(plain)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.to, u.Host)
}

// plainToTLS is how Go's server answers HTTP at a port of HTTPS.
const plainToTLS = "Client sent an HTTP request to an HTTPS server."

// secureURL is where a daemon that wants TLS says, in its refusal, that it can
// be asked: at a port of its own, or at this one.
func secureURL(plain string, a *answer) (secure string, ok bool) {
	u, err := url.Parse(plain)
	if err != nil || u.Scheme != "http" {
		return "", false
	}
	port := u.Port()
	switch a.code {
	case http.StatusForbidden:
		var told struct {
			HTTPSPort int `json:"https_port"`
		}
		if json.Unmarshal(a.body, &told) != nil || told.HTTPSPort <= 0 {
			return "", false
		}
		port = strconv.Itoa(told.HTTPSPort)
	case http.StatusBadRequest:
		if strings.TrimSpace(string(a.body)) != plainToTLS {
			return "", false
		}
	default:
		return "", false
	}
	if port == "" {
		port = "443"
	}
	u.Scheme, u.Host = "https", net.JoinHostPort(u.Hostname(), port)
	return u.String(), true
}
