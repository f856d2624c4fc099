package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFlagsAreThoseOfNsqlookupdAndSomeOfOurOwn(t *testing.T) {
	want := []string{
		"allowed-host | allowed_hosts | list | -",
		"version | - | bool | false",
		"config | - | string | -",
		"strict-config | strict_config | bool | false",
		"log-level | log_level | word | info",
		`log-prefix | log_prefix | string | "[qlookupd] "`,
		"verbose | - | bool | false",
		"tcp-address | tcp_address | string | 0.0.0.0:4160",
		"http-address | http_address | string | 0.0.0.0:4161",
		"broadcast-address | broadcast_address | string | node.example",
		"inactive-producer-timeout | inactive_producer_timeout | duration | 5m",
		"tombstone-lifetime | tombstone_lifetime | duration | 45s",
		"tls-cert | tls_cert | string | -",
		"tls-key | tls_key | string | -",
		"registration-secret-file | registration_secret_file | string | -",
	}
	got := declared(tableOf(new(QLookupd).declare(testHost)))
	slices.Sort(want)
	slices.Sort(got)
	equal(t, "flags", got, want)
}

func TestQLookupdReadsFlagsAndFile(t *testing.T) {
	name := file(t, `inactive_producer_timeout = "2m"`, `tombstone_lifetime = 1500`, `broadcast_address = "a"`)
	s, err := parse[QLookupd]([]string{"-broadcast-address=b", "-config", name, "--verbose", "--tcp-address", ":0"}, testHost)
	if err != nil {
		t.Fatal(err)
	}
	q := s.Values()
	equal(t, "inactive-producer-timeout", q.InactiveProducerTimeout, 2*time.Minute)
	equal(t, "tombstone-lifetime", q.TombstoneLifetime, 1500*time.Millisecond)
	equal(t, "broadcast-address", q.BroadcastAddress, "b")
	equal(t, "tcp-address", q.TCPAddress, ":0")
	equal(t, "hostname", q.Hostname, testHost)
	equal(t, "without effect", s.WithoutEffect(), []string{"--verbose"})
}

func TestQLookupdRefusesAddressesAndTimesThatCannotBe(t *testing.T) {
	_, err := ParseQLookupd([]string{"--tcp-address=/tmp/socket", "--http-address=", "--inactive-producer-timeout=0", "--tombstone-lifetime=-1s"})
	if err == nil {
		t.Fatal("no mistake")
	}
	for _, flag := range []string{"--tcp-address", "--http-address", "--inactive-producer-timeout", "--tombstone-lifetime"} {
		if !strings.Contains(err.Error(), flag+" must be ") {
			t.Errorf("nothing about %s in\n%s", flag, err)
		}
	}
}

func TestQLookupdWithoutBroadcastAddressUsesTheHostName(t *testing.T) {
	s, err := parse[QLookupd]([]string{"--broadcast-address="}, testHost)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "broadcast-address", s.Values().BroadcastAddress, testHost)
	equal(t, "warnings", len(s.Warnings()), 1)
}
