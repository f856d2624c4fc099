package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"qmq/config"
)

// TestDoorsThatAreOpenAreTold: HTTP is not open where plain HTTP is refused and
// HTTPS wants a certificate.
func TestDoorsThatAreOpenAreTold(t *testing.T) {
	const warning = "HTTP is open while TCP is guarded"
	for _, test := range []struct {
		name  string
		q     config.QD
		doors string // none are told of if empty
		warns bool
	}{
		{"all", config.QD{HTTPAddress: ":1"}, `doors="publishing and consuming over TCP; publishing, figures and changes over HTTP"`, false},
		{"all, consuming over HTTP too", config.QD{HTTPAddress: ":1", MaxHTTPPolls: 1}, `doors="publishing and consuming over TCP; publishing, figures and changes over HTTP; consuming over HTTP"`, false},
		{"auth server and requests that consume", config.QD{HTTPAddress: ":1", MaxHTTPPolls: 1, AuthHTTPAddresses: []string{"a:1"}}, `doors="publishing, figures and changes over HTTP"`, true},
		{"auth server", config.QD{HTTPAddress: ":1", AuthHTTPAddresses: []string{"a:1"}}, `doors="publishing, figures and changes over HTTP"`, true},
		{"certificates, plain HTTP", config.QD{HTTPAddress: ":1", HTTPSAddress: ":2", TLSCert: "c", TLSClientAuthPolicy: "require-verify", TLSRequired: config.TLSRequiredExceptHTTP},
			`doors="publishing, figures and changes over HTTP"`, true},
		{"certificates everywhere", config.QD{HTTPAddress: ":1", HTTPSAddress: ":2", TLSCert: "c", TLSClientAuthPolicy: "require-verify", TLSRequired: config.TLSRequiredAlways}, "", false},
		{"auth server, HTTPS", config.QD{HTTPAddress: ":1", HTTPSAddress: ":2", TLSCert: "c", AuthHTTPAddresses: []string{"a:1"}, TLSRequired: config.TLSRequiredAlways},
			`doors="publishing, figures and changes over HTTP"`, true},
	} {
		var log bytes.Buffer
		tellDoors(&test.q, NewLogger(&log, "", slog.LevelInfo))
		text := log.String()
		if strings.Contains(text, "doors=") != (test.doors != "") || !strings.Contains(text, test.doors) || strings.Contains(text, warning) != test.warns {
			t.Errorf("%s: %s", test.name, text)
		}
	}
}
