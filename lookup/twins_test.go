package lookup

import (
	"log/slog"
	"strings"
	"testing"
)

func TestTwoNodesWithOneAddressAreNamedInTheLogOnceBothLive(t *testing.T) {
	var log pages
	d := openDirectoryWith(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	const line = "two nodes announce one address"
	said := func(want int, when string) {
		t.Helper()
		if n := log.count(line); n != want {
			t.Errorf("%s: said %d times", when, n)
		}
	}
	a, c := d.joinAs("a", "host-a", 1, 2), d.joinAs("c", "host-c", 1, 2)
	a.tell("PING")
	again := d.joinAs("a", "host-a", 1, 2) // it connected anew, and the old connection is still there
	d.clock.advance(pingInterval)
	again.tell("PING")
	c.tell("PING")
	said(0, "a new connection")
	again.leave()

	other := d.joinAs("a", "host-b", 1, 2)
	for range 5 {
		d.clock.advance(pingInterval)
		a.tell("PING")
		other.tell("PING")
		c.tell("PING")
	}
	said(1, "two nodes")
	if log.count(`address="TCP a:1"`) != 1 || log.count("host-a (127.0.0.1:") != 1 || log.count("host-b (127.0.0.1:") != 1 {
		t.Error(log.b.String())
	}
	marked := func(want int) {
		t.Helper()
		if _, body := d.request("GET", "/nodes"); strings.Count(body, `"shares_address":true`) != want {
			t.Errorf("not %d marked: %s", want, body)
		}
	}
	marked(2)
	d.clock.advance(2 * pingInterval)
	a.tell("PING")
	marked(2)
	d.clock.advance(2 * pingInterval)
	a.tell("PING")
	marked(0) // the other one is not heard of any more
	other.tell("PING")
	marked(2)
	other.leave()
	marked(0)

	half := d.joinAs("a", "host-d", 9, 2) // only the HTTP address is the same
	d.clock.advance(pingInterval)
	half.tell("PING")
	a.tell("PING")
	said(2, "another one")
	if log.count(`address="HTTP a:2"`) != 1 {
		t.Error(log.b.String())
	}
}
