package lookup

import (
	"log/slog"

	"qmq/internal/httpapi"
)

// Options are what a directory's servers need to know.
type Options struct {
	// What nodes are told when they identify themselves: where they reach this
	// directory's HTTP.
	BroadcastAddress  string
	Hostname          string
	TCPPort, HTTPPort int

	// RegistrationSecret says what nodes must bring to be listed: nothing if it
	// is empty, or if the function is nil. It may be called concurrently.
	RegistrationSecret func() string

	// Sites say which web pages may use the API.
	Sites httpapi.Sites

	Config httpapi.Config // the daemon's options for /config; nil: there is no such route
	Logger *slog.Logger
}
