package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"qmq/admin"
	"qmq/admin/web"
	"qmq/config"
	"qmq/internal/address"
	"qmq/internal/apiclient"
)

// QAdmin is the program qadmin.
var QAdmin = Program[config.QAdmin]{
	Name:   "qadmin",
	Parse:  config.ParseQAdmin,
	Usage:  config.UsageQAdmin,
	Common: func(q config.QAdmin) config.Common { return q.Common },
	Start:  startQAdmin,
}

// qadmin is the view of a cluster at work.
type qadmin struct {
	listeners
	server  *admin.Server
	hangups *hangups
}

// startQAdmin opens the listener, asks the nodes and serves.
func startQAdmin(settings *config.Settings[config.QAdmin], level *slog.LevelVar, log *slog.Logger) (Daemon, error) {
	q := settings.Values()
	o, err := adminOptions(&q, log)
	if err != nil {
		return nil, err
	}
	credential, err := openSecret("http-client-auth-file", q.HTTPClientAuthFile, clientAuthorization, log)
	if err != nil {
		return nil, err
	}
	o.NodeCredential = nodeCredential(&q, credential)
	o.Config = settings
	certificate, err := openTLS(q.ServerTLS, log)
	if err != nil {
		return nil, err
	}
	server, err := admin.NewServer(o)
	if err != nil {
		return nil, err
	}
	web, err := listen(q.HTTPAddress)
	if err != nil {
		_ = closing(server) // it serves nobody yet
		return nil, err
	}
	settings.Observe(func(key string, now config.QAdmin) {
		switch key {
		case "log_level":
			level.Set(now.LogLevel.Level())
		case "nsqlookupd_http_addresses":
			server.SetLookupds(now.LookupdHTTPAddresses)
		}
	})
	d := &qadmin{listeners: newListeners(log), server: server}
	files := credential.reloads()
	if certificate != nil {
		files = append(files, reload{"certificate", certificate.Reload})
	}
	if q.UsersFile != "" {
		files = append(files, reload{"file of users", server.Reload})
	}
	d.hangups = followHangups(log, files...) // before scripts are told that it listens
	d.serveWeb(web, certificate, server.Serve)
	return d, nil
}

// Stop sends viewers away and ends the questions to nodes.
func (d *qadmin) Stop() error {
	defer d.hangups.close()
	return closing(d.server)
}

// adminOptions are the part of the options that is the server's.
func adminOptions(q *config.QAdmin, log *slog.Logger) (o admin.Options, err error) {
	o = admin.Options{
		Lookupds: q.LookupdHTTPAddresses, Nodes: q.NSQDHTTPAddresses,
		ConnectTimeout: q.HTTPClientConnectTimeout, RequestTimeout: q.HTTPClientRequestTimeout,
		Cluster: q.ClusterName, BasePath: q.BasePath, Hostname: q.Hostname,
		Peek: q.PagePeek, HistoryDir: q.HistoryDir,
		Sites:     sitesOf(&q.Common, slices.Concat([]string{q.Hostname, q.HTTPAddress}, q.LookupdHTTPAddresses, q.NSQDHTTPAddresses)...),
		ACLHeader: q.ACLHTTPHeader, Admins: q.AdminUsers, UsersFile: q.UsersFile,
		NotificationEndpoint: q.NotificationHTTPEndpoint,
		AlertWebhook:         q.AlertWebhook, PageURL: pageURL(q),
		ProxyGraphite: q.ProxyGraphite, StatsdInterval: q.StatsdInterval,
		Files: pageFiles(q.DevStaticDir), Logger: log,
	}
	for option, file := range map[string]string{"users-file": q.UsersFile, "http-client-tls-key": q.HTTPClientTLSKey} {
		if file != "" {
			warnReadable(option, file, log)
		}
	}
	if o.TLS, err = clientTLS(q); err != nil {
		return o, err
	}
	if q.AllowConfigFromCIDR != "" {
		o.AllowConfigFrom, err = netip.ParsePrefix(q.AllowConfigFromCIDR)
		if err != nil {
			return o, fmt.Errorf("failed to parse CIDR of allow-config-from-cidr - %w", err)
		}
	}
	for _, network := range q.ACLTrustedProxies {
		prefix, err := config.ParseNetwork(network)
		if err != nil {
			return o, fmt.Errorf("failed to parse acl-trusted-proxy - %w", err)
		}
		o.TrustedProxies = append(o.TrustedProxies, prefix)
	}
	if q.GraphiteURL != "" {
		if o.GraphiteURL, err = url.Parse(q.GraphiteURL); err != nil {
			return o, fmt.Errorf("failed to parse graphite-url - %w", err)
		}
	}
	return o, nil
}

