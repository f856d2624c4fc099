package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qmq/internal/tcpclient"
	"qmq/internal/version"
)

// nodeSender publishes to nodes, many messages with one command.
type nodeSender struct{ producers []*tcpclient.Producer }

func (s *nodeSender) batches() bool { return true }

func (s *nodeSender) send(to int, topic string, bodies [][]byte, done func(int, time.Duration, error)) {
	start := time.Now()
	ack := s.producers[to].Publish(context.Background(), topic, bodies...)
	go func() {
		err := ack.Wait()
		took := time.Since(start)
		for i := range bodies {
			done(i, took, err)
		}
	}()
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
}

// httpSender makes a request for each message, so many at a time.
type httpSender struct {
	o      httpSending
	urls   []string
	client http.Client
	slots  chan struct{}
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

func (s *httpSender) send(to int, _ string, bodies [][]byte, done func(int, time.Duration, error)) {
	for i, body := range bodies {
		s.slots <- struct{}{}
		go func() {
			start := time.Now()
			err := s.one(s.urls[to], body)
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
