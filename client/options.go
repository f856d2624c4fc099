package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"qmq/internal/address"
	"qmq/internal/apiclient"
	"qmq/internal/version"
)

// Options say where the nodes are and how they are connected to. Either Nodes or
// Directories are needed; all else may be left out.
type Options struct {
	// Nodes are TCP addresses (host:port), all of which take publishes.
	Nodes []string
	// Directories are HTTP addresses (host:port or URL) of qlookupd or nsqlookupd, which
	// know the nodes. One that answers is enough.
	Directories []string
	// HTTP are the HTTP addresses of Nodes, in any order; only [Client.Request] asks
	// there, whether there is anybody who replies. Directories know these themselves.
	HTTP []string

	TLS *tls.Config // of connections to nodes; nil: in clear
	// HTTPTLS is for directories, and the HTTP of nodes, that want https; nil: as TLS.
	HTTPTLS *tls.Config
	Secret  string        // for nodes that want one (AUTH)
	Snappy  bool          // compress
	Deflate int           // compress so, at a level of 1 to 9, without Snappy; 0: do not
	Name    string        // what nodes call this client; empty: the host's name
	Dial    time.Duration // how long a connection may take with its handshakes; 0: 5 s
	Logger  *slog.Logger  // of lost connections and the like; nil: nowhere

	// Patience is how long a publish is tried; 0: 10 s. A context may end it earlier.
	Patience time.Duration
	// Replicated says that the topics are those of one set, any node of which knows the
	// doubles of all.
	Replicated bool
	// Duplicates sends publishes whose answer was lost again: a message may be stored
	// twice.
	Duplicates bool
}

const (
	defaultPatience = 10 * time.Second
	defaultDial     = 5 * time.Second
)

// check says what is wrong with the options.
func (o *Options) check() error {
	switch {
	case len(o.Nodes) > 0 && len(o.Directories) > 0:
		return errors.New("options Nodes and Directories exclude each other: either directories name the nodes or you do")
	case len(o.Nodes)+len(o.Directories) == 0:
		return errors.New("neither Nodes nor Directories are given: one of them says where to connect")
	case o.Deflate < 0 || o.Deflate > 9 || o.Deflate > 0 && o.Snappy:
		return errors.New("option Deflate is a level of 1 to 9, and goes without Snappy")
	case o.Patience < 0 || o.Dial < 0:
		return errors.New("options Patience and Dial cannot be negative")
	}
	for _, at := range o.Directories {
		if apiclient.URL(at, "/", nil) == "" {
			return fmt.Errorf("directory %q: it must be host:port, such as 127.0.0.1:4161, or a URL", at)
		}
	}
	for _, at := range o.Nodes {
		if _, port, err := net.SplitHostPort(at); err != nil || !address.ValidPort(port) {
			return fmt.Errorf("node %q: it must be host:port, such as 127.0.0.1:4150", at)
		}
	}
	return nil
}

func (o *Options) defaults() {
	if o.HTTPTLS == nil {
		o.HTTPTLS = o.TLS
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Dial == 0 {
		o.Dial = defaultDial
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

const userAgent = "qmq-client/" + version.Number
