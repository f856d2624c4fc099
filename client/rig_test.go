package client_test

import (
	"context"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"qmq/client"
	"qmq/daemon"
)

// testTimeout bounds every wait; nothing that works takes as long.
const testTimeout = time.Minute

// launchNode runs a qd in this process.
func launchNode(dir string, flags ...string) (daemon.Daemon, error) {
	return daemon.Launch(daemon.QD, append([]string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1", "--data-path=" + dir}, flags...), io.Discard)
}

// launchDirectory runs a qlookupd in this process.
func launchDirectory() (daemon.Daemon, error) {
	return daemon.Launch(daemon.QLookupd, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1"}, io.Discard)
}

// once is a daemon that may be stopped more than once.
type once struct {
	daemon.Daemon
	stop func() error
}

func (d once) Stop() error { return d.stop() }

func untilEnd(t *testing.T, d daemon.Daemon, err error) daemon.Daemon {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	o := once{d, sync.OnceValue(d.Stop)}
	t.Cleanup(func() { o.Stop() })
	return o
}

func startNode(t *testing.T, flags ...string) daemon.Daemon {
	t.Helper()
	d, err := launchNode(t.TempDir(), flags...)
	return untilEnd(t, d, err)
}

func startDirectory(t *testing.T) daemon.Daemon {
	t.Helper()
	d, err := launchDirectory()
	return untilEnd(t, d, err)
}

func open(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// publishInVain publishes to those who will not take it, with more and more patience until
// the error is as wanted: how much a busy machine needs to get as far as they refuse it is
// not known beforehand.
func publishInVain(t *testing.T, o client.Options, topic string, wanted func(error) bool) {
	t.Helper()
	for o.Patience = 200 * time.Millisecond; ; o.Patience *= 3 {
		c := open(t, o)
		err := c.Publish(limited(t), topic, body("x"))
		c.Close()
		switch {
		case wanted(err):
			return
		case err == nil || 3*o.Patience > testTimeout:
			t.Errorf("patience of %v: %v", o.Patience, err)
			return
		}
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// exampleNode is a node for an example, until end is called.
func exampleNode(flags ...string) (tcp, http string, end func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	d, err := launchNode(dir, flags...)
	if err != nil {
		panic(err)
	}
	return d.Addresses()["TCP"], d.Addresses()["HTTP"], func() {
		d.Stop()
		os.RemoveAll(dir)
	}
}
