package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"qmq/broker"
	"qmq/config"
	"qmq/internal/vfs"
	"qmq/server"
)

// QD is the program qd.
var QD = Program[config.QD]{
	Name:   "qd",
	Parse:  config.ParseQD,
	Usage:  config.UsageQD,
	Common: func(q config.QD) config.Common { return q.Common },
	Start:  startQD,
}

// qd is a node at work.
type qd struct {
	faces
	broker *broker.Broker
	tcp    *server.TCP
	http   *server.HTTP // nil when HTTP is off
}

// startQD opens the data directory and the listeners and serves. From then on,
// options that are changed have their effect.
func startQD(settings *config.Settings[config.QD], level *slog.LevelVar, log *slog.Logger) (_ Daemon, err error) {
	q := settings.Values()
	log.Info(fmt.Sprintf("ID: %d", q.NodeID))
	for _, text := range unavailable(settings) {
		log.Warn("not available in this version: " + text)
	}
	if err := unsafeWithout(settings); err != nil {
		return nil, err
	}
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
	d := &qd{faces: newFaces(log), broker: b, tcp: server.NewTCP(b, so)}
	d.serve("TCP", tcp, d.tcp.Serve)
	if web != nil {
		d.http = server.NewHTTP(b, d.tcp, so, ports)
		d.serve("HTTP", web, d.http.Serve)
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

// Stop ends everything in the order that loses nothing: first those who bring
// work, then the broker.
func (d *qd) Stop() error {
	errs := []error{d.tcp.Close()}
	if d.http != nil {
		errs = append(errs, closing(d.http))
	}
	return errors.Join(append(errs, d.broker.Close())...)
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
