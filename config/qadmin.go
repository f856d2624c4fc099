package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"qmq/internal/address"
	"qmq/internal/redact"
)

// QAdmin are the options of qadmin. They are nsqadmin's, with the same names,
// types and defaults, and a few of our own.
type QAdmin struct {
	Common
	ServerTLS
	Hostname string // the machine's name; not an option

	HTTPAddress  string // host:port
	BasePath     string // clean, begins with a slash
	DevStaticDir string // serve the page from there; empty: the one inside
	ClusterName  string // for people; may be empty

	GraphiteURL         string // empty: none
	ProxyGraphite       bool
	StatsdCounterFormat string
	StatsdGaugeFormat   string
	StatsdPrefix        string
	StatsdInterval      time.Duration

	HistoryDir               string // empty: history is in memory only
	PagePeek                 bool   // everybody may look at messages
	NotificationHTTPEndpoint string // URL; empty: none is told
	AlertWebhook             string // URL; empty: none is told
	PageURL                  string // of the page, for links; empty: made of the host's name

	HTTPClientConnectTimeout        time.Duration
	HTTPClientRequestTimeout        time.Duration
	HTTPClientTLSInsecureSkipVerify bool
	HTTPClientTLSRootCAFile         string
	HTTPClientTLSCert               string
	HTTPClientTLSKey                string
	HTTPClientAuthFile              string   // empty: none
	HTTPClientAuthFor               []string // hosts and networks; empty: the nodes of NSQDHTTPAddresses
	HTTPClientAuthInsecure          bool

	AllowConfigFromCIDR string // empty: from anywhere
	ACLHTTPHeader       string
	AdminUsers          []string
	ACLTrustedProxies   []string // networks; empty: the header counts whoever sends it
	UsersFile           string   // empty: no signing in

	LookupdHTTPAddresses []string // may change
	NSQDHTTPAddresses    []string // of both flags
	qdHTTPAddresses      []string
}

// ParseQAdmin reads qadmin's command line like [ParseQD] reads qd's.
func ParseQAdmin(args []string) (*Settings[QAdmin], error) { return parse[QAdmin](args, hostname()) }

// UsageQAdmin is the help text of qadmin, called by the name of program.
func UsageQAdmin(program string) string { return usage(program, new(QAdmin).declare(hostname())) }

func (q *QAdmin) declare(hostname string) []section {
	q.Hostname = hostname
	return []section{
		{"General", q.Common.options("[qadmin] ")},
		{"Cluster", []*option{
			bind(&q.LookupdHTTPAddresses, "lookupd-http-address", texts("address"), nil, "HTTP address of a lookup daemon that knows the nodes; a name with several addresses stands for all of them", webAddresses).keyed("nsqlookupd_http_addresses").changeable(),
			bind(&q.NSQDHTTPAddresses, "nsqd-http-address", texts("address"), nil, "HTTP address of a node, qd or nsqd, instead of lookup daemons", webAddresses).keyed("nsqd_http_addresses"),
			bind(&q.qdHTTPAddresses, "qd-http-address", texts("address"), nil, "another name of --nsqd-http-address", webAddresses).keyed("qd_http_addresses"),
			bind(&q.ClusterName, "cluster-name", text("name"), "", "name of the cluster, shown on the page"),
		}},
		{"Page", []*option{
			bind(&q.HTTPAddress, "http-address", text("host:port"), "0.0.0.0:4171", "where HTTP is served", listenable),
			bind(&q.BasePath, "base-path", text("path"), "/", "path under which everything is served"),
			bind(&q.HistoryDir, "history-dir", text("directory"), "", "keep the history of charts there, a value a minute for 7 days, up to 1 GiB; empty for an hour in memory only"),
			bind(&q.DevStaticDir, "dev-static-dir", text("directory"), "", "serve the page from this directory instead of the one that is built in"),
		}},
		{"Security", q.securityOptions()},
		{"Questions to nodes", q.clientOptions()},
		{"Graphite", []*option{
			bind(&q.GraphiteURL, "graphite-url", text("URL"), "", "graphite that holds the measurements of the nodes", webAddress),
			bind(&q.ProxyGraphite, "proxy-graphite", truth(), false, "hand requests for /render on to graphite"),
			bind(&q.StatsdCounterFormat, "statsd-counter-format", text("text"), "stats.counters.%s.count", "keys of counters in graphite; %s stands for the key the node sends"),
			bind(&q.StatsdGaugeFormat, "statsd-gauge-format", text("text"), "stats.gauges.%s", "keys of gauges in graphite; %s stands for the key the node sends"),
			bind(&q.StatsdPrefix, "statsd-prefix", text("text"), "nsq.%s", "start of statsd keys, as the nodes have it"),
			bind(&q.StatsdInterval, "statsd-interval", span(), time.Minute, "time between two reports, as the nodes have it", positive),
		}},
	}
}

