package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFlagsAreThoseOfNsqadminAndSomeOfOurOwn(t *testing.T) {
	want := []string{
		"version | - | bool | false",
		"config | - | string | -",
		"strict-config | strict_config | bool | false",
		"log-level | log_level | word | info",
		`log-prefix | log_prefix | string | "[qadmin] "`,
		"verbose | - | bool | false",
		"http-address | http_address | string | 0.0.0.0:4171",
		"base-path | base_path | string | /",
		"dev-static-dir | dev_static_dir | string | -",
		"graphite-url | graphite_url | string | -",
		"proxy-graphite | proxy_graphite | bool | false",
		"statsd-counter-format | statsd_counter_format | string | stats.counters.%s.count",
		"statsd-gauge-format | statsd_gauge_format | string | stats.gauges.%s",
		"statsd-prefix | statsd_prefix | string | nsq.%s",
		"statsd-interval | statsd_interval | duration | 1m",
		"notification-http-endpoint | notification_http_endpoint | string | -",
		"http-client-connect-timeout | http_client_connect_timeout | duration | 2s",
		"http-client-request-timeout | http_client_request_timeout | duration | 5s",
		"http-client-tls-insecure-skip-verify | http_client_tls_insecure_skip_verify | bool | false",
		"http-client-tls-root-ca-file | http_client_tls_root_ca_file | string | -",
		"http-client-tls-cert | http_client_tls_cert | string | -",
		"http-client-tls-key | http_client_tls_key | string | -",
		"allow-config-from-cidr | allow_config_from_cidr | string | 127.0.0.1/8",
		"acl-http-header | acl_http_header | string | X-Forwarded-User",
		"lookupd-http-address | nsqlookupd_http_addresses | list | -",
		"nsqd-http-address | nsqd_http_addresses | list | -",
		"admin-user | admin_users | list | -",
	}
	if len(want) != 26+1 { // strict-config is one of ours, which all daemons have
		t.Fatalf("%d flags are nsqadmin's", len(want))
	}
	want = append(want, "alert-webhook | alert_webhook | string | -", "page-url | page_url | string | -", "history-dir | history_dir | string | -", "qd-http-address | qd_http_addresses | list | -", "allowed-host | allowed_hosts | list | -", "page-peek | page_peek | bool | false", "cluster-name | cluster_name | string | -", "users-file | users_file | string | -",
		"http-client-auth-file | http_client_auth_file | string | -",
		"tls-cert | tls_cert | string | -", "tls-key | tls_key | string | -", "acl-trusted-proxy | acl_trusted_proxy | list | -",
		"http-client-auth-for | http_client_auth_for | list | -", "http-client-auth-insecure | http_client_auth_insecure | bool | false")
	got := declared(tableOf(new(QAdmin).declare(testHost)))
	slices.Sort(want)
	slices.Sort(got)
	equal(t, "flags", got, want)
}

func TestQAdminReadsFlagsAndFile(t *testing.T) {
	name := file(t, `nsqlookupd_http_addresses = ["127.0.0.1:1", "127.0.0.1:2"]`, `statsd_interval = "10s"`, `admin_users = "a,b"`)
	s, err := parse[QAdmin]([]string{"-config", name, "-base-path=x/y/"}, testHost)
	if err != nil {
		t.Fatal(err)
	}
	q := s.Values()
	equal(t, "lookupd-http-address", q.LookupdHTTPAddresses, []string{"127.0.0.1:1", "127.0.0.1:2"})
	equal(t, "statsd-interval", q.StatsdInterval, 10*time.Second)
	equal(t, "admin-user", q.AdminUsers, []string{"a", "b"})
	equal(t, "base-path", q.BasePath, "/x/y")
	if err := s.Set("nsqlookupd_http_addresses", []byte(`["127.0.0.1:3"]`)); err != nil {
		t.Error(err)
	}
	equal(t, "after the change", s.Values().LookupdHTTPAddresses, []string{"127.0.0.1:3"})
}

func TestBothNamesOfNodeAddressesAreOneList(t *testing.T) {
	s, err := ParseQAdmin([]string{"--nsqd-http-address=127.0.0.1:1", "--qd-http-address=127.0.0.1:2", "--qd-http-address=127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "nodes", s.Values().NSQDHTTPAddresses, []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"})
}

