package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"qmq/broker"
	"qmq/config"
	"qmq/internal/vfs"
	"qmq/server"
)

// daemon is what runs between start and stop.
type daemon struct {
	broker *broker.Broker
	tcp    *server.TCP
	http   *server.HTTP // nil when HTTP is off
	failed chan error   // a listener failed for good
}

// startDaemon opens the data directory and the listeners and serves. From then
// on, options that are changed have their effect.
func startDaemon(settings *config.Settings[config.QD], level *slog.LevelVar, log *slog.Logger) (d *daemon, err error) {
	q := settings.Values()
	b, err := broker.Open(brokerOptions(&q, log))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	tcp, err := listen(q.TCPAddress)
	if err != nil {
		return nil, err
	}
	var web net.Listener
	ports := server.Ports{TCP: server.PortOf(tcp.Addr()), HTTP: -1}
	if q.HTTPAddress != "" {
		if web, err = listen(q.HTTPAddress); err != nil {
			tcp.Close()
			return nil, err
		}
		ports.HTTP = server.PortOf(web.Addr())
	}
	settings.Adjust(func(q *config.QD) { q.Listening(ports.TCP, ports.HTTP) })
	settings.Observe(observe(level, log))

	so := serverOptions(&q, log)
	so.Config = settings
	d = &daemon{broker: b, tcp: server.NewTCP(b, so), failed: make(chan error, 2)}
	log.Info("TCP: listening on " + tcp.Addr().String())
	go d.serve(d.tcp.Serve, tcp)
	if web != nil {
		d.http = server.NewHTTP(b, d.tcp, so, ports)
		log.Info("HTTP: listening on " + web.Addr().String())
		go d.serve(d.http.Serve, web)
	}
	return d, nil
}

// observe gives options that are changed while qd runs their effect.
func observe(level *slog.LevelVar, log *slog.Logger) func(key string, now config.QD) {
	return func(key string, now config.QD) {
		switch key {
		case "log_level":
			level.Set(now.LogLevel.Level())
		case "nsqlookupd_tcp_addresses":
			if len(now.LookupdTCPAddresses) > 0 {
				log.Warn("not available in this version: " + key + " (discovery)")
			}
		}
	}
}

func (d *daemon) serve(serve func(net.Listener) error, l net.Listener) {
	if err := serve(l); err != nil {
		d.failed <- err
	}
}

// How long requests under way may take at the end.
const closeHTTP = 2 * time.Second

// stop ends everything in the order that loses nothing: first those who bring
// work, then the broker.
func (d *daemon) stop() error {
	errs := []error{d.tcp.Close()}
	if d.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeHTTP)
		defer cancel()
		errs = append(errs, d.http.Close(ctx))
	}
	return errors.Join(append(errs, d.broker.Close())...)
}

// listen opens a TCP listener, or one on a unix socket for what is no
// host:port.
func listen(address string) (net.Listener, error) {
	network := "tcp"
	if _, _, err := net.SplitHostPort(address); err != nil {
		network = "unix"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen (%s) failed - %w", address, err)
	}
	return l, nil
}

// brokerOptions are the part of the options that is the broker's.
func brokerOptions(q *config.QD, log *slog.Logger) broker.Options {
	dir := q.DataPath
	if dir == "" {
		dir = "."
	}
	return broker.Options{
		FS:                  vfs.OS,
		DataPath:            dir,
		NodeID:              uint16(q.NodeID),
		SegmentBytes:        q.MaxBytesPerFile,
		HotBytes:            q.MemQueueBytes,
		MemQueueSize:        q.MemQueueSize,
		SyncEvery:           q.SyncEvery,
		SyncTimeout:         q.SyncTimeout,
		MaxMsgTimeout:       q.MaxMsgTimeout,
		MaxReqTimeout:       q.MaxReqTimeout,
		MaxChannelConsumers: q.MaxChannelConsumers,
		Logger:              log,
	}
}

// serverOptions are the part of the options that is the sessions' and the
// API's.
func serverOptions(q *config.QD, log *slog.Logger) server.Options {
	s := server.DefaultOptions()
	s.MaxMsgSize = q.MaxMsgSize
	s.MaxBodySize = q.MaxBodySize
	s.MaxReqTimeout = q.MaxReqTimeout
	s.MsgTimeout = q.MsgTimeout
	s.MaxMsgTimeout = q.MaxMsgTimeout
	s.MaxHeartbeatInterval = q.MaxHeartbeatInterval
	s.MaxRdyCount = q.MaxRdyCount
	s.MaxChannelConsumers = q.MaxChannelConsumers
	s.MaxOutputBufferSize = q.MaxOutputBufferSize
	s.OutputBufferTimeout = q.OutputBufferTimeout
	s.MinOutputBufferTimeout = q.MinOutputBufferTimeout
	s.MaxOutputBufferTimeout = q.MaxOutputBufferTimeout
	s.BroadcastAddress = q.BroadcastAddress
	s.Hostname = q.Hostname
	s.Logger = log
	return s
}
