package server

import (
	"encoding/json"
	"net"
	"time"

	"qmq/internal/auth"
	"qmq/protocol"
)

// authTerms are a client's AUTH and what it was granted.
type authTerms struct {
	secret string
	grant  *auth.Grant
}

// grantedTopic is the topic that a client was last allowed to publish to.
type grantedTopic struct {
	name  string
	until time.Time
}

// authAnswer is the answer to AUTH.
type authAnswer struct {
	Identity        string `json:"identity"`
	IdentityURL     string `json:"identity_url"`
	PermissionCount int    `json:"permission_count"`
}

// authenticate is AUTH. No heartbeat comes while the auth server is asked:
// clients expect their answer and nothing else.
func (s *session) authenticate(secret string) error {
	switch {
	case s.terms.auth != nil:
		return protocol.AuthAlreadySet()
	case s.tcp.o.Auth == nil:
		return protocol.AuthDisabled()
	}
	s.conn.Out.MuteHeartbeats()
	grant, err := s.askAuth(secret)
	if err != nil {
		return protocol.AuthFailed()
	}
	if grant.Permissions() == 0 {
		return protocol.NoAuthorizations()
	}
	s.agree(func(t *terms) { t.auth = &authTerms{secret, grant} })
	data, err := json.Marshal(authAnswer{grant.Identity, grant.IdentityURL, grant.Permissions()})
	if err != nil {
		return err
	}
	return s.conn.Out.WriteAndUnmute(protocol.AppendResponse(nil, data), s.interval) // which only this goroutine changes
}

func (s *session) askAuth(secret string) (*auth.Grant, error) {
	ip := ""
	if host, _, err := net.SplitHostPort(s.remote); err == nil {
		ip = host
	}
	_, overTLS := s.conn.TLS()
	return s.tcp.o.Auth.Ask(s.tcp.life, auth.Request{
		RemoteIP:   ip,
		TLS:        overTLS,
		CommonName: s.commonName(),
		Secret:     secret,
	})
}

// granted is what the client may do now. A grant that has expired is asked for
// again; until it does, the auth server need not be there.
func (s *session) granted(kind protocol.Kind) (*auth.Grant, *protocol.Error) {
	have := s.terms.auth
	if have == nil {
		return nil, protocol.AuthFirst(kind)
	}
	if time.Now().Before(have.grant.Expires) {
		return have.grant, nil
	}
	grant, err := s.askAuth(have.secret)
	if err != nil {
		return nil, protocol.AuthFailed()
	}
	s.agree(func(t *terms) { t.auth = &authTerms{have.secret, grant} })
	return grant, nil
}

// refusePublish tells, on a server with auth servers, why the client may not
// publish what it is about to: an MPUB or HMPUB before its body comes, whatever is wrong
// with that, a PUB, DPUB or HPUB once all of it has come. No other place asks.
func (s *session) refusePublish(cmd *protocol.Command, complete bool) *protocol.Error {
	switch cmd.Kind {
	case protocol.Mpub, protocol.Hmpub:
	case protocol.Pub, protocol.Dpub, protocol.Hpub:
		if !complete {
			return nil
		}
	default:
		return nil
	}
	kind, topic := cmd.Kind, cmd.Topic
	if s.mayTopic.name == string(topic) && time.Now().Before(s.mayTopic.until) {
		return nil
	}
	grant, refused := s.granted(kind)
	if refused != nil {
		return refused
	}
	if name := string(topic); !grant.MayPublish(name) {
		return protocol.Unauthorized(kind, name, "")
	}
	s.mayTopic = grantedTopic{string(topic), grant.Expires}
	return nil
}

// maySubscribe tells why the client may not consume a channel.
func (s *session) maySubscribe(topic, channel string) *protocol.Error {
	if s.tcp.o.Auth == nil {
		return nil
	}
	grant, refused := s.granted(protocol.Sub)
	if refused != nil {
		return refused
	}
	if !grant.MaySubscribe(topic, channel) {
		return protocol.Unauthorized(protocol.Sub, topic, channel)
	}
	return nil
}
