package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"qmq/internal/address"
)

// check is one thing that must hold for a value.
type check[T any] struct {
	allowed string         // ends "must be …"
	ok      func(T) bool   // whether it holds
	text    func(T) string // the whole mistake, where people know it in other words; nil for the usual ones
}

// between allows low to high, both included.
func between[T cmp.Ordered](low, high T) check[T] {
	return check[T]{
		allowed: fmt.Sprintf("in [%v,%v]", low, high),
		ok:      func(v T) bool { return low <= v && v <= high },
	}
}

// below allows 0 to high, which is not included.
func below[T int | int64](high T) check[T] {
	return check[T]{
		allowed: fmt.Sprintf("in [0,%d)", high),
		ok:      func(v T) bool { return 0 <= v && v < high },
	}
}

func atLeast[T int | int64](low T) check[T] {
	return check[T]{
		allowed: fmt.Sprintf("at least %d", low),
		ok:      func(v T) bool { return v >= low },
	}
}

// positive allows durations above 0, notNegative 0 as well.
var (
	positive = check[time.Duration]{
		allowed: "longer than 0",
		ok:      func(d time.Duration) bool { return d > 0 },
	}
	notNegative = check[time.Duration]{
		allowed: "0 or longer",
		ok:      func(d time.Duration) bool { return d >= 0 },
	}
)

// maxDelay is a hundred years: a time on the clock and a delay added to it
// still fit 64 bits of nanoseconds.
const maxDelay = 876_000 * time.Hour

// delay and timeout are for durations that are added to the time.
var (
	delay = check[time.Duration]{
		allowed: "0 to 876000h",
		ok:      func(d time.Duration) bool { return d >= 0 && d <= maxDelay },
	}
	timeout = check[time.Duration]{
		allowed: "longer than 0, at most 876000h",
		ok:      func(d time.Duration) bool { return d > 0 && d <= maxDelay },
	}
)

// hostsOfSites allows hosts as an Origin or Host header names them, and * for
// all.
var hostsOfSites = check[[]string]{
	allowed: "a host, host:port or *",
	ok: func(hosts []string) bool {
		return !slices.ContainsFunc(hosts, func(host string) bool {
			return host != "*" && (host == "" || strings.ContainsAny(host, "*/?#@ \t") || strings.HasPrefix(host, ":"))
		})
	},
}

var notEmpty = check[string]{
	allowed: "host:port or the path of a unix socket",
	ok:      func(s string) bool { return s != "" && listensOrNot.ok(s) },
}

// hostPort allows an address that can be dialled, or none.
var hostPort = check[string]{
	allowed: "host:port, or empty",
	ok:      func(s string) bool { return s == "" || isHostPort(s) },
}

// broadcastHost allows what others can be told to connect to, or nothing.
var broadcastHost = check[string]{
	allowed: address.HostsAllowed,
	ok:      func(s string) bool { return s == "" || address.ValidHost(s) },
}

// views allows addresses of a node for some of those who look it up.
var views = check[[]string]{
	allowed: address.ViewsAllowed + fmt.Sprintf(", at most %d times", address.MaxViews),
	ok: func(list []string) bool {
		return len(list) <= address.MaxViews && !slices.ContainsFunc(list, isNoView)
	},
	text: func(list []string) string {
		for _, text := range list {
			if _, err := address.ParseView(text); err != nil {
				return fmt.Sprintf("--broadcast-address-for must be %s: %s", address.ViewsAllowed, err)
			}
		}
		return fmt.Sprintf("--broadcast-address-for may be given %d times, not %d", address.MaxViews, len(list))
	},
}

func isNoView(s string) bool {
	_, err := address.ParseView(s)
	return err != nil
}

// directories allows TCP addresses of lookup daemons.
var directories = check[[]string]{
	allowed: "host:port each time, with a port of 1 to 65535",
	ok:      func(list []string) bool { return !slices.ContainsFunc(list, isNoDirectory) },
}

func isNoDirectory(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err != nil || !address.ValidPort(port) || host != "" && !address.ValidHost(host)
}

