package daemon

import (
	"errors"
	"fmt"

	"qmq/config"
)

// abilities are what nsqd has and this version has not, with the flags that
// are about them. An option that neither is here nor has an effect would be
// ignored in silence.
var abilities = []struct {
	name  string
	flags []string
}{
	{"TLS", []string{"tls-cert", "tls-key", "tls-root-ca-file", "tls-min-version"}},
	{"HTTPS", []string{"https-address"}},
	{"AUTH", []string{"auth-http-request-method"}},
	{"discovery", []string{"lookupd-tcp-address", "broadcast-tcp-port", "broadcast-http-port", "http-client-connect-timeout", "http-client-request-timeout"}},
	{"topology", []string{"topology-region", "topology-zone", "enable-experiment"}},
	{"statsd", []string{"statsd-address", "statsd-prefix", "statsd-interval", "statsd-mem-stats", "statsd-exclude-ephemeral", "statsd-udp-packet-size"}},
	{"percentiles", []string{"e2e-processing-latency-percentile", "e2e-processing-latency-window-time"}},
	{"compression", []string{"deflate", "max-deflate-level", "snappy"}},
	{"a limit of connections", []string{"max-connections"}},
}

// unavailable lists the options that were given for abilities that are not
// there, unless they ask for what happens anyway.
func unavailable(settings *config.Settings[config.QD]) (texts []string) {
	q := settings.Values()
	moot := map[string]bool{
		"tls-cert":            q.TLSCert == "",
		"tls-key":             q.TLSKey == "",
		"https-address":       q.HTTPSAddress == "" || q.TLSCert == "", // nsqd does not serve it either
		"lookupd-tcp-address": len(q.LookupdTCPAddresses) == 0,
		"enable-experiment":   len(q.Experiments) == 0,
		"statsd-address":      q.StatsdAddress == "",
		"deflate":             !q.Deflate,
		"snappy":              !q.Snappy,
		"max-connections":     q.MaxConnections == 0,

		"e2e-processing-latency-percentile": len(q.E2ELatencyPercentiles) == 0,
	}
	for _, ability := range abilities {
		for _, flag := range ability.flags {
			if settings.Given(flag) && !moot[flag] {
				texts = append(texts, fmt.Sprintf("--%s (%s)", flag, ability.name))
			}
		}
	}
	return texts
}

// unsafeWithout refuses options that promise a protection which this version
// cannot give: a daemon that starts without it would be open.
func unsafeWithout(settings *config.Settings[config.QD]) error {
	q := settings.Values()
	var refusals []error
	refuse := func(flag, open string) {
		refusals = append(refusals, fmt.Errorf("--%s is not available in this version, and without it %s", flag, open))
	}
	if q.TLSClientAuthPolicy != "" {
		refuse("tls-client-auth-policy", "clients would be served unencrypted and without a certificate")
	}
	if q.TLSRequired != config.TLSNotRequired && settings.Given("tls-required") {
		refuse("tls-required", "clients would be served unencrypted")
	}
	if len(q.AuthHTTPAddresses) > 0 {
		refuse("auth-http-address", "clients would be served unasked")
	}
	return errors.Join(refusals...)
}