func TestQAdminRefusesWhatNsqadminRefuses(t *testing.T) {
	const lookupd = "--lookupd-http-address=127.0.0.1:1"
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "--nsqd-http-address or --lookupd-http-address required"},
		{[]string{lookupd, "--nsqd-http-address=127.0.0.1:2"}, "use --nsqd-http-address or --lookupd-http-address not both"},
		{[]string{lookupd, "--http-client-tls-key=k"}, "--http-client-tls-key must be specified with --http-client-tls-cert"},
		{[]string{lookupd, "--http-client-tls-cert=c"}, "--http-client-tls-cert must be specified with --http-client-tls-key"},
		{[]string{"--lookupd-http-address=no port"}, "--lookupd-http-address must be host:port or a URL each time, with a port of 1 to 65535, not \"no port\""},
		{[]string{"--nsqd-http-address=https://"}, "failed to resolve address (https://)"},
		{[]string{"--nsqd-http-address=http://ann:s3 cret@h:1"}, "failed to resolve address (http://redacted)"},
		{[]string{lookupd, "--allow-config-from-cidr=everywhere"}, "--allow-config-from-cidr must be a network such as 127.0.0.1/8, or empty, not everywhere"},
		{[]string{lookupd, "--graphite-url=ftp://g"}, "--graphite-url must be an http or https URL, or empty, not ftp://g"},
		{[]string{lookupd, "--base-path=/:a"}, "--base-path must be a plain path"},
	} {
		_, err := ParseQAdmin(test.args)
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrHelp) {
			t.Errorf("%q: got %v", test.args, err)
		}
	}
}

func TestPasswordsInClearAreWarnedAbout(t *testing.T) {
	for args, warned := range map[string]bool{
		"--users-file=u": true,
		"--users-file=u --http-address=10.0.0.1:4171":    true,
		"--users-file=u --http-address=localhost:4171":   false,
		"--users-file=u --http-address=127.0.0.1:4171":   false,
		"--users-file=u --http-address=[::1]:4171":       false,
		"--users-file=u --tls-cert=c --tls-key=k":        false,
		"--admin-user=ann --http-address=127.0.0.1:4171": false,
	} {
		s, err := parse[QAdmin](append(strings.Fields(args), "--nsqd-http-address=127.0.0.1:1"), testHost)
		if err != nil {
			t.Fatal(err)
		}
		isClear := func(w string) bool { return strings.Contains(w, "passwords and sessions go over the network in clear") }
		if got := slices.ContainsFunc(s.Warnings(), isClear); got != warned {
			t.Errorf("%s: warned %v", args, got)
		}
	}
}

func TestHalfAPairIsNoCertificate(t *testing.T) {
	for _, flag := range []string{"--tls-cert=c", "--tls-key=k"} {
		if _, err := parse[QAdmin]([]string{"--nsqd-http-address=127.0.0.1:1", flag}, testHost); err == nil {
			t.Errorf("qadmin takes %s alone", flag)
		}
		if _, err := parse[QLookupd]([]string{flag}, testHost); err == nil {
			t.Errorf("qlookupd takes %s alone", flag)
		}
	}
}

func TestHeaderThatAnybodyMaySendIsWarnedAbout(t *testing.T) {
	for args, warned := range map[string]bool{
		"--admin-user=ann": true,
		"--admin-user=ann --acl-trusted-proxy=10.0.0.0/8 --acl-trusted-proxy=::1": false,
		"--admin-user=ann --http-address=127.0.0.1:4171":                          false,
		"": false,
	} {
		s, err := parse[QAdmin](append(strings.Fields(args), "--nsqd-http-address=127.0.0.1:1"), testHost)
		if err != nil {
			t.Fatal(err)
		}
		isOpen := func(w string) bool { return strings.Contains(w, "may send X-Forwarded-User and be admin") }
		if got := slices.ContainsFunc(s.Warnings(), isOpen); got != warned {
			t.Errorf("%s: %v", args, s.Warnings())
		}
	}
	for _, value := range []string{"", "10.0.0.0", "proxy.example", "10.0.0.0/33"} {
		_, err := parse[QAdmin]([]string{"--nsqd-http-address=127.0.0.1:1", "--acl-trusted-proxy=" + value}, testHost)
		if (err == nil) != (value == "10.0.0.0") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestCredentialNeedsToKnowWhomItIsFor(t *testing.T) {
	const directory, node, file = "--lookupd-http-address=127.0.0.1:1 ", "--nsqd-http-address=127.0.0.1:1 ", "--http-client-auth-file=f "
	for args, want := range map[string]string{
		directory + file: "--http-client-auth-file with --lookupd-http-address needs --http-client-auth-for: lookup daemons may name any address",
		directory + file + "--http-client-auth-for=":            "--http-client-auth-for must not be empty: without the option, the door that it shuts is open",
		directory + file + "--http-client-auth-for=http://node": "--http-client-auth-for must be a host name (1 to 255 of A-Z a-z 0-9 . - _) or an IP address, without scheme or port, or a network such as 10.0.0.0/8, each time, not http://node",
		directory + file + "--http-client-auth-for=node:4151":   "--http-client-auth-for must be a host name",
		directory + file + "--http-client-auth-for=node --http-client-auth-for=10.0.0.0/8 --http-client-auth-for=[::1] --http-client-auth-insecure": "",
		directory:   "",
		node + file: "",
	} {
		_, err := parse[QAdmin](strings.Fields(args), testHost)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
