// Package apiclient makes single HTTP requests to the API of a daemon, ours or
// NSQ's: it knows the envelope of answers, refusals and old versions. What the
// answers mean is its callers' business. It has no goroutine of its own beyond
// those of kept connections, which Close ends.
package apiclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qmq/internal/address"
)

// Options configure a client.
type Options struct {
	// ConnectTimeout is for a new connection, RequestTimeout for a request from
	// its start to the last byte of its answer; 0: no limit.
	ConnectTimeout, RequestTimeout time.Duration
	TLS                            *tls.Config // for https; nil: Go's defaults
	UserAgent                      string      // empty: Go's
	Credential                     Credential  // shown to those whom it is for
	Accounts                       *Accounts   // of single hosts; nil: none
	PostsJSON                      bool        // bodies are JSON, and are said to be
	NamesNobody                    bool        // errors have no URL: callers say whom they asked
	// NeverWrapped is for servers that have no business to put around their
	// answers what daemons did before version 1.0.
	NeverWrapped bool
	// FollowRedirects is for servers that are not ours: no daemon sends anybody
	// elsewhere for an answer.
	FollowRedirects bool
	// MaxAnswer is the longest answer in bytes; 0: 64 MiB.
	MaxAnswer int64
	// MaxConnections to one address at a time, beyond which requests wait for
	// one another; 0: 16.
	MaxConnections int
}

const (
	defaultMaxAnswer      = 64 << 20
	defaultMaxConnections = 16
	idleTimeout           = 90 * time.Second
	shownBody             = 1 << 10 // bytes of a refusal that an error keeps
)

// Client makes requests and keeps connections for the next ones. Its methods
// may be called concurrently.
type Client struct {
	o         Options
	http      http.Client
	transport *http.Transport
	secure    upgrades
}

// New makes a client. It connects when it is asked something.
func New(o Options) *Client {
	if o.MaxAnswer == 0 {
		o.MaxAnswer = defaultMaxAnswer
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultMaxConnections
	}
	c := &Client{o: o, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: o.ConnectTimeout}).DialContext,
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: o.RequestTimeout,
		MaxConnsPerHost:     o.MaxConnections,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     idleTimeout,
	}}
	c.http = http.Client{Transport: c.transport}
	if !o.FollowRedirects {
		c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c
}

// Close ends the connections that are kept. Requests under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// StatusError is an answer other than 200.
type StatusError struct {
	Code   int
	Status string // with the code: "404 Not Found"
	Body   []byte // its beginning
}

func (e *StatusError) Error() string { return fmt.Sprintf("got response %s %q", e.Status, e.Body) }

// Refusal is what a daemon says of a request that it refuses: the code of it, and a sentence, if
// it has one. It is ok if err is that of a daemon that says anything.
func Refusal(err error) (code, why string, ok bool) {
	var refused *StatusError
	var answer struct{ Message, Why, Allowed string }
	if !errors.As(err, &refused) || json.Unmarshal(refused.Body, &answer) != nil || answer.Message == "" {
		return "", "", false
	}
	switch {
	case answer.Allowed == "":
	case answer.Why == "":
		answer.Why = "allowed is " + answer.Allowed
	default:
		answer.Why += ": allowed is " + answer.Allowed
	}
	return answer.Message, answer.Why, true
}

// URL is the address of a route, made of its parts. The address of the daemon is
// host:port, or a URL that somebody here has chosen; query may be nil. Daemons
// tell one another hosts and ports: what of it is neither makes no URL but an
// empty string, which no client asks for.
func URL(at, path string, query url.Values) string {
	u := &url.URL{Scheme: "http", Host: at}
	if strings.Contains(at, "://") {
		var err error
		if u, err = url.Parse(at); err != nil || u.Host == "" {
			return ""
		}
	} else if host, port, err := net.SplitHostPort(at); err != nil || host != "" && !address.ValidHost(host) || !address.ValidPort(port) {
		return ""
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = strings.TrimSuffix(u.Path, "/")+path, "", query.Encode(), ""
	return u.String()
}

// errAddress is the mistake behind an empty URL.
var errAddress = errors.New("the address is no host:port that can be asked")

// Get asks for a URL. See [Client.Do].
func (c *Client) Get(ctx context.Context, url string, into any) error {
	return c.Do(ctx, http.MethodGet, url, nil, into)
}

// Post posts to a URL. See [Client.Do].
func (c *Client) Post(ctx context.Context, url string, body []byte, into any) error {
	return c.Do(ctx, http.MethodPost, url, body, into)
}

// Do makes one request. The answer goes where into points: the bytes as they
// are for a *[]byte, decoded JSON for anything else; nil drops it. A daemon that
// answers only to TLS says so and is asked there, this time and from then on. The
// error is a *[StatusError] when the daemon refused.
func (c *Client) Do(ctx context.Context, method, url string, body []byte, into any) error {
	if url == "" {
		return errAddress
	}
	if c.o.RequestTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.RequestTimeout)
		defer cancel()
	}
	url = c.o.Accounts.with(url)
	at := c.o.Accounts.with(c.secure.of(url))
	a, err := c.ask(ctx, method, at, body)
	if err == nil && at == url {
		if secure, ok := secureURL(url, a); ok {
			c.secure.remember(url, secure)
			a, err = c.ask(ctx, method, c.o.Accounts.with(secure), body)
		}
	}
	if err != nil {
		if isDial(err) {
			c.secure.forget(url) // it may be another daemon by now
		}
		return err
	}
	return a.decode(into)
}

