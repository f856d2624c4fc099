package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"qmq/config"
	"qmq/daemon"
	"qmq/internal/address"
	"qmq/internal/vfs"
)

// devCommand is q dev. It listens on the default ports; flags for one of the
// daemons come after its defaults and so replace them.
type devCommand struct {
	Nodes      int      `default:"1" help:"How many nodes (qd) there are, 50 at most. The ports of each are 100 above those of the one before."`
	Replicated bool     `help:"Have the nodes be a replicated set, which keeps topics on several of them: all but #ephemeral ones, or those that --qd=--replicated-topics=PATTERN names; three nodes at least."`
	DataPath   string   `default:"data" complete:"dir" help:"Directory for messages; made if it is not there. That of a second node has -2 behind its name, and so on."`
	Temporary  bool     `help:"Keep messages in a directory that is removed at the end."`
	Host       string   `default:"127.0.0.1" help:"Address to listen on. Nothing asks who comes in: open it with care."`
	Offset     int      `name:"port-offset" default:"0" help:"Added to each default port, to run beside another Q: 10000 listens on 14150, 14151 and so on."`
	FreePorts  bool     `name:"free-ports" help:"Listen on ports that nobody has, instead of the default ones."`
	LogLevel   string   `default:"warn" help:"Lowest level that is logged: debug, info, warn, error."`
	QLookupd   []string `name:"qlookupd" sep:"none" placeholder:"FLAG" help:"Flag for qlookupd. May be repeated."`
	QD         []string `name:"qd" sep:"none" placeholder:"FLAG" help:"Flag for each qd, such as --qd=--sync-every=1. May be repeated."`
	QAdmin     []string `name:"qadmin" sep:"none" placeholder:"FLAG" help:"Flag for qadmin. May be repeated."`

	// Of a replicated set, once joinNodes has returned.
	members []string `kong:"-"` // addresses for one another
	secret  string   `kong:"-"` // file
}

// Help has the examples.
func (*devCommand) Help() string {
	return examples(
		"a node, a directory and the page, with messages in data", `q dev`,
		"three nodes, to see how clients find them", `q dev --nodes=3`,
		"a replicated set, whose topics survive the loss of a node", `q dev --nodes=3 --replicated`,
		"beside whatever runs, leaving nothing behind", `q dev --free-ports --temporary`,
	)
}

// Run starts the daemons, says where they are, and stops them when the first
// signal comes or one of them fails. A second signal ends the process at once.
func (d *devCommand) Run(c console) (err error) {
	if err := d.checkPorts(); err != nil {
		return err
	}
	if d.Temporary {
		dir, failed := os.MkdirTemp("", "q-dev-")
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		d.DataPath = filepath.Join(dir, "data")
	}
	for i := range d.Nodes {
		if err := os.MkdirAll(d.path(i), 0o700); err != nil {
			return err
		}
	}
	if err := d.joinNodes(); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	house := new(household)
	defer func() { err = errors.Join(err, house.stop(c)) }()

	at := new(devAddresses)
	if at.lookup, err = launch(house, c, daemon.QLookupd, d.lookupdFlags()); err != nil {
		return err
	}
	for i := range d.Nodes {
		node, err := launch(house, c, daemon.QD, d.qdFlags(i, dialable(at.lookup["TCP"])))
		if err != nil {
			return err
		}
		at.nodes = append(at.nodes, node)
	}
	if at.page, err = launch(house, c, daemon.QAdmin, d.qadminFlags(dialable(at.lookup["HTTP"]))); err != nil {
		return err
	}
	d.say(c, at)
	return house.wait(c)
}

// checkPorts finds out whether there are such ports.
func (d *devCommand) checkPorts() error {
	highest := max(pagePort, memberPort+nodeStep*(d.Nodes-1))
	switch {
	case d.Nodes < 1 || d.Nodes > maxNodes:
		return fmt.Errorf("--nodes must be in [1,%d], not %d", maxNodes, d.Nodes)
	case d.Offset < 0 || d.Offset > maxPort-highest:
		return fmt.Errorf("--port-offset must be in [0,%d], not %d", maxPort-highest, d.Offset)
	case d.Replicated && d.Nodes < 3:
		return fmt.Errorf("--replicated takes three nodes at least: --nodes=3, not %d", d.Nodes)
	case d.Replicated && d.FreePorts && !d.Temporary:
		return errors.New("members of a replicated set are where they were before: --free-ports goes with --temporary")
	case d.FreePorts && d.Offset > 0:
		return errors.New("--free-ports and --port-offset exclude each other")
	case d.Temporary && d.DataPath != "data":
		return errors.New("--temporary and --data-path exclude each other")
	}
	return nil
}

// path is where a node keeps its messages.
func (d *devCommand) path(node int) string {
	if node == 0 {
		return d.DataPath
	}
	return fmt.Sprintf("%s-%d", filepath.Clean(d.DataPath), node+1)
}

// devAddresses are where the daemons listen.
type devAddresses struct {
	lookup, page map[string]string
	nodes        []map[string]string
}

