package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/internal/tcpclient"
	"qmq/internal/version"
)

// nodeSender publishes to nodes, many messages with one command.
type nodeSender struct {
	producers []*tcpclient.Producer
	log       *slog.Logger
	plain     []sync.Once // by producer: it is told once that its node takes no headers
}

func (s *nodeSender) batches() bool { return true }

func (s *nodeSender) send(to int, topic string, messages []tcpclient.Outgoing, done func(int, time.Duration, error)) {
	start := time.Now()
	ack, err := s.publish(to, topic, messages)
	go func() {
		if err == nil {
			err = ack.Wait()
		}
		took := time.Since(start)
		for i := range messages {
			done(i, took, err)
		}
	}()
}

// publish sends messages with their headers, or without where the node takes none. The error
// means that nothing was sent.
func (s *nodeSender) publish(to int, topic string, messages []tcpclient.Outgoing) (*tcpclient.Ack, error) {
	ctx, p := context.Background(), s.producers[to]
	if slices.ContainsFunc(messages, func(m tcpclient.Outgoing) bool { return len(m.Headers) > 0 }) {
		takes, err := p.TakesHeaders(ctx)
		if err != nil {
			return nil, err
		}
		if takes {
			return p.PublishHeaded(ctx, topic, 0, messages...), nil
		}
		s.plain[to].Do(func() { s.log.Warn("messages go without their headers: the node takes none", "node", p.Address()) })
	}
	bodies := make([][]byte, len(messages))
	for i := range messages {
		bodies[i] = messages[i].Body
	}
	return p.Publish(ctx, topic, bodies...), nil
}

func (s *nodeSender) close() {
	for _, p := range s.producers {
		p.Close()
	}
}

// httpSending is how requests are made.
type httpSending struct {
	method           string // empty: GET for a URL with %s, POST for others
	headers          http.Header
	contentType      string
	finish           map[string]bool // by status or class of it: whether that is well
	tls              *tls.Config
	connect, request time.Duration
	concurrency      int
	log              *slog.Logger
}

// httpSender makes a request for each message, so many at a time.
type httpSender struct {
	o      httpSending
	urls   []string
	client http.Client
	slots  chan struct{}
	plain  sync.Once // it is told once that headers are left out
}

func newHTTPSender(urls []string, o httpSending) *httpSender {
	return &httpSender{o: o, urls: urls, slots: make(chan struct{}, o.concurrency), client: http.Client{
		Timeout: o.request,
		Transport: &http.Transport{
			DialContext:     (&net.Dialer{Timeout: o.connect}).DialContext,
			TLSClientConfig: o.tls, TLSHandshakeTimeout: o.connect,
			MaxIdleConnsPerHost: o.concurrency, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (s *httpSender) close() { s.client.CloseIdleConnections() }

func (s *httpSender) batches() bool { return false }

func (s *httpSender) send(to int, _ string, messages []tcpclient.Outgoing, done func(int, time.Duration, error)) {
	for i, m := range messages {
		if len(m.Headers) > 0 {
			s.plain.Do(func() { s.o.log.Warn("messages go without their headers: requests have those of --header alone") })
		}
		s.slots <- struct{}{}
		go func() {
			start := time.Now()
			err := s.one(s.urls[to], m.Body)
			<-s.slots
			done(i, time.Since(start), err)
		}()
	}
}

// one makes the request for one message.
func (s *httpSender) one(at string, body []byte) error {
	method, get := s.o.method, strings.Contains(at, "%s")
	if get {
		at = strings.Replace(at, "%s", url.QueryEscape(string(body)), 1)
	}
	if method == "" {
		method = http.MethodPost
		if get {
			method = http.MethodGet
		}
	}
	var content io.Reader
	if !get && method != http.MethodGet {
		content = bytes.NewReader(body)
	}
	request, err := http.NewRequest(method, at, content)
	if err != nil {
		return err
	}
	request.Header = s.o.headers.Clone()
	if content != nil && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", s.o.contentType)
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "q/"+version.Number)
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // so that the connection can be used again
	if !s.well(response.StatusCode) {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	return nil
}

// well tells whether a status means that the message has arrived.
func (s *httpSender) well(status int) bool {
	text := strconv.Itoa(status)
	if finish, ok := s.o.finish[text]; ok {
		return finish
	}
	return s.o.finish[text[:1]+"xx"]
}
