package config

import "time"

// QLookupd are the options of qlookupd. They are nsqlookupd's, with the same
// names, types and defaults, and those that all our daemons have.
type QLookupd struct {
	Common
	ServerTLS
	Hostname string // the machine's name; not an option

	TCPAddress       string // host:port
	HTTPAddress      string // host:port
	BroadcastAddress string // the host under which nodes reach its HTTP

	InactiveProducerTimeout time.Duration // a node not heard of for longer is hidden
	TombstoneLifetime       time.Duration // how long a tombstone hides a node from a topic

	RegistrationSecretFile string // empty: every node is listed
}

// ParseQLookupd reads qlookupd's command line like [ParseQD] reads qd's.
func ParseQLookupd(args []string) (*Settings[QLookupd], error) {
	return parse[QLookupd](args, hostname())
}

// UsageQLookupd is the help text of qlookupd, called by the name of program.
func UsageQLookupd(program string) string {
	return usage(program, new(QLookupd).declare(hostname()))
}

func (q *QLookupd) declare(hostname string) []section {
	q.Hostname = hostname
	return []section{
		{"General", q.Common.options("[qlookupd] ")},
		{"Addresses", []*option{
			bind(&q.TCPAddress, "tcp-address", text("host:port"), "0.0.0.0:4160", "where nodes connect", listenable),
			bind(&q.HTTPAddress, "http-address", text("host:port"), "0.0.0.0:4161", "where HTTP is served", listenable),
			bind(&q.BroadcastAddress, "broadcast-address", text("host"), hostname, "name or address under which nodes reach this daemon's HTTP; by default the host name", broadcastHost),
		}},
		{"TLS", q.ServerTLS.options()},
		{"Producers", []*option{
			bind(&q.InactiveProducerTimeout, "inactive-producer-timeout", span(), 5*time.Minute, "a node that was not heard of for longer is hidden", timeout),
			bind(&q.TombstoneLifetime, "tombstone-lifetime", span(), 45*time.Second, "how long a tombstone hides a node from a topic", delay),
			registrationSecret(&q.RegistrationSecretFile, "file with the secret that a node must show to be listed; every node is if none is given"),
		}},
	}
}

// listenable allows an address with a port; the host may be missing.
var listenable = check[string]{allowed: "host:port", ok: isHostPort}

func (q *QLookupd) relate(r *review) {
	q.ServerTLS.relate(r)
	relateBroadcast(r, &q.BroadcastAddress, q.Hostname, "nodes")
}
