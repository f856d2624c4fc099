package client

import (
	"context"
	"os"
	"sync"

	"qmq/internal/apiclient"
	"qmq/internal/nodeclient"
	"qmq/internal/tcpclient"
	"qmq/lookup"
)

// Client publishes and consumes. Its methods may be called concurrently.
type Client struct {
	o      Options
	lookup *lookup.Client
	api    *apiclient.Client
	nodes  *nodeclient.Client

	ctx     context.Context // done when Close begins
	stop    context.CancelFunc
	running sync.WaitGroup // what Close waits for; grows under mu while closed is false

	mu     sync.Mutex // guards what follows; held across no I/O
	closed bool
	at     map[string]*node  // by TCP address
	routes map[string]*route // by topic
	inbox  *inbox            // of requests; nil: there was none
}

// Open makes a client. It connects when it has something to do.
func Open(o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.defaults()
	c := &Client{o: o, at: make(map[string]*node), routes: make(map[string]*route)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	var accounts apiclient.Accounts
	for i, at := range c.o.Directories {
		if i == 0 {
			c.o.Directories = append([]string(nil), c.o.Directories...)
		}
		c.o.Directories[i] = accounts.Take(at)
	}
	c.lookup = lookup.NewClient(lookup.ClientOptions{ConnectTimeout: o.Dial, RequestTimeout: o.Dial, TLS: o.HTTPTLS, UserAgent: userAgent, Accounts: &accounts})
	c.api = apiclient.New(apiclient.Options{ConnectTimeout: o.Dial, RequestTimeout: o.Dial, TLS: o.HTTPTLS, UserAgent: userAgent})
	c.nodes = nodeclient.New(c.api)
	return c, nil
}

// Close ends all connections and goroutines of the client and waits for them. What is
// being published ends with an error, Consume and Reply return.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.mu.Lock()
	at := c.at
	c.at = nil
	c.mu.Unlock()
	for _, n := range at {
		n.producer.Close()
	}
	c.running.Wait()
	c.lookup.Close()
	c.api.Close()
}

// start has f run until Close, unless that has begun.
func (c *Client) start(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.running.Go(f)
	return nil
}

// until is ctx, which Close ends too.
func (c *Client) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// tcp are the options of connections.
func (c *Client) tcp() tcpclient.Options {
	name := c.o.Name
	if name == "" {
		name, _ = os.Hostname()
	}
	return tcpclient.Options{
		UserAgent: userAgent, ClientID: name, Hostname: name, TLS: c.o.TLS, Snappy: c.o.Snappy, Deflate: c.o.Deflate,
		Secret: c.o.Secret, DialTimeout: c.o.Dial, WriteTimeout: c.o.Dial,
	}
}