func (q *QAdmin) securityOptions() []*option {
	return append(q.ServerTLS.options(), []*option{
		bind(&q.AllowConfigFromCIDR, "allow-config-from-cidr", text("network"), "127.0.0.1/8", "network from which /config may be used; empty for any", network),
		bind(&q.ACLHTTPHeader, "acl-http-header", text("header"), "X-Forwarded-User", "header in which a proxy tells who sends a request"),
		bind(&q.AdminUsers, "admin-user", texts("name"), nil, "somebody who may change things; without any, everybody may").keyed("admin_users").guards(),
		bind(&q.ACLTrustedProxies, "acl-trusted-proxy", texts("network"), nil, "network of proxies whose headers count, acl-http-header and X-Forwarded-For; without any, everybody may send acl-http-header", networks).guards(),
		bind(&q.UsersFile, "users-file", text("file"), "", "who may sign in: lines of name:role:hash, the role viewer, stats-viewer (no messages) or admin, the hash of bcrypt; empty for no signing in").guards(),
		bind(&q.PagePeek, "page-peek", truth(), false, "show messages (peek) to everybody who reaches the page; else only to those who have signed in, and on this machine"),
		bind(&q.NotificationHTTPEndpoint, "notification-http-endpoint", text("URL"), "", "where each change is reported (POST)", webAddress),
		bind(&q.AlertWebhook, "alert-webhook", text("URL"), "", "where lines of attention are reported when they start and end (POST of JSON with a text, as Slack's webhooks take it)", webAddress),
		bind(&q.PageURL, "page-url", text("URL"), "", "address of the page for people, for links in reports; empty for http(s)://HOSTNAME:PORT/BASE-PATH", webAddress),
	}...)
}

func (q *QAdmin) clientOptions() []*option {
	return []*option{
		bind(&q.HTTPClientConnectTimeout, "http-client-connect-timeout", span(), 2*time.Second, "time to connect; 0 for no limit", notNegative),
		bind(&q.HTTPClientRequestTimeout, "http-client-request-timeout", span(), 5*time.Second, "time for an answer; 0 for no limit", notNegative),
		bind(&q.HTTPClientTLSInsecureSkipVerify, "http-client-tls-insecure-skip-verify", truth(), false, "do not verify certificates of nodes and lookup daemons"),
		bind(&q.HTTPClientTLSRootCAFile, "http-client-tls-root-ca-file", text("file"), "", "roots for their certificates (PEM)"),
		bind(&q.HTTPClientTLSCert, "http-client-tls-cert", text("file"), "", "certificate to show them (PEM)"),
		bind(&q.HTTPClientTLSKey, "http-client-tls-key", text("file"), "", "its key (PEM)"),
		bind(&q.HTTPClientAuthFile, "http-client-auth-file", text("file"), "", "credential for nodes whose HTTP API is closed: one line, 'bearer TOKEN' or 'basic USER:PASSWORD'").guards(),
		bind(&q.HTTPClientAuthFor, "http-client-auth-for", texts("host"), nil, "host or network of nodes that the credential is for; needed with lookup daemons, which may name any address; else the nodes that are given", hostsOrNetworks).guards(),
		bind(&q.HTTPClientAuthInsecure, "http-client-auth-insecure", truth(), false, "show the credential in clear and to nodes whose certificate nobody verifies too, not only over verified TLS and to this machine"),
	}
}

var network = check[string]{
	allowed: "a network such as 127.0.0.1/8, or empty",
	ok: func(s string) bool {
		_, err := netip.ParsePrefix(s)
		return s == "" || err == nil
	},
}

var networks = check[[]string]{
	allowed: "a network such as 10.0.0.0/8, or an address, each time",
	ok:      func(list []string) bool { return !slices.ContainsFunc(list, isNoNetwork) },
}

func isNoNetwork(s string) bool {
	_, err := ParseNetwork(s)
	return err != nil
}

