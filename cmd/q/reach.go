package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"qmq/internal/address"
	"qmq/internal/apiclient"
	"qmq/internal/certs"
	"qmq/internal/nodeclient"
	"qmq/internal/tcpclient"
	"qmq/internal/version"
	"qmq/lookup"
)

// Where a node is that nobody named.
const (
	usualTCP  = "127.0.0.1:4150"
	usualHTTP = "127.0.0.1:4151"
)

// reach says which nodes a command is about and how they are connected to. Its
// flags are also what a context of the configuration file may set.
type reach struct {
	Lookupd  []string `name:"lookupd" env:"Q_LOOKUPD" group:"reach" placeholder:"ADDRESS" help:"HTTP address of a directory (qlookupd) that says which nodes there are. May be repeated."`
	Addr     []string `name:"addr" env:"Q_ADDR" group:"reach" placeholder:"ADDRESS" help:"TCP address of a node (qd), instead of directories. May be repeated. Default: 127.0.0.1:4150."`
	HTTPAddr []string `name:"http-addr" env:"Q_HTTP_ADDR" group:"reach" placeholder:"ADDRESS" help:"HTTP address of a node, instead of directories. May be repeated. Default: the port after that of --addr."`

	TLS      bool   `name:"tls" env:"Q_TLS" group:"reach" help:"Use TLS on connections to TCP addresses."`
	Roots    string `name:"tls-root-ca-file" env:"Q_TLS_ROOT_CA_FILE" group:"reach" placeholder:"FILE" complete:"file" help:"Roots for the daemons' certificates (PEM). Default: those of the system."`
	Cert     string `name:"tls-cert" env:"Q_TLS_CERT" group:"reach" placeholder:"FILE" complete:"file" help:"Certificate to show daemons that want one (PEM)."`
	Key      string `name:"tls-key" env:"Q_TLS_KEY" group:"reach" placeholder:"FILE" complete:"file" help:"Its key (PEM)."`
	Insecure bool   `name:"tls-insecure" env:"Q_TLS_INSECURE" group:"reach" help:"Take any certificate: who listens in between is not noticed."`

	Secret   string   `name:"auth-secret" env:"Q_AUTH_SECRET" group:"reach" placeholder:"SECRET" help:"Secret for nodes that want one (AUTH). Others on this machine can read it on a command line: prefer the environment or the configuration file."`
	HTTPAuth string   `name:"http-auth" env:"Q_HTTP_AUTH" group:"reach" placeholder:"CREDENTIAL" help:"Credential for the HTTP API of nodes: 'bearer TOKEN' or 'basic USER:PASSWORD'. It is shown to the hosts of --http-addr, --addr and --http-auth-for alone, over verified TLS or on this machine."`
	AuthFor  []string `name:"http-auth-for" env:"Q_HTTP_AUTH_FOR" group:"reach" placeholder:"HOST" help:"Host that directories name and that is shown the credential. May be repeated."`

	Snappy  bool `name:"snappy" env:"Q_SNAPPY" group:"reach" help:"Compress connections to TCP addresses with snappy."`
	Deflate int  `name:"deflate" env:"Q_DEFLATE" group:"reach" placeholder:"LEVEL" help:"Compress them with deflate, at a level of 1 to 9."`
	// adjust changes the options of connections to TCP addresses; nil: nothing.
	adjust func(*tcpclient.Options) `kong:"-"`

	Timeout time.Duration `name:"timeout" env:"Q_TIMEOUT" group:"reach" default:"5s" help:"How long to wait for a connection or an answer."`
}

// cluster is what a command asks and tells. Close ends its connections.
type cluster struct {
	r        *reach
	tls      *tls.Config
	accounts apiclient.Accounts
	lookup   *lookup.Client
	api      *apiclient.Client
	nodes    *nodeclient.Client
	lookupds []string // without accounts
	httpAddr []string // the same
}

