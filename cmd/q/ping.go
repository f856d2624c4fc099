package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"qmq/internal/apiclient"
	"qmq/internal/certs"
)

// pingCommand is q ping. Containers use it as their health check: the image
// has no other program that speaks HTTP.
type pingCommand struct {
	Addresses []string      `arg:"" optional:"" name:"address" help:"HTTP address of a daemon, such as 127.0.0.1:4151 or https://q.example:4152. Default: those of --http-addr."`
	HTTPAddr  []string      `name:"http-addr" env:"Q_HTTP_ADDR" group:"reach" placeholder:"ADDRESS" help:"HTTP address of a daemon, where none is an argument. May be repeated. Default: 127.0.0.1:4151."`
	Roots     string        `name:"tls-root-ca-file" type:"existingfile" placeholder:"FILE" help:"Roots for the daemons' certificates (PEM). Default: those of the system."`
	Cert      string        `name:"tls-cert" type:"existingfile" placeholder:"FILE" and:"pair" help:"Certificate to show daemons that want one (PEM)."`
	Key       string        `name:"tls-key" type:"existingfile" placeholder:"FILE" and:"pair" help:"Its key (PEM)."`
	Timeout   time.Duration `default:"2s" help:"How long to wait for each answer."`
}

// Run fails unless all daemons answer OK.
func (p *pingCommand) Run(c console) error {
	roots, err := certs.Roots(p.Roots)
	if err != nil {
		return err
	}
	shown := tls.Config{RootCAs: roots}
	if p.Cert != "" {
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return err
		}
		shown.Certificates = []tls.Certificate{pair}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &shown, DisableKeepAlives: true}}
	var errs []error
	for _, address := range p.addresses() {
		start := time.Now()
		if err := p.ping(&client, address); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
			continue
		}
		fmt.Fprintf(c.out, "%s: OK (%s)\n", address, time.Since(start).Round(time.Microsecond))
	}
	return errors.Join(errs...)
}

// addresses are whom to ask.
func (p *pingCommand) addresses() []string {
	switch {
	case len(p.Addresses) > 0:
		return p.Addresses
	case len(p.HTTPAddr) > 0:
		return p.HTTPAddr
	}
	return []string{usualHTTP}
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 10

func (p *pingCommand) ping(client *http.Client, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.Timeout)
	defer cancel()
	if !strings.Contains(address, "://") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("the address must be host:port or a URL: %w", err)
		}
		address = "http://" + address
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/ping", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return apiclient.Explain(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
