package config

import (
	"slices"
	"strings"
	"testing"
)

func TestAddressesThatCannotWorkAreRefusedWithWhatIsAllowed(t *testing.T) {
	const (
		host      = " must be a host name (1 to 255 of A-Z a-z 0-9 . - _) or an IP address, without scheme or port, not "
		directory = "--lookupd-tcp-address must be host:port each time, with a port of 1 to 65535, not "
		web       = " must be host:port or a URL each time, with a port of 1 to 65535, not "
	)
	qd := func(args ...string) error { _, err := parse[QD](args, testHost); return err }
	qlookupd := func(args ...string) error { _, err := parse[QLookupd](args, testHost); return err }
	qadmin := func(args ...string) error { _, err := parse[QAdmin](args, testHost); return err }
	for _, test := range []struct {
		parse func(...string) error
		flag  string
		value string
		says  string
	}{
		{qd, "--broadcast-address", "node:4150", host},
		{qd, "--broadcast-address", "http://node", host},
		{qd, "--broadcast-address", "a node", host},
		{qd, "--broadcast-address", "[::1]:4150", host},
		{qd, "--broadcast-address", "127.0.0.9/any/path?q=1&x=", host},
		{qd, "--broadcast-address-for", "node.example", "--broadcast-address-for must be FROM=HOST[:PORT[:HTTPPORT]]"},
		{qd, "--broadcast-address-for", "10.0.0.0/40=node.example", "invalid network or host"},
		{qd, "--broadcast-address-for", "10.0.0.0/8=node.example:0", "invalid port"},
		{qlookupd, "--broadcast-address", "lookup:4161", host},
		{qlookupd, "--broadcast-address", "lookup ", host},
		{qd, "--lookupd-tcp-address", "lookup:http", directory},
		{qd, "--lookupd-tcp-address", "lookup:0", directory},
		{qd, "--lookupd-tcp-address", "lookup:70000", directory},
		{qd, "--lookupd-tcp-address", "lookup", directory},
		{qd, "--lookupd-tcp-address", "http://lookup:4160", directory},
		{qd, "--lookupd-tcp-address", "::1:4160", directory},
		{qd, "--lookupd-tcp-address", "a lookup:4160", directory},
		{qd, "--tcp-address", "127.0.0.1:nonsense", "--tcp-address must be host:port or the path of a unix socket, not "},
		{qd, "--http-address", "127.0.0.1:65536", "--http-address must be host:port, the path of a unix socket, or empty, not "},
		{qd, "--statsd-address", "127.0.0.1:nonsense", "--statsd-address must be host:port, or empty, not "},
		{qlookupd, "--tcp-address", "127.0.0.1:nonsense", "--tcp-address must be host:port, not "},
		{qlookupd, "--http-address", "127.0.0.1:-1", "--http-address must be host:port, not "},
		{qadmin, "--lookupd-http-address", "127.0.0.1:http", "--lookupd-http-address" + web},
		{qadmin, "--lookupd-http-address", "http://127.0.0.1:http", "--lookupd-http-address" + web},
		{qadmin, "--lookupd-http-address", "http://127.0.0.1:0", "--lookupd-http-address" + web},
		{qadmin, "--nsqd-http-address", "127.0.0.1:https", "--nsqd-http-address" + web},
		{qadmin, "--qd-http-address", "[::1]:x", "--qd-http-address" + web},
	} {
		err := test.parse(test.flag + "=" + test.value)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s=%s: got %v", test.flag, test.value, err)
		}
	}
}

func TestAddressesOfIPVersion6AreTakenEverywhere(t *testing.T) {
	for _, host := range []string{"::1", "[::1]"} {
		q := mustParse(t, "--broadcast-address="+host, "--tcp-address=[::1]:4150", "--http-address=[::1]:4151", "--https-address=[::1]:4152",
			"--lookupd-tcp-address=[::1]:4160", "--statsd-address=[::1]:8125").Values()
		equal(t, "broadcast address", q.BroadcastAddress, "::1")
		s, err := parse[QLookupd]([]string{"--broadcast-address=" + host, "--tcp-address=[::1]:4160", "--http-address=[::1]:4161"}, testHost)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "broadcast address", s.Values().BroadcastAddress, "::1")
	}
	for _, address := range []string{"[::1]:4161", "http://[::1]:4161", "http://[::1]"} {
		if _, err := parse[QAdmin]([]string{"--http-address=[::1]:4171", "--lookupd-http-address=" + address}, testHost); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestBroadcastAddressThatStandsForAllIsWarnedAbout(t *testing.T) {
	says := func(text string) bool {
		return strings.HasSuffix(text, "others can connect to, but consumers are told it: set the name or address under which they reach this machine")
	}
	for _, host := range []string{"0.0.0.0", "::", "[::]"} {
		if w := mustParse(t, "--broadcast-address="+host).Warnings(); !slices.ContainsFunc(w, says) {
			t.Errorf("%s: warned of %q", host, w)
		}
		s, err := parse[QLookupd]([]string{"--broadcast-address=" + host}, testHost)
		if err != nil || len(s.Warnings()) != 1 {
			t.Errorf("%s: %v", host, err)
		}
	}
	if w := mustParse(t, "--broadcast-address=127.0.0.1").Warnings(); len(w) != 0 {
		t.Errorf("warned of %q", w)
	}
}
