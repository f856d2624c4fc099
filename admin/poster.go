package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
)

// maxPosts wait for a slow endpoint; more are dropped, with a line in the log.
const maxPosts = 1000

// poster posts JSON to an endpoint, one at a time, without retry. Its goroutine
// ends with stop; without an endpoint there is none. Its methods may be called
// concurrently.
type poster struct {
	what     string // it posts, for the log
	endpoint string // empty: nothing is posted
	client   *http.Client
	log      *slog.Logger
	queue    chan any
	ctx      context.Context
	cancel   context.CancelFunc
	ended    chan struct{}
}

func startPoster(o *Options, what, endpoint string) *poster {
	dialer := &net.Dialer{Timeout: o.ConnectTimeout}
	p := &poster{what: what, endpoint: endpoint, log: o.Logger, queue: make(chan any, maxPosts), ended: make(chan struct{}), client: &http.Client{
		Timeout:   o.RequestTimeout,
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: o.TLS},
	}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if endpoint == "" {
		close(p.ended)
		return p
	}
	go p.run()
	return p
}

func (p *poster) run() {
	defer close(p.ended)
	for {
		select {
		case <-p.ctx.Done():
			return
		case v := <-p.queue:
			if err := p.post(v); err != nil {
				p.log.Error(p.what+" not reported", slog.String("endpoint", p.endpoint), slog.String("error", reason(err)))
			}
		}
	}
}

func (p *poster) post(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("got response %s", answer.Status)
	}
	return nil
}

// send has v posted after what waits already. It waits for nothing.
func (p *poster) send(v any) {
	if p.endpoint == "" {
		return
	}
	select {
	case p.queue <- v:
	default:
		p.log.Error(p.what+" not reported: the endpoint is too slow", slog.String("endpoint", p.endpoint))
	}
}

func (p *poster) stop() {
	p.cancel()
	<-p.ended
	p.client.CloseIdleConnections()
}
