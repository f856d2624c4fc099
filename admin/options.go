package admin

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"qmq/internal/apiclient"
	"qmq/internal/httpapi"
	"qmq/internal/version"
)

// Options configure a Server.
type Options struct {
	// Lookupds are the HTTP addresses of directories, Nodes those of qd or nsqd:
	// one of the two is empty. Lookupds may change; see [Server.SetLookupds].
	Lookupds, Nodes []string

	ConnectTimeout, RequestTimeout time.Duration // of questions to them
	TLS                            *tls.Config   // for those that want https; nil: Go's defaults
	// NodeCredential is for nodes whose HTTP API is closed. Directories do not get
	// it.
	NodeCredential apiclient.Credential

	Cluster  string // its name, for people; may be empty
	BasePath string // begins with a slash; "/" for none
	Hostname string // of this machine

	// Who may change things: everybody if there are neither users nor admins;
	// else those that the file of users calls admin, or, without such a file,
	// those whom the header ACLHeader names.
	ACLHeader string
	Admins    []string
	UsersFile string
	// TrustedProxies are where proxies are whose headers count, ACLHeader and
	// X-Forwarded-For; none: ACLHeader counts whoever sends it.
	TrustedProxies []netip.Prefix

	// AllowConfigFrom is the network from which /config may be used; an invalid
	// one: every network.
	AllowConfigFrom netip.Prefix
	Peek            bool           // everybody may look at messages
	Sites           httpapi.Sites  // which web pages may use the API
	Config          httpapi.Config // nil: no /config

	NotificationEndpoint string // URL; empty: none is told
	AlertWebhook         string // URL that is told of lines of attention; empty: none is
	PageURL              string // of the page, for links to it

	GraphiteURL    *url.URL // nil: no graphite
	ProxyGraphite  bool
	StatsdInterval time.Duration

	Files fs.FS // the page, with index.html and what it needs

	HistoryBytes int    // memory for history; 0: 256 MiB
	HistoryDir   string // where history is kept for seven days; empty: nowhere
	MaxViewers   int    // streams at a time, of which one address has a quarter at most; 0: 100
	Logger       *slog.Logger
}

const (
	defaultHistoryBytes = 256 << 20
	defaultMaxViewers   = 100
)

func (o *Options) setDefaults() {
	if o.HistoryBytes == 0 {
		o.HistoryBytes = defaultHistoryBytes
	}
	if o.MaxViewers == 0 {
		o.MaxViewers = defaultMaxViewers
	}
	if o.BasePath == "" {
		o.BasePath = "/"
	}
	if o.StatsdInterval <= 0 {
		o.StatsdInterval = time.Minute
	}
}

func (o *Options) userAgent() string { return "qadmin/" + version.Number }
