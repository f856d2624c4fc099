package lookup

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"qmq/internal/address"
)

// A name that stands for several directories, as a DNS record with several
// addresses does, is all of them: each is told and asked by itself.

const (
	// resolveEvery is how often names are resolved again.
	resolveEvery = time.Minute
	// resolveTimeout is how long that may take before what was known goes on.
	resolveTimeout = time.Second
	// resolveAgain is the pause after a name could not be resolved, and how old
	// the address of a directory that does not answer may get.
	resolveAgain = 5 * time.Second
)

// Resolver finds the addresses of names and remembers them. Its zero value asks
// the system. Its methods may be called concurrently.
type Resolver struct {
	// Lookup resolves a name; nil: the system does. It is set before use.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex // guards known
	known map[string]resolved
}

// resolved are the addresses of a name. They stay when it cannot be resolved
// any more: directories that work are not left because DNS does not.
type resolved struct {
	ips []netip.Addr
	err error     // of the last attempt
	at  time.Time // of the last attempt
}

// Expand lists the directories behind addresses, each host:port or a URL, sorted
// and each once. A host:port whose host is a name with several addresses
// becomes all of these; what is known is used again for up to maxAge. Anything
// else, and a name that never could be resolved, stays as it is. ok is false
// when some name could not be resolved now.
func (r *Resolver) Expand(ctx context.Context, addresses []string, maxAge time.Duration) (expanded []string, ok bool) {
	parts, failed := make([][]string, len(addresses)), make([]bool, len(addresses))
	var resolving sync.WaitGroup
	for i, a := range addresses {
		host, port, isName := splitName(a)
		if !isName {
			parts[i] = []string{a}
			continue
		}
		resolving.Go(func() {
			ips, err := r.resolve(ctx, host, maxAge)
			failed[i] = err != nil
			parts[i] = behind(a, port, ips)
		})
	}
	resolving.Wait()
	expanded = slices.Concat(parts...)
	slices.Sort(expanded)
	return slices.Compact(expanded), !slices.Contains(failed, true)
}

// recall is Expand without asking anybody: names that are not known are left
// out.
func (r *Resolver) recall(addresses []string) (expanded []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addresses {
		host, port, isName := splitName(a)
		if !isName {
			expanded = append(expanded, a)
		} else if was, ok := r.known[host]; ok {
			expanded = append(expanded, behind(a, port, was.ips)...)
		}
	}
	return expanded
}

// behind are the directories of an address whose host is a name. One address of
// each family is one machine, which is reached by its name.
func behind(name, port string, ips []netip.Addr) (list []string) {
	several := onlyFamily(ips, netip.Addr.Is4)
	if six := onlyFamily(ips, netip.Addr.Is6); len(six) > len(several) {
		several = six
	}
	if len(several) < 2 {
		return []string{name}
	}
	for _, ip := range several {
		list = append(list, net.JoinHostPort(ip.String(), port))
	}
	return list
}

func onlyFamily(ips []netip.Addr, is func(netip.Addr) bool) (list []netip.Addr) {
	for _, ip := range ips {
		if is(ip) {
			list = append(list, ip)
		}
	}
	return list
}

// splitName splits host:port whose host has to be resolved.
func splitName(a string) (host, port string, isName bool) {
	host, port, err := net.SplitHostPort(a)
	return host, port, err == nil && host != "" && address.IsName(host)
}

func isNamed(a string) bool {
	_, _, isName := splitName(a)
	return isName
}

// targets are what to connect to for host:port: all addresses of its host.
func (r *Resolver) targets(ctx context.Context, a string) ([]string, error) {
	host, port, isName := splitName(a)
	if !isName {
		return []string{a}, nil
	}
	ips, err := r.resolve(ctx, host, resolveAgain)
	if len(ips) == 0 {
		return nil, err
	}
	list := make([]string, len(ips))
	for i, ip := range ips {
		list[i] = net.JoinHostPort(ip.String(), port)
	}
	return list, nil
}

// resolve returns the addresses of a name, sorted. With an error come those that
// it had last, if any.
func (r *Resolver) resolve(ctx context.Context, host string, maxAge time.Duration) ([]netip.Addr, error) {
	r.mu.Lock()
	was, known := r.known[host]
	r.mu.Unlock()
	if known && time.Since(was.at) < maxAge && (was.err == nil || time.Since(was.at) < resolveAgain) {
		return was.ips, was.err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := r.lookup(ctx, host)
	if err == nil {
		was.ips = ips
	}
	was.err, was.at = err, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= maxNames {
		r.known = make(map[string]resolved)
	}
	r.known[host] = was
	return was.ips, err
}

// maxNames is how many names are remembered.
const maxNames = 1000

func (r *Resolver) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ask := r.Lookup
	if ask == nil {
		ask = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ips, err := ask(ctx, host)
	if err != nil {
		return nil, err
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	return slices.Compact(ips), nil
}