// open reads the files that the flags name and connects to nobody.
func (r *reach) open() (*cluster, error) {
	roots, err := certs.Roots(r.Roots)
	if err != nil {
		return nil, err
	}
	c := &cluster{r: r, tls: &tls.Config{RootCAs: roots, InsecureSkipVerify: r.Insecure, MinVersion: tls.VersionTLS12}}
	if (r.Cert == "") != (r.Key == "") {
		return nil, errors.New("--tls-cert and --tls-key go together")
	}
	if r.Cert != "" {
		pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
		if err != nil {
			return nil, err
		}
		c.tls.Certificates = []tls.Certificate{pair}
	}
	if r.Deflate < 0 || r.Deflate > 9 || r.Deflate > 0 && r.Snappy {
		return nil, errors.New("--deflate is a level of 1 to 9, and goes without --snappy")
	}
	credential, err := r.credential()
	if err != nil {
		return nil, err
	}
	if len(r.Lookupd) > 0 && len(r.Addr)+len(r.HTTPAddr) > 0 {
		return nil, errors.New("--lookupd, and --addr or --http-addr, exclude each other: either directories name the nodes or you do")
	}
	for _, at := range slices.Concat(r.Lookupd, r.HTTPAddr) {
		if err := checkAddress(at, true); err != nil {
			return nil, err
		}
	}
	for _, at := range r.Addr {
		if err := checkAddress(at, false); err != nil {
			return nil, err
		}
	}
	for _, at := range r.Lookupd {
		c.lookupds = append(c.lookupds, c.accounts.Take(at))
	}
	for _, at := range r.HTTPAddr {
		c.httpAddr = append(c.httpAddr, c.accounts.Take(at))
	}
	c.lookup = lookup.NewClient(lookup.ClientOptions{ConnectTimeout: r.Timeout, RequestTimeout: r.Timeout, TLS: c.tls, UserAgent: userAgent(), Accounts: &c.accounts, NamesNobody: true})
	c.api = apiclient.New(apiclient.Options{ConnectTimeout: r.Timeout, RequestTimeout: r.Timeout, TLS: c.tls, UserAgent: userAgent(), Accounts: &c.accounts, Credential: credential, NamesNobody: true})
	c.nodes = nodeclient.New(c.api)
	return c, nil
}

func (c *cluster) close() {
	c.lookup.Close()
	c.api.Close()
}

func userAgent() string { return "q/" + version.Number }

func checkAddress(at string, url bool) error {
	if url && strings.Contains(at, "://") {
		return nil
	}
	if _, port, err := net.SplitHostPort(at); err != nil || !address.ValidPort(port) {
		return fmt.Errorf("%q is no address: it must be host:port, such as %s", at, usualTCP)
	}
	return nil
}

// credential is what --http-auth says.
func (r *reach) credential() (apiclient.Credential, error) {
	if r.HTTPAuth == "" {
		return apiclient.Credential{}, nil
	}
	header, err := authorization(r.HTTPAuth)
	if err != nil {
		return apiclient.Credential{}, err
	}
	hosts := make(map[string]bool)
	for _, at := range slices.Concat(r.HTTPAddr, r.Addr) {
		hosts[hostOf(at)] = true
	}
	for _, host := range r.AuthFor {
		hosts[address.Bare(host)] = true
	}
	if len(r.Lookupd)+len(hosts) == 0 {
		hosts["127.0.0.1"] = true // the usual node
	}
	return apiclient.Credential{Header: func() string { return header }, For: func(host string) bool { return hosts[host] }}, nil
}

// hostOf is the host of an address or URL.
func hostOf(at string) string {
	if _, rest, ok := strings.Cut(at, "://"); ok {
		at, _, _ = strings.Cut(rest, "/")
		if i := strings.LastIndexByte(at, '@'); i >= 0 {
			at = at[i+1:]
		}
	}
	if host, _, err := net.SplitHostPort(at); err == nil {
		return host
	}
	return address.Bare(at)
}

// tcp are the options of connections to TCP addresses.
func (c *cluster) tcp(agent string) tcpclient.Options {
	host, _ := os.Hostname()
	o := tcpclient.Options{
		UserAgent: agent, Hostname: host, ClientID: host,
		Snappy: c.r.Snappy, Deflate: c.r.Deflate, Secret: c.r.Secret, DialTimeout: c.r.Timeout,
	}
	if c.r.TLS || c.r.Cert != "" {
		o.TLS = c.tls
	}
	if c.r.adjust != nil {
		c.r.adjust(&o)
	}
	return o
}

