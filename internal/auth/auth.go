// Package auth asks the auth servers of NSQ what a client may do, and decides
// by their answers. It keeps nothing of its own: who asked keeps the grant. It
// has no goroutine.
package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qmq/internal/apiclient"
	"qmq/internal/redact"
)

// Options configure a client.
type Options struct {
	// Addresses of the auth servers: host:port, or URLs with any path.
	Addresses []string
	Post      bool // ask with POST and a JSON body instead of GET
	HTTP      apiclient.Options
	Logger    *slog.Logger
}

// maxAnswer is the longest answer of an auth server in bytes.
const maxAnswer = 1 << 20

// Client asks auth servers. Its methods may be called concurrently.
type Client struct {
	o   Options
	api *apiclient.Client
}

// New makes a client. It connects when it is asked something.
func New(o Options) *Client {
	o.HTTP.MaxAnswer = maxAnswer
	o.HTTP.PostsJSON = true
	o.HTTP.FollowRedirects = true
	o.HTTP.NeverWrapped = true
	return &Client{o: o, api: apiclient.New(o.HTTP)}
}

// Close ends the connections that are kept.
func (c *Client) Close() { c.api.Close() }

// Request is what an auth server learns of a client.
type Request struct {
	RemoteIP   string // without port; empty for unix sockets
	TLS        bool
	CommonName string // of the client's certificate
	Secret     string
}

func (r *Request) values() url.Values {
	return url.Values{
		"remote_ip":   {r.RemoteIP},
		"tls":         {strconv.FormatBool(r.TLS)},
		"common_name": {r.CommonName},
		"secret":      {r.Secret},
	}
}

// ErrNoAnswer means that no auth server gave an answer that holds: a refusal
// is one too. The reasons are logged.
var ErrNoAnswer = errors.New("no auth server granted anything")

// Ask asks the servers, one after the other from a random one on, until one
// answers. The error is ErrNoAnswer or that of ctx.
func (c *Client) Ask(ctx context.Context, r Request) (*Grant, error) {
	first := rand.IntN(len(c.o.Addresses))
	for i := range c.o.Addresses {
		address := c.o.Addresses[(first+i)%len(c.o.Addresses)]
		g, err := c.askOne(ctx, address, &r)
		if err == nil {
			return g, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.o.Logger.Warn("auth server", slog.String("address", redact.URL(address)), slog.Any("error", withoutURL(err)))
	}
	return nil, ErrNoAnswer
}

func (c *Client) askOne(ctx context.Context, address string, r *Request) (*Grant, error) {
	endpoint := address
	if !strings.Contains(address, "://") {
		endpoint = "http://" + address + "/auth"
	}
	var a answer
	var err error
	if c.o.Post {
		var body []byte
		if body, err = json.Marshal(r.values()); err == nil {
			err = c.api.Post(ctx, endpoint, body, &a)
		}
	} else {
		join := "?"
		if strings.Contains(endpoint, "?") {
			join = "&"
		}
		err = c.api.Get(ctx, endpoint+join+r.values().Encode(), &a)
	}
	if err != nil {
		return nil, err
	}
	return a.grant(time.Now())
}

// withoutURL takes the URL, in which the secret is, out of an error.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	return err
}
