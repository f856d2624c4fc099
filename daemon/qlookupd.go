package daemon

import (
	"errors"
	"log/slog"
	"net"

	"qmq/config"
	"qmq/lookup"
)

// QLookupd is the program qlookupd.
var QLookupd = Program[config.QLookupd]{
	Name:   "qlookupd",
	Parse:  config.ParseQLookupd,
	Usage:  config.UsageQLookupd,
	Common: func(q config.QLookupd) config.Common { return q.Common },
	Start:  startQLookupd,
}

// qlookupd is a directory at work.
type qlookupd struct {
	listeners
	tcp     *lookup.TCP
	http    *lookup.HTTP
	hangups *hangups
}

// startQLookupd opens the listeners and serves.
func startQLookupd(settings *config.Settings[config.QLookupd], level *slog.LevelVar, log *slog.Logger) (Daemon, error) {
	q := settings.Values()
	certificate, err := openTLS(q.ServerTLS, log)
	if err != nil {
		return nil, err
	}
	secret, err := openSecret("registration-secret-file", q.RegistrationSecretFile, oneWord, log)
	if err != nil {
		return nil, err
	}
	tcp, err := listen(q.TCPAddress)
	if err != nil {
		return nil, err
	}
	web, err := listen(q.HTTPAddress)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	settings.Observe(func(_ string, now config.QLookupd) { level.Set(now.LogLevel.Level()) })

	db := lookup.NewDB(lookup.DBOptions{InactiveTimeout: q.InactiveProducerTimeout, TombstoneLifetime: q.TombstoneLifetime})
	o := lookup.Options{
		BroadcastAddress: q.BroadcastAddress,
		Hostname:         q.Hostname,
		TCPPort:          tcp.Addr().(*net.TCPAddr).Port, // the options allow no other network
		HTTPPort:         web.Addr().(*net.TCPAddr).Port,

		RegistrationSecret: secret.now,

		Sites:  sitesOf(&q.Common, q.Hostname, q.BroadcastAddress, q.HTTPAddress),
		Config: settings,
		Logger: log,
	}
	d := &qlookupd{listeners: newListeners(log), tcp: lookup.NewTCP(db, o), http: lookup.NewHTTP(db, o)}
	files := secret.reloads()
	if certificate != nil {
		files = append(files, reload{"certificate", certificate.Reload})
	}
	d.hangups = followHangups(log, files...) // before scripts are told that it listens
	d.serve("TCP", tcp, d.tcp.Serve)
	d.serveWeb(web, certificate, d.http.Serve)
	return d, nil
}

// Stop ends both servers. What was registered is forgotten: nodes register
// again with whoever listens next.
func (d *qlookupd) Stop() error {
	defer d.hangups.close()
	return errors.Join(d.tcp.Close(), closing(d.http))
}