// say says where everything is, with commands to try.
func (d *devCommand) say(c console, at *devAddresses) {
	self, reach := "q", ""
	if filepath.Base(os.Args[0]) == "q" {
		self = os.Args[0] // as it is to be called from here
	}
	first := at.nodes[0]
	if d.Nodes > 1 || dialable(first["TCP"]) != usualTCP || dialable(first["HTTP"]) != usualHTTP {
		reach = " --lookupd=" + dialable(at.lookup["HTTP"])
	}
	fmt.Fprintf(c.out, `Q is running; Ctrl-C stops it.
  publish  %[1]s pub greetings 'hello'%[2]s
  consume  %[1]s sub greetings/print --yes%[2]s
  look     http://%[3]s, or %[1]s top%[2]s
  or       curl -d 'hello' 'http://%[4]s/pub?topic=greetings'
  clients  find nodes at qlookupd, %[5]s
`, self, reach, dialable(at.page["HTTP"]), dialable(first["HTTP"]), dialable(at.lookup["HTTP"]))
	if d.Replicated {
		fmt.Fprintf(c.out, "  set      %s cluster status%s\n", self, reach)
	}
	for i, node := range at.nodes {
		fmt.Fprintf(c.out, "  node     qd is at %s, HTTP at %s, data in %s\n", dialable(node["TCP"]), dialable(node["HTTP"]), d.path(i))
	}
	if d.Temporary {
		fmt.Fprintln(c.out, "  data     is removed at the end")
	}
	fmt.Fprintln(c.out)
}

// dialable is how a program on this machine reaches a listening address.
func dialable(listening string) string {
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
	pagePort   = 4171 // the highest default beside the nodes'
	httpsPort  = 4152
	memberPort = 4153 // the highest of a node: for the other members of a replicated set
	nodeStep   = 100  // between the ports of two nodes
	maxNodes   = 50
	maxPort    = 65535
)

// at is where to listen, by the default port.
func (d *devCommand) at(port int) string {
	if d.FreePorts {
		port = 0
	} else {
		port += d.Offset
	}
	return address.Join(d.Host, port)
}

// flags are what all daemons are told.
func (d *devCommand) flags(name string, http int) []string {
	return []string{"--log-level=" + d.LogLevel, "--log-prefix=[" + name + "] ", "--http-address=" + d.at(http)}
}

func (d *devCommand) lookupdFlags() []string {
	return slices.Concat(d.flags("qlookupd", 4161), d.clients(4160), d.QLookupd)
}

// qdFlags are those of a node, counted from 0.
func (d *devCommand) qdFlags(node int, lookupd string) []string {
	name, step := "qd", nodeStep*node
	// What is for trying out shows its messages to whoever may come in.
	flags := []string{"--https-address=" + d.at(httpsPort+step), "--http-peek", "--data-path=" + d.path(node), "--lookupd-tcp-address=" + lookupd}
	if d.Nodes > 1 {
		name = fmt.Sprintf("qd %d", node+1)
		flags = append(flags, fmt.Sprintf("--node-id=%d", node+1)) // else they have that of their machine
	}
	if d.Replicated {
		flags = append(flags, "--cluster-peers="+strings.Join(d.members, ","), "--cluster-address="+d.members[node], "--cluster-secret-file="+d.secret)
	}
	return slices.Concat(d.flags(name, 4151+step), d.clients(4150+step), flags, d.QD)
}

// joinNodes finds the members of the replicated set their addresses and a secret,
// which is kept beside their messages.
func (d *devCommand) joinNodes() error {
	if !d.Replicated {
		return nil
	}
	for i := range d.Nodes {
		at := dialable(d.at(memberPort + nodeStep*i))
		if d.FreePorts { // all have to be known before the first one listens
			l, err := net.Listen("tcp", at)
			if err != nil {
				return err
			}
			defer l.Close()
			at = l.Addr().String()
		}
		d.members = append(d.members, at)
	}
	d.secret = filepath.Clean(d.DataPath) + "-secret"
	f, err := os.OpenFile(d.secret, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // that of an earlier run
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, rand.Text())
	return errors.Join(err, f.Close())
}

func (d *devCommand) qadminFlags(lookupd string) []string {
	return slices.Concat(d.flags("qadmin", pagePort), []string{"--page-peek", "--lookupd-http-address=" + lookupd}, d.QAdmin)
}

// check finds mistakes in the flags of all daemons before one of them starts.
// Where qlookupd will listen does not matter for that.
func (d *devCommand) check() error {
	return errors.Join(
		mistakes(daemon.QLookupd, d.lookupdFlags()),
		mistakes(daemon.QD, d.qdFlags(0, address.Join(d.Host, 4160))),
		mistakes(daemon.QAdmin, d.qadminFlags(address.Join(d.Host, 4161))),
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

// wait returns when a signal has come or a daemon was drained, or with the error of
// one that failed.
func (h household) wait(c console) error {
	failed := make(chan error, len(h))
	done := make(chan struct{})
	defer close(done)
	for _, d := range h {
		go func() {
			select {
			case err := <-d.Failed():
				failed <- err
			case <-daemon.Drained(d):
				failed <- nil
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
