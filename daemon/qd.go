package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"qmq/api"
	"qmq/broker"
	"qmq/cluster"
	"qmq/config"
	"qmq/internal/acceptloop"
	"qmq/internal/budget"
	"qmq/internal/tracing"
	"qmq/internal/vfs"
	"qmq/lookup"
	"qmq/server"
)

// QD is the program qd.
var QD = Program[config.QD]{
	Name:    "qd",
	Parse:   config.ParseQD,
	Usage:   config.UsageQD,
	Common:  func(q config.QD) config.Common { return q.Common },
	Start:   startQD,
	Instead: previewImport,
	Coarse:  func(q config.QD) bool { return len(q.ClusterPeers) > 0 },
}

// qd is a node at work.
type qd struct {
	listeners
	announcer *lookup.Announcer
	client    *lookup.Client // of the announcer
	broker    *broker.Broker
	tcp       *server.TCP
	http      *api.HTTP
	statsd    *api.Statsd  // nil when it is off
	set       *cluster.Set // nil: the node is in none
	security  *security
	tracer    *tracing.Tracer // nil: nothing is traced
	drain     *drain
	onTerm    config.SigTerm
	// Of the last SIGTERM that it was drained for, when that was and until when it was
	// to be drained; both are of DrainFor alone.
	term, termUntil time.Time
}

// startQD opens the data directory and the listeners and serves. From then on,
// options that are changed have their effect.
func startQD(settings *config.Settings[config.QD], level *slog.LevelVar, log *slog.Logger) (_ Daemon, err error) {
	q := settings.Values()
	log.Info(fmt.Sprintf("ID: %d", q.NodeID))
	warnOpen(q.DataPath, log)
	security, err := openSecurity(&q, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			security.close()
		}
	}()
	if err := importNSQ(&q, log); err != nil {
		return nil, err
	}
	announcer, client := newAnnouncer(&q, security.roots, security.secret, log)
	b, set, err := openBroker(&q, security, announcer, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			announcer.Close()
			err = errors.Join(err, closeBroker(b, set))
		}
	}()
	l, err := openSockets(&q)
	if err != nil {
		return nil, err
	}
	ports := l.ports()
	settings.Adjust(func(q *config.QD) { q.Listening(ports.TCP, ports.HTTP) })
	settings.Observe(observe(level, announcer))
	q = settings.Values()
	announcer.Tell(takingOf(b))
	announcer.Start(identity(&q), q.LookupdTCPAddresses) // before there can be a new topic, which asks it
	if set != nil {
		if err := set.Start(hostOf(b, &q, announcer)); err != nil {
			l.close()
			return nil, err
		}
	}

	tracer, err := openTracer(&q, log)
	if err != nil {
		l.close()
		return nil, err
	}
	tellDoors(&q, log)
	so := serverOptions(&q, log)
	so.Tracer = tracer
	security.guardSessions(&q, &so)
	tcp := server.NewTCP(b, so)
	ao := apiOptions(&q, &so)
	ao.Ports, ao.Config = ports, settings
	security.guardAPI(&q, &ao)
	if set != nil {
		ao.Cluster, ao.Others = set, set
		ao.ReplicaSet = func() api.SetFigures { return setFigures(set.Status(), set.Counts()) }
	}
	drain := newDrain(b, set, q.DrainTimeout, log)
	ao.Drain, ao.Directories = drain, announcer
	d := &qd{drain: drain, onTerm: q.SigTerm, listeners: newListeners(log), announcer: announcer, client: client, broker: b, set: set, tcp: tcp, security: security, tracer: tracer}
	d.serveAll(&l, so.TLS, ao, &q)
	return d, nil
}

// serveAll serves clients on the sockets.
func (d *qd) serveAll(l *sockets, secured *tls.Config, o api.Options, q *config.QD) {
	figures := api.NewFigures(d.broker, d.tcp, q.E2ELatencyPercentiles)
	d.serve("TCP", l.tcp, d.tcp.Serve)
	d.http = api.NewHTTP(figures, o)
	if d.set != nil {
		d.set.SetLeased(d.http.Leases().Answered)
	}
	if l.http != nil {
		d.serve("HTTP", l.http, d.http.Serve)
	}
	if l.https != nil {
		d.serve("HTTPS", tls.NewListener(l.https, secured), d.http.Serve)
	}
	if q.StatsdAddress != "" {
		d.statsd = api.NewStatsd(figures, statsdOptions(q, o.Logger))
	}
}

// observe gives options that are changed while qd runs their effect.
func observe(level *slog.LevelVar, announcer *lookup.Announcer) func(key string, now config.QD) {
	return func(key string, now config.QD) {
		switch key {
		case "log_level":
			level.Set(now.LogLevel.Level())
		case "nsqlookupd_tcp_addresses":
			announcer.SetAddresses(now.LookupdTCPAddresses)
		}
	}
}

// Stop ends everything in the order that loses nothing: first those who bring
// work, then the broker.
func (d *qd) Stop() error {
	d.drain.close()
	d.announcer.Close() // nobody new is to come
	defer d.client.Close()
	defer d.security.close()
	if d.statsd != nil {
		d.statsd.Close()
	}
	if d.set != nil {
		d.set.Yield() // while its clients are still here: others serve them at once
	}
	d.http.Quiesce() // as sessions, it gives out nothing any more
	return errors.Join(d.tcp.Close(), closing(d.http), closeTracer(d.tracer), closeBroker(d.broker, d.set))
}