var hostsOrNetworks = check[[]string]{
	allowed: address.HostsAllowed + ", or a network such as 10.0.0.0/8, each time",
	ok: func(list []string) bool {
		return !slices.ContainsFunc(list, func(s string) bool { return !address.ValidHost(s) && isNoNetwork(s) })
	},
}

// ParseNetwork reads a network, or an address as a network of one.
func ParseNetwork(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Prefix(ip.BitLen())
	}
	return netip.ParsePrefix(s)
}

var webAddress = check[string]{
	allowed: "an http or https URL, or empty",
	ok: func(s string) bool {
		u, err := url.Parse(s)
		return s == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	},
}

func (q *QAdmin) relate(r *review) {
	q.ServerTLS.relate(r)
	q.BasePath = path.Clean("/" + q.BasePath)
	q.NSQDHTTPAddresses = slices.Concat(q.NSQDHTTPAddresses, q.qdHTTPAddresses)
	switch lookupds, nodes := len(q.LookupdHTTPAddresses) > 0, len(q.NSQDHTTPAddresses) > 0; {
	case !lookupds && !nodes:
		r.mistake("--nsqd-http-address or --lookupd-http-address required")
	case lookupds && nodes:
		r.mistake("use --nsqd-http-address or --lookupd-http-address not both")
	}
	switch hasCert, hasKey := q.HTTPClientTLSCert != "", q.HTTPClientTLSKey != ""; {
	case hasKey && !hasCert:
		r.mistake("--http-client-tls-key must be specified with --http-client-tls-cert")
	case hasCert && !hasKey:
		r.mistake("--http-client-tls-cert must be specified with --http-client-tls-key")
	}
	switch {
	case q.HTTPClientAuthFile != "" && len(q.LookupdHTTPAddresses) > 0 && len(q.HTTPClientAuthFor) == 0:
		r.mistake("--http-client-auth-file with --lookupd-http-address needs --http-client-auth-for: lookup daemons may name any address")
	case q.HTTPClientAuthFile != "" && q.HTTPClientTLSInsecureSkipVerify && !q.HTTPClientAuthInsecure:
		r.warn("--http-client-auth-file is of no use over TLS with --http-client-tls-insecure-skip-verify, unless --http-client-auth-insecure")
	case q.HTTPClientAuthFile == "" && (len(q.HTTPClientAuthFor) > 0 || q.HTTPClientAuthInsecure):
		r.warn("--http-client-auth-for and --http-client-auth-insecure have no effect without --http-client-auth-file")
	}
	if q.ProxyGraphite && q.GraphiteURL == "" {
		r.warn("--proxy-graphite has no effect without --graphite-url")
	}
	if strings.ContainsAny(q.BasePath, ":*?#%\"'<>\\") {
		r.mistake("--base-path must be a plain path, not %s", quote(q.BasePath))
	}
	if q.UsersFile != "" && q.TLSCert == "" && !isLoopback(q.HTTPAddress) {
		r.warn("--users-file on %s without --tls-cert: passwords and sessions go over the network in clear, unless a proxy in front of it speaks TLS", q.HTTPAddress)
	}
	if len(q.AdminUsers) > 0 && q.UsersFile == "" && len(q.ACLTrustedProxies) == 0 && !isLoopback(q.HTTPAddress) {
		r.warn("--admin-user on %s without --acl-trusted-proxy: whoever reaches it may send %s and be admin", q.HTTPAddress, q.ACLHTTPHeader)
	}
	if len(q.AdminUsers) > 0 && q.UsersFile != "" {
		r.warn("--admin-user has no effect with --users-file, which says who is admin")
	}
	for _, address := range slices.Concat(q.LookupdHTTPAddresses, q.NSQDHTTPAddresses) {
		if err := resolvable(address); err != nil {
			r.mistake("%w", err)
		}
	}
}

// resolvable tells whether an address can be found now: a wrong name is a
// mistake of the command line.
func resolvable(address string) error {
	if address == "" || hasWrongPort(address) {
		return nil // told elsewhere
	}
	host := address
	if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil {
			return fmt.Errorf("failed to resolve address (%s)", redact.URL(address))
		}
		if u.Host == "" {
			return fmt.Errorf("failed to resolve address (%s)", address)
		}
		if host = u.Host; u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), u.Scheme)
		}
	}
	if _, err := net.ResolveTCPAddr("tcp", host); err != nil {
		return fmt.Errorf("failed to resolve address (%s) - %s", redact.URL(address), err)
	}
	return nil
}