// pageFiles are those of the page: from a directory while somebody works on it.
func pageFiles(directory string) fs.FS {
	if directory != "" {
		return os.DirFS(directory)
	}
	return web.Files()
}

// clientTLS is for questions to daemons that want https.
func clientTLS(q *config.QAdmin) (*tls.Config, error) {
	t := &tls.Config{InsecureSkipVerify: q.HTTPClientTLSInsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if q.HTTPClientTLSRootCAFile != "" {
		roots, err := os.ReadFile(q.HTTPClientTLSRootCAFile)
		if err != nil {
			return nil, fmt.Errorf("failed to read http-client-tls-root-ca-file - %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(roots) {
			return nil, fmt.Errorf("http-client-tls-root-ca-file %s holds no certificate", q.HTTPClientTLSRootCAFile)
		}
	}
	if q.HTTPClientTLSCert != "" {
		own, err := tls.LoadX509KeyPair(q.HTTPClientTLSCert, q.HTTPClientTLSKey)
		if err != nil {
			return nil, fmt.Errorf("failed to load http-client-tls-cert - %w", err)
		}
		t.Certificates = []tls.Certificate{own}
	}
	return t, nil
}

// nodeCredential is what is shown to nodes, and to which.
func nodeCredential(q *config.QAdmin, header *secret) apiclient.Credential {
	return apiclient.Credential{Header: header.now, For: hostsOf(q).has, Insecure: q.HTTPClientAuthInsecure}
}

// hosts are some by name or address, and networks of them.
type hosts struct {
	names    []string // in lower case, without brackets
	networks []netip.Prefix
}

// hostsOf are those that the credential is for: those that are named, or else
// the nodes that were given.
func hostsOf(q *config.QAdmin) (h hosts) {
	for _, text := range q.HTTPClientAuthFor {
		if network, err := config.ParseNetwork(address.Bare(text)); err == nil {
			h.networks = append(h.networks, network)
		} else {
			h.names = append(h.names, strings.ToLower(text))
		}
	}
	if len(q.HTTPClientAuthFor) == 0 {
		for _, node := range q.NSQDHTTPAddresses {
			if u, err := url.Parse(apiclient.URL(node, "/", nil)); err == nil {
				h.names = append(h.names, strings.ToLower(u.Hostname()))
			}
		}
	}
	return h
}

// has tells whether a host is one of them. A name is not looked up.
func (h hosts) has(host string) bool {
	if slices.Contains(h.names, strings.ToLower(host)) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.WithZone("").Unmap()
	return slices.ContainsFunc(h.networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// clientAuthorization is the header that the credential in a file makes.
func clientAuthorization(text string) (header string, err error) {
	fields := strings.Fields(text)
	if len(fields) == 2 && fields[0] == "bearer" {
		return "Bearer " + fields[1], nil
	}
	if len(fields) == 2 && fields[0] == "basic" && strings.Contains(fields[1], ":") {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(fields[1])), nil
	}
	return "", errors.New("must be one line, 'bearer TOKEN' or 'basic USER:PASSWORD'")
}

// pageURL is where people find the page: as configured, or by the host's name.
func pageURL(q *config.QAdmin) string {
	if q.PageURL != "" {
		return q.PageURL
	}
	u := url.URL{Scheme: "http", Host: q.Hostname, Path: q.BasePath}
	if q.TLSCert != "" {
		u.Scheme = "https"
	}
	if _, port, err := net.SplitHostPort(q.HTTPAddress); err == nil {
		u.Host = net.JoinHostPort(q.Hostname, port)
	}
	return u.String()
}
