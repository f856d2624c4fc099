package address

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// MaxViews is how many views a node may have.
const MaxViews = 64

// ViewsAllowed says in words what [ParseView] takes.
const ViewsAllowed = "FROM=HOST[:PORT[:HTTPPORT]], FROM being a network such as 10.0.0.0/8 or @ and a host such as @127.0.0.1"

// View is an address under which a node is told to some of those who look it up:
// to those who ask from a network, or who call the directory by a name. It is
// also how a node tells a directory of it, as JSON.
type View struct {
	From     string `json:"from"`                // a network, an address, or @ and a host
	Host     string `json:"broadcast_address"`   // without brackets
	TCPPort  int    `json:"tcp_port,omitempty"`  // 0: the one that the node announces
	HTTPPort int    `json:"http_port,omitempty"` // 0: the one that the node announces
}

// ParseView reads FROM=HOST, with a TCP port and an HTTP port behind it if they
// are other ones than the node announces. An address of IP version 6 has brackets.
func ParseView(text string) (View, error) {
	from, to, ok := strings.Cut(text, "=")
	if !ok {
		return View{}, fmt.Errorf("no = in %.300q", text)
	}
	host, ports := to, ""
	if end := strings.LastIndexByte(to, ']'); end >= 0 {
		host, ports = to[:end+1], to[end+1:]
	} else if at := strings.IndexByte(to, ':'); at >= 0 {
		host, ports = to[:at], to[at:]
	}
	v := View{From: from, Host: Bare(host)}
	if err := v.readPorts(ports); err != nil {
		return View{}, fmt.Errorf("%w in %.300q", err, text)
	}
	if impossible := v.Impossible(); impossible != "" {
		return View{}, fmt.Errorf("%s in %.300q", impossible, text)
	}
	return v, nil
}

// readPorts reads nothing, :PORT or :PORT:HTTPPORT.
func (v *View) readPorts(text string) error {
	if text == "" {
		return nil
	}
	before, text, ok := strings.Cut(text, ":")
	ports := strings.Split(text, ":")
	if !ok || before != "" || len(ports) > 2 {
		return fmt.Errorf("invalid ports %.20q", before+":"+text)
	}
	for i, port := range ports {
		if !ValidPort(port) {
			return fmt.Errorf("invalid port %.20q", port)
		}
		n, _ := strconv.Atoi(port) // a valid one is a number
		*[]*int{&v.TCPPort, &v.HTTPPort}[i] = n
	}
	return nil
}

// Impossible says what of the view makes no sense; empty: it does.
func (v *View) Impossible() string {
	_, isHost := v.host()
	_, isNetwork := v.network()
	switch {
	case !isHost && !isNetwork:
		return fmt.Sprintf("invalid network or host %.300q", v.From)
	case !ValidHost(v.Host):
		return fmt.Sprintf("invalid address %.300q", v.Host)
	case v.TCPPort < 0 || v.TCPPort > math.MaxUint16:
		return fmt.Sprintf("invalid TCP port %d", v.TCPPort)
	case v.HTTPPort < 0 || v.HTTPPort > math.MaxUint16:
		return fmt.Sprintf("invalid HTTP port %d", v.HTTPPort)
	}
	return ""
}

// Matches tells whether the view is for somebody who asks.
func (v *View) Matches(a Asker) bool {
	if host, ok := v.host(); ok {
		return a.Host == host
	}
	network, ok := v.network()
	return ok && network.Contains(a.Addr)
}

// host is the one by which a directory is called, if the view is for that.
func (v *View) host() (host string, ok bool) {
	name, ok := strings.CutPrefix(v.From, "@")
	return canonical(name), ok && ValidHost(name)
}

// network is the one that is asked from, if the view is for that.
func (v *View) network() (netip.Prefix, bool) {
	if ip, err := netip.ParseAddr(v.From); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), ip.Zone() == ""
	}
	network, err := netip.ParsePrefix(v.From)
	return network, err == nil
}

// Asker is somebody who asks a directory where nodes are. The zero value is
// nobody in particular, for whom no view is.
type Asker struct {
	Addr netip.Addr // as the directory sees it
	Host string     // by which the directory is called, in lower case, without port and brackets
}

// AskerOf is who sends a request over HTTP.
func AskerOf(r *http.Request) Asker {
	var a Asker
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		a.Addr = from.Addr().Unmap().WithZone("")
	}
	host := r.Host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		host = bare
	}
	a.Host = canonical(host)
	return a
}

// canonical is a host as all write it that mean the same one.
func canonical(host string) string {
	host = Bare(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
