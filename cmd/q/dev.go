package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"qmq/config"
	"qmq/daemon"
	"qmq/internal/address"
	"qmq/internal/vfs"
)

// devCommand is q dev. It listens on the default ports; flags for one of the
// daemons come after its defaults and so replace them.
type devCommand struct {
	DataPath string   `default:"data" help:"Directory for messages; made if it is not there."`
	Host     string   `default:"127.0.0.1" help:"Address to listen on. Nothing asks who comes in: open it with care."`
	Offset   int      `name:"port-offset" default:"0" help:"Added to each default port, to run beside another Q: 10000 listens on 14150, 14151 and so on."`
	LogLevel string   `default:"warn" help:"Lowest level that is logged: debug, info, warn, error."`
	QLookupd []string `name:"qlookupd" sep:"none" placeholder:"FLAG" help:"Flag for qlookupd. May be repeated."`
	QD       []string `name:"qd" sep:"none" placeholder:"FLAG" help:"Flag for qd, such as --qd=--sync-every=1. May be repeated."`
	QAdmin   []string `name:"qadmin" sep:"none" placeholder:"FLAG" help:"Flag for qadmin. May be repeated."`
}

// Run starts the daemons, says where they are, and stops them when the first
// signal comes or one of them fails. A second signal ends the process at once.
func (d *devCommand) Run(c console) (err error) {
	if d.Offset < 0 || d.Offset > maxPort-pagePort {
		return fmt.Errorf("--port-offset must be in [0,%d], not %d", maxPort-pagePort, d.Offset)
	}
	if err := os.MkdirAll(d.DataPath, 0o700); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	house := new(household)
	defer func() { err = errors.Join(err, house.stop(c)) }()

	lookup, err := launch(house, c, daemon.QLookupd, d.lookupdFlags())
	if err != nil {
		return err
	}
	qd, err := launch(house, c, daemon.QD, d.qdFlags(near(lookup["TCP"])))
	if err != nil {
		return err
	}
	page, err := launch(house, c, daemon.QAdmin, d.qadminFlags(near(lookup["HTTP"])))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, `Q is running; Ctrl-C stops it.
  publish  curl -d 'hello' 'http://%s/pub?topic=greetings'
  consume  with an NSQ client: qd is at %s, qlookupd at %s
  look     http://%s
  data in  %s
`, near(qd["HTTP"]), near(qd["TCP"]), near(lookup["HTTP"]), near(page["HTTP"]), d.DataPath)
	return house.wait(c)
}

// near is how a program on this machine reaches a listening address.
func near(listening string) string {
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return listening
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

const (
	pagePort = 4171 // the highest default
	maxPort  = 65535
)

// at is where to listen, by the default port.
func (d *devCommand) at(port int) string {
	return address.Join(d.Host, port+d.Offset)
}

// flags are what all daemons are told.
func (d *devCommand) flags(name string, http int) []string {
	return []string{"--log-level=" + d.LogLevel, "--log-prefix=[" + name + "] ", "--http-address=" + d.at(http)}
}

func (d *devCommand) lookupdFlags() []string {
	return slices.Concat(d.flags("qlookupd", 4161), d.clients(4160), d.QLookupd)
}

func (d *devCommand) qdFlags(lookupd string) []string {
	// What is for trying out shows its messages to whoever may come in.
	flags := []string{"--https-address=" + d.at(4152), "--http-peek", "--data-path=" + d.DataPath, "--lookupd-tcp-address=" + lookupd}
	return slices.Concat(d.flags("qd", 4151), d.clients(4150), flags, d.QD)
}

func (d *devCommand) qadminFlags(lookupd string) []string {
	return slices.Concat(d.flags("qadmin", pagePort), []string{"--page-peek", "--lookupd-http-address=" + lookupd}, d.QAdmin)
}

// check finds mistakes in the flags of all daemons before one of them starts.
// Where qlookupd will listen does not matter for that.
func (d *devCommand) check() error {
	return errors.Join(
		mistakes(daemon.QLookupd, d.lookupdFlags()),
		mistakes(daemon.QD, d.qdFlags(near(d.at(4160)))),
		mistakes(daemon.QAdmin, d.qadminFlags(near(d.at(4161)))),
	)
}

func mistakes[V any](p daemon.Program[V], flags []string) error {
	_, err := p.Parse(flags)
	switch {
	case errors.Is(err, config.ErrHelp):
		return errors.New(p.Usage(p.Name))
	case err != nil:
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// clients are the flags of a daemon that also speaks with clients over TCP.
func (d *devCommand) clients(tcp int) []string {
	flags := []string{"--tcp-address=" + d.at(tcp)}
	if !address.IsUnspecified(d.Host) {
		flags = append(flags, "--broadcast-address="+d.Host) // else the name of the machine, which is the default
	}
	return flags
}

// household are the daemons that run, in the order in which they were started.
type household []daemon.Daemon

// launch starts one more daemon and tells where it listens.
func launch[V any](h *household, c console, p daemon.Program[V], flags []string) (addresses map[string]string, err error) {
	d, err := daemon.Launch(p, flags, c.err)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w; already running? A second one beside it needs --port-offset and a --data-path of its own", err)
	}
	if err != nil {
		return nil, err
	}
	*h = append(*h, d)
	return d.Addresses(), nil
}

// wait returns when a signal has come, or with the error of a daemon that
// failed.
func (h household) wait(c console) error {
	failed := make(chan error, len(h))
	done := make(chan struct{})
	defer close(done)
	for _, d := range h {
		go func() {
			select {
			case err := <-d.Failed():
				failed <- err
			case <-done:
			}
		}()
	}
	select {
	case <-c.signals:
		return nil
	case err := <-failed:
		return err
	}
}

// stop ends the daemons, the last one first.
func (h household) stop(c console) error {
	return daemon.Finish(func() error {
		var errs []error
		for _, d := range slices.Backward(h) {
			errs = append(errs, d.Stop())
		}
		return errors.Join(errs...)
	}, c.signals)
}