// webAddresses allows HTTP addresses of daemons, as far as their form goes.
var webAddresses = check[[]string]{
	allowed: "host:port or a URL each time, with a port of 1 to 65535",
	ok: func(list []string) bool {
		return !slices.ContainsFunc(list, func(s string) bool { return s == "" || hasWrongPort(s) })
	},
}

// hasWrongPort is true for a URL with a port that is no number, and for any other
// address without a port that is one.
func hasWrongPort(s string) bool {
	if _, after, ok := strings.Cut(s, "://"); ok {
		u, err := url.Parse(s)
		if err != nil {
			// It refuses such ports itself, and other things that are not ours to tell.
			host, _, _ := strings.Cut(after, "/")
			_, port, err := net.SplitHostPort(host)
			return err == nil && !address.ValidPort(port)
		}
		return u.Port() != "" && !address.ValidPort(u.Port())
	}
	_, port, err := net.SplitHostPort(s)
	return err != nil || !address.ValidPort(port)
}

var noneEmpty = check[[]string]{
	allowed: "host:port or a URL each time",
	ok:      func(list []string) bool { return !slices.Contains(list, "") },
}

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != "" && isListeningPort(port)
}

// isListeningPort tells whether a port can be listened on: a number, or the name
// of a service that this machine knows.
func isListeningPort(port string) bool {
	_, err := net.LookupPort("tcp", port)
	return err == nil
}

// listensOrNot allows what qd listens on, or nothing.
var listensOrNot = check[string]{
	allowed: "host:port, the path of a unix socket, or empty",
	ok: func(s string) bool {
		_, port, err := net.SplitHostPort(s)
		return err != nil || isListeningPort(port)
	},
}

// octalMode allows permissions of a file, or none.
var octalMode = check[string]{
	allowed: "octal permissions from 0 to 0777, or empty",
	ok: func(s string) bool {
		_, err := parseMode(s)
		return s == "" || err == nil
	},
}

func parseMode(s string) (fs.FileMode, error) {
	const bits = 9
	mode, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, bits)
	return fs.FileMode(mode), err
}

// warnOfPath tells of an address that is taken as the path of a unix socket,
// though it does not look like one: a port alone, or a host alone.
func warnOfPath(r *review, flag, address string) {
	if address == "" || isHostPort(address) || strings.Contains(address, "/") || strings.HasSuffix(address, ".sock") {
		return
	}
	hint := address + ":PORT"
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		hint = ":" + address
	}
	r.warn("--%s=%s has no host:port and is taken as the path of a unix socket; did you mean %s? (./%[2]s is always a path)", flag, quoteIfNeeded(address), quoteIfNeeded(hint))
}

// isLoopback tells whether only this machine reaches an address: of loopback, or
// a unix socket.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

var requestMethods = check[string]{
	allowed: "post or get",
	ok:      func(s string) bool { return s == "post" || s == "get" },
}

var percentiles = check[[]float64]{
	allowed: "in (0,1] each time",
	ok:      func(list []float64) bool { return !slices.ContainsFunc(list, isNoPercentile) },
	text: func(list []float64) string {
		wrong := list[slices.IndexFunc(list, isNoPercentile)]
		return fmt.Sprintf("invalid E2E processing latency percentile: %v (must be in (0,1])", wrong)
	},
}

// isNoPercentile is true for NaN too.
func isNoPercentile(p float64) bool { return !(p > 0 && p <= 1) }

// relateBroadcast mends and questions a broadcast address: what is left empty
// is the host name, brackets are taken off, and what nobody can connect to is
// warned about.
func relateBroadcast(r *review, host *string, hostname, who string) {
	switch {
	case *host == "":
		*host = hostname
		r.warn("an empty --broadcast-address is taken as the host name, %s", hostname)
	case address.IsUnspecified(*host):
		r.warn("--broadcast-address=%s is no address that others can connect to, but %s are told it: set the name or address under which they reach this machine", *host, who)
	}
	*host = address.Bare(*host)
}
