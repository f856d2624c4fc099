package daemon

import (
	"log/slog"
	"strings"

	"qmq/config"
)

// certificatesRequired says whether clients have to show certificates.
func certificatesRequired(q *config.QD) bool {
	return q.TLSClientAuthPolicy == "require" || q.TLSClientAuthPolicy == "require-verify"
}

// sessionsGuarded says whether it matters who a client over TCP is.
func sessionsGuarded(q *config.QD) bool {
	return len(q.AuthHTTPAddresses) > 0 || certificatesRequired(q)
}

// tellDoors logs what whoever reaches the node may do: that a door is open although
// another one is guarded is easily overlooked.
func tellDoors(q *config.QD, log *slog.Logger) {
	certified, guarded := certificatesRequired(q), sessionsGuarded(q)
	plain := q.HTTPAddress != "" && q.TLSRequired != config.TLSRequiredAlways
	secure := q.TLSCert != "" && q.HTTPSAddress != "" && !certified // the policy holds for HTTPS too
	web := (plain || secure) && q.HTTPAuth == ""
	var open []string
	if !guarded {
		open = append(open, "publishing and consuming over TCP")
	}
	if web {
		open = append(open, "publishing, figures and changes over HTTP")
	}
	if web && !guarded && q.MaxHTTPPolls > 0 {
		open = append(open, "consuming over HTTP")
	}
	if web && q.HTTPPeek {
		open = append(open, "looking at messages over HTTP")
	}
	if len(open) > 0 {
		log.Info("open to everybody who reaches this node", slog.String("doors", strings.Join(open, "; ")))
	}
	if web && guarded {
		log.Warn("HTTP is open while TCP is guarded: without --http-auth, everybody who reaches it may publish and delete")
	}
	if q.HTTPPeek && q.HTTPAuth == "" && guarded {
		log.Warn("--http-peek lets everybody who reaches HTTP read messages past the guard of TCP")
	}
}
