// Command qd stores messages of topics and delivers them to the consumers of
// channels. It speaks NSQ's protocol and takes nsqd's flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"qmq/broker"
	"qmq/internal/vfs"
	"qmq/server"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // could not start, or could not store everything at the end
	exitUsage  = 2 // bad flags
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, signals))
}

// run is qd from its command line to its exit code. The first signal ends it
// in good order, a second one at once.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) (exit int) {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case o.showVersion:
		fmt.Fprintln(stdout, server.VersionString("qd"))
		return exitOK
	}
	log := newLogger(stderr, o.logPrefix, slog.Level(o.logLevel))
	log.Info(server.VersionString("qd"))
	log.Info(fmt.Sprintf("ID: %d", o.nodeID))
	for _, name := range o.without {
		log.Warn("flag has no effect", slog.String("flag", name))
	}

	d, err := startDaemon(o, log)
	if err != nil {
		log.Log(context.Background(), levelFatal, "failed to start qd - "+err.Error())
		return exitFailed
	}
	select {
	case s := <-signals:
		log.Info("stopping", slog.String("signal", s.String()))
	case err = <-d.failed:
		log.Error("a listener failed", slog.Any("error", err))
		exit = exitFailed
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	select {
	case err = <-stopped:
	case <-signals:
		err = errors.New("told twice to stop")
	}
	if err != nil {
		log.Error("not stopped in good order", slog.Any("error", err))
		return exitFailed
	}
	log.Info("bye")
	return exit
}

// daemon is what runs between start and stop.
type daemon struct {
	broker *broker.Broker
	tcp    *server.TCP
	http   *server.HTTP // nil when HTTP is off
	failed chan error   // a listener failed for good
}

// startDaemon opens the data directory and the listeners and serves.
func startDaemon(o *options, log *slog.Logger) (d *daemon, err error) {
	b, err := broker.Open(o.broker(log))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	tcp, err := listen(o.tcpAddress)
	if err != nil {
		return nil, err
	}
	var web net.Listener
	ports := server.Ports{TCP: server.PortOf(tcp.Addr()), HTTP: -1}
	if o.httpAddress != "" {
		if web, err = listen(o.httpAddress); err != nil {
			tcp.Close()
			return nil, err
		}
		ports.HTTP = server.PortOf(web.Addr())
	}

	so := o.server(log)
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

// broker is the part of the options that is the broker's.
func (o *options) broker(log *slog.Logger) broker.Options {
	dir := o.dataPath
	if dir == "" {
		dir = "."
	}
	return broker.Options{
		FS:                  vfs.OS,
		DataPath:            dir,
		NodeID:              uint16(o.nodeID),
		SegmentBytes:        o.maxBytesPerFile,
		HotBytes:            o.memQueueBytes,
		MemQueueSize:        int(o.memQueueSize),
		SyncEvery:           o.syncEvery,
		SyncTimeout:         o.syncTimeout,
		MaxMsgTimeout:       o.maxMsgTimeout,
		MaxReqTimeout:       o.maxReqTimeout,
		MaxChannelConsumers: o.maxChannelConsumers,
		Logger:              log,
	}
}

// server is the part of the options that is the sessions' and the API's.
func (o *options) server(log *slog.Logger) server.Options {
	s := server.DefaultOptions()
	s.MaxMsgSize = int(o.maxMsgSize)
	s.MaxBodySize = int(o.maxBodySize)
	s.MaxReqTimeout = o.maxReqTimeout
	s.MsgTimeout = o.msgTimeout
	s.MaxMsgTimeout = o.maxMsgTimeout
	s.MaxHeartbeatInterval = o.maxHeartbeatInterval
	s.MaxRdyCount = o.maxRdyCount
	s.MaxChannelConsumers = o.maxChannelConsumers
	s.MaxOutputBufferSize = int(o.maxOutputBufferSize)
	s.OutputBufferTimeout = o.outputBufferTimeout
	s.MinOutputBufferTimeout = o.minOutputBufferTimeout
	s.MaxOutputBufferTimeout = o.maxOutputBufferTimeout
	s.BroadcastAddress = o.broadcastAddress
	s.Hostname = o.hostname
	s.Logger = log
	return s
}