// isDial tells whether nobody was there to be asked.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// answer is what came back, whole.
type answer struct {
	code    int
	status  string
	wrapped bool // as before version 1.0
	body    []byte
	kept    string // why the credential was not shown; empty: it was, or there is none
}

// Copy asks for a URL and writes the answer to w as it comes, however long it is and
// takes. It tells how much it has written. The error is a *[StatusError] when the daemon
// refused.
func (c *Client) Copy(ctx context.Context, url string, w io.Writer) (n int64, err error) {
	if url == "" {
		return 0, errAddress
	}
	url = c.o.Accounts.with(url)
	resp, kept, err := c.send(ctx, http.MethodGet, c.o.Accounts.with(c.secure.of(url)), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return io.Copy(w, resp.Body)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, shownBody))
	if err != nil {
		return 0, err
	}
	return 0, (&answer{code: resp.StatusCode, status: resp.Status, body: text, kept: kept}).decode(nil)
}

// send makes a request. Kept is why the credential was not shown.
func (c *Client) send(ctx context.Context, method, url string, body []byte) (resp *http.Response, kept string, err error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Accept", "application/vnd.nsq; version=1.0")
	if body != nil && c.o.PostsJSON {
		r.Header.Set("Content-Type", "application/json")
	}
	if header := c.o.Credential.now(); header != "" {
		if kept = c.o.Credential.keptFrom(r.URL, c.o.TLS); kept == "" {
			r.Header.Set("Authorization", header)
		}
	}
	if c.o.UserAgent != "" {
		r.Header.Set("User-Agent", c.o.UserAgent)
	}
	resp, err = c.http.Do(r)
	if c.o.NamesNobody {
		err = withoutURL(err)
	}
	return resp, kept, Explain(err)
}

// withoutURL is an error without the method and URL that net/http puts in front.
func withoutURL(err error) error {
	var of *url.Error
	switch {
	case !errors.As(err, &of):
		return err
	case of.Timeout():
		return fmt.Errorf("no answer in time: %w", of.Err)
	}
	return of.Err
}

// ask makes a request and reads the answer.
func (c *Client) ask(ctx context.Context, method, url string, body []byte) (*answer, error) {
	resp, kept, err := c.send(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, c.o.MaxAnswer+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > c.o.MaxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", c.o.MaxAnswer)
	}
	wrapped := !c.o.NeverWrapped && resp.Header.Get("X-NSQ-Content-Type") != "nsq; version=1.0"
	return &answer{code: resp.StatusCode, status: resp.Status, wrapped: wrapped, body: text, kept: kept}, nil
}

// errTCPPort is the reason behind an answer that is no HTTP.
var errTCPPort = errors.New("this is a TCP port of the message protocol; HTTP is at another one, by default 4151 beside 4150 and 4161 beside 4160")

// Explain puts the likely reason in front of an error of net/http where that
// says only what it saw: a TCP port of a daemon was asked over HTTP.
func Explain(err error) error {
	if err == nil || !strings.Contains(err.Error(), "malformed HTTP response") || !strings.Contains(err.Error(), "E_BAD_PROTOCOL") {
		return err
	}
	return fmt.Errorf("%w: %w", errTCPPort, err)
}

func (a *answer) decode(into any) error {
	if a.code != http.StatusOK {
		refused := &StatusError{Code: a.code, Status: a.status, Body: a.body[:min(len(a.body), shownBody)]}
		if a.kept != "" && (a.code == http.StatusUnauthorized || a.code == http.StatusForbidden) {
			return fmt.Errorf("%w; the credential is kept back: %s", refused, a.kept)
		}
		return refused
	}
	switch into := into.(type) {
	case nil:
		return nil
	case *[]byte:
		*into = a.body
		return nil
	}
	text := a.body
	if a.wrapped {
		var err error
		if text, err = unwrap(text); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("the answer cannot be understood: %w", err)
	}
	return nil
}

// unwrap takes the object out of what daemons before version 1.0 put around
// it. What is not wrapped stays as it is.
func unwrap(text []byte) ([]byte, error) {
	var old struct {
		Code *int            `json:"status_code"`
		Text string          `json:"status_txt"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(text, &old) != nil || old.Code == nil {
		return text, nil
	}
	if *old.Code != http.StatusOK {
		return nil, &StatusError{Code: *old.Code, Status: strconv.Itoa(*old.Code), Body: []byte(old.Text)}
	}
	return old.Data, nil
}

// IsStatus tells whether err is a refusal with that status code.
func IsStatus(err error, code int) bool {
	var refused *StatusError
	return errors.As(err, &refused) && refused.Code == code
}