// node is where a node is. The name is how people know it.
type node struct{ Name, TCP, HTTP string }

// tcpNodes are the nodes that have a topic, by TCP address. The topic may be
// empty: all nodes.
func (c *cluster) tcpNodes(ctx context.Context, topic string) ([]string, error) {
	switch {
	case len(c.lookupds) > 0:
		nodes, err := c.listed(ctx, topic)
		var list []string
		for _, n := range nodes {
			list = append(list, n.TCP)
		}
		return list, err
	case len(c.r.Addr) > 0:
		return c.r.Addr, nil
	case len(c.httpAddr) == 0:
		return []string{usualTCP}, nil
	}
	var list []string
	for _, at := range c.httpAddr {
		info, err := c.nodes.Info(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("cannot ask %s for its TCP port: %w", at, err)
		}
		list = append(list, address.Join(hostOf(at), info.TCPPort))
	}
	return list, nil
}

// httpNodes are the nodes that have a topic, with the address of their HTTP API.
// The topic may be empty: all nodes.
func (c *cluster) httpNodes(ctx context.Context, topic string) ([]node, error) {
	if len(c.lookupds) > 0 {
		return c.listed(ctx, topic)
	}
	at := c.httpAddr
	if len(at) == 0 && len(c.r.Addr) == 0 {
		at = []string{usualHTTP}
	}
	var list []node
	for _, http := range at {
		list = append(list, node{Name: http, HTTP: http})
	}
	if len(at) == 0 {
		for _, tcp := range c.r.Addr {
			http, err := c.httpOf(ctx, tcp)
			if err != nil {
				return nil, err
			}
			list = append(list, node{Name: http, TCP: tcp, HTTP: http})
		}
	}
	return list, nil
}

// httpOf is the HTTP address of the node with a TCP address: the next port, if
// who answers there says that it is the same node.
func (c *cluster) httpOf(ctx context.Context, tcp string) (string, error) {
	host, text, err := net.SplitHostPort(tcp)
	if err != nil {
		return "", err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", err
	}
	at := address.Join(host, port+1)
	info, err := c.nodes.Info(ctx, at)
	if err == nil && info.TCPPort != port {
		err = fmt.Errorf("the node there has the TCP port %d", info.TCPPort)
	}
	if err != nil {
		return "", fmt.Errorf("the HTTP address of %s is not known (--http-addr says it): asked %s: %w", tcp, at, err)
	}
	return at, nil
}

// listed are the nodes that the directories know; those that have a topic, if one
// is named.
func (c *cluster) listed(ctx context.Context, topic string) ([]node, error) {
	var list []node
	var err error
	if topic != "" {
		var answer lookup.LookupAnswer
		answer, err = c.lookup.Lookup(ctx, c.lookupds, topic)
		for _, p := range answer.Producers {
			list = append(list, nodeOf(p.Identity))
		}
	} else {
		var all []lookup.ClusterNode
		all, err = c.lookup.Nodes(ctx, c.lookupds)
		for _, n := range all {
			if n.Impossible == "" {
				list = append(list, nodeOf(n.Identity))
			}
		}
	}
	var partial *lookup.PartialError
	if errors.As(err, &partial) && !partial.All() {
		err = nil // the others know enough
	}
	if err != nil {
		return nil, fmt.Errorf("no directory answers: %w", err)
	}
	return list, nil
}

func nodeOf(i lookup.Identity) node {
	http := address.Join(i.BroadcastAddress, i.HTTPPort)
	return node{Name: http, TCP: address.Join(i.BroadcastAddress, i.TCPPort), HTTP: http}
}

// follow tells a consumer when the directories may list other nodes for a topic.
func (c *cluster) follow(topic string) func(ctx context.Context, changed func()) {
	return func(ctx context.Context, changed func()) {
		c.lookup.Follow(ctx, c.lookupds, topic, false, changed)
	}
}