// Drained is part of Drainer.
func (d *qd) Drained() <-chan struct{} { return d.drain.over }

// DrainFor is part of Drainer.
func (d *qd) DrainFor(s os.Signal) bool {
	if s != syscall.SIGTERM || d.onTerm != config.SigTermDrain {
		return false
	}
	if until, draining := d.drain.Until(); draining && until.Equal(d.termUntil) {
		return time.Since(d.term) < SameSignal // else it was told twice
	}
	d.drain.Begin()
	d.term = time.Now()
	d.termUntil, _ = d.drain.Until()
	return true
}

// openBroker opens the data directory, for a member of a set too.
func openBroker(q *config.QD, s *security, announcer *lookup.Announcer, log *slog.Logger) (*broker.Broker, *cluster.Set, error) {
	set, err := openSet(q, s, log)
	if err != nil {
		return nil, nil, err
	}
	o := brokerOptions(q, log)
	o.Directory = announcer
	if set != nil {
		o.Replicas = set
	}
	b, err := broker.Open(o)
	if err != nil && set != nil {
		set.Stop()
	}
	return b, set, err
}

// closeBroker closes what openBroker has opened.
func closeBroker(b *broker.Broker, set *cluster.Set) error {
	if set != nil {
		set.Stop()
	}
	return b.Close()
}

// journalReserve is the size of each of the few files in which the journal goes
// on while the disk is full.
const journalReserve = 1 << 20

// dataPath is the data directory.
func dataPath(q *config.QD) string {
	if q.DataPath == "" {
		return "."
	}
	return q.DataPath
}

// brokerOptions are the part of the options that is the broker's.
func brokerOptions(q *config.QD, log *slog.Logger) broker.Options {
	window := q.E2ELatencyWindow
	if len(q.E2ELatencyPercentiles) == 0 {
		window = 0
	}
	return broker.Options{
		FS:                  vfs.OS,
		DataPath:            dataPath(q),
		NodeID:              uint16(q.NodeID),
		SegmentBytes:        q.MaxBytesPerFile,
		HotBytes:            q.MemQueueBytes,
		MemQueueSize:        q.MemQueueSize,
		SyncEvery:           q.SyncEvery,
		SyncTimeout:         q.SyncTimeout,
		BootID:              BootID(),
		JournalReserve:      journalReserve,
		MsgTimeout:          q.MsgTimeout,
		MaxMsgTimeout:       q.MaxMsgTimeout,
		Settings:            q.Settings,
		ReplicaSync:         replicaSync(q),
		MaxReqTimeout:       q.MaxReqTimeout,
		MaxChannelConsumers: q.MaxChannelConsumers,
		MaxTopics:           q.MaxTopics,
		MaxChannels:         q.MaxChannels,
		MaxIDs:              maxIDs(),
		NoAutoCreate:        !q.AutoCreate,
		LatencyWindow:       window,
		Volume:              vfs.Volume(dataPath(q)),
		SpaceLimits:         broker.SpaceLimits{FreeBytes: q.MinFreeBytes, FreePercent: q.MinFreePercent},
		Logger:              log,
	}
}

// serverOptions are the part of the options that is the sessions'.
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
	s.Snappy = q.Snappy
	s.Deflate = q.Deflate
	s.MaxDeflateLevel = q.MaxDeflateLevel
	s.TopologyRegion = q.TopologyRegion
	s.TopologyZone = q.TopologyZone
	s.TopologyAware = q.TopologyAware()
	s.Places = acceptloop.NewPlaces(q.MaxConnections, log)
	s.Unfinished = budget.New(q.MaxUnfinishedBytes)
	s.AuthTimeout = q.AuthTimeout
	s.Logger = log
	return s
}

// apiOptions are the part of the options that is the API's, beside sessions that
// have the options s.
func apiOptions(q *config.QD, s *server.Options) api.Options {
	o := api.OptionsFor(s)
	o.Peek = q.HTTPPeek
	o.MetricsMaxTopics = q.MetricsMaxTopics
	o.MaxPolls, o.MaxLeases = q.MaxHTTPPolls, q.MaxHTTPLeases
	o.Sites = sitesOf(&q.Common, q.Hostname, q.BroadcastAddress, q.HTTPAddress, q.HTTPSAddress)
	o.Info.BroadcastAddress = q.BroadcastAddress
	o.Info.Hostname = q.Hostname
	return o
}

// statsdOptions are the part of the options that is the reports' to statsd.
func statsdOptions(q *config.QD, log *slog.Logger) api.StatsdOptions {
	return api.StatsdOptions{
		Address:          q.StatsdAddress,
		Prefix:           q.StatsdPrefix,
		Interval:         q.StatsdInterval,
		PacketSize:       q.StatsdUDPPacketSize,
		MemStats:         q.StatsdMemStats,
		ExcludeEphemeral: q.StatsdExcludeEphemeral,
		Logger:           log,
	}
}
