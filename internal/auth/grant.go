package auth

import (
	"fmt"
	"regexp"
	"time"
)

// answer is what an auth server says.
type answer struct {
	TTL            int64  `json:"ttl"` // seconds
	Identity       string `json:"identity"`
	IdentityURL    string `json:"identity_url"`
	Authorizations []struct {
		Topic       string   `json:"topic"`
		Channels    []string `json:"channels"`
		Permissions []string `json:"permissions"`
	} `json:"authorizations"`
}

// Grant is what a client may do, until it expires. It does not change and may
// be used concurrently.
type Grant struct {
	Identity, IdentityURL string
	Expires               time.Time

	permissions []permission
}

// permission is one authorization. Its expressions are not anchored.
type permission struct {
	publish, subscribe bool
	topic              *regexp.Regexp
	channels           []*regexp.Regexp
}

// maxTTL keeps what a server says within what a duration can hold.
const maxTTL = int64(10 * 365 * 24 * time.Hour / time.Second)

// grant checks an answer; one that cannot be understood in full grants nothing.
func (a *answer) grant(now time.Time) (*Grant, error) {
	if a.TTL <= 0 {
		return nil, fmt.Errorf("invalid TTL %d (must be >0)", a.TTL)
	}
	g := &Grant{
		Identity:    a.Identity,
		IdentityURL: a.IdentityURL,
		Expires:     now.Add(time.Duration(min(a.TTL, maxTTL)) * time.Second),
	}
	for _, from := range a.Authorizations {
		var p permission
		for _, word := range from.Permissions {
			switch word {
			case "publish":
				p.publish = true
			case "subscribe":
				p.subscribe = true
			default:
				return nil, fmt.Errorf("unknown permission %q", word)
			}
		}
		var err error
		if p.topic, err = regexp.Compile(from.Topic); err != nil {
			return nil, fmt.Errorf("topic: %w", err)
		}
		for _, text := range from.Channels {
			channel, err := regexp.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("channel: %w", err)
			}
			p.channels = append(p.channels, channel)
		}
		g.permissions = append(g.permissions, p)
	}
	return g, nil
}

// Permissions is how many authorizations there are.
func (g *Grant) Permissions() int { return len(g.permissions) }

// MayPublish tells whether the client may publish to a topic: an authorization
// to publish must match the topic, and one of its channels the empty name.
func (g *Grant) MayPublish(topic string) bool {
	for i := range g.permissions {
		if p := &g.permissions[i]; p.publish && p.matches(topic, "") {
			return true
		}
	}
	return false
}

// MaySubscribe tells whether the client may consume a channel.
func (g *Grant) MaySubscribe(topic, channel string) bool {
	for i := range g.permissions {
		if p := &g.permissions[i]; p.subscribe && p.matches(topic, channel) {
			return true
		}
	}
	return false
}

func (p *permission) matches(topic, channel string) bool {
	if !p.topic.MatchString(topic) {
		return false
	}
	for _, expression := range p.channels {
		if expression.MatchString(channel) {
			return true
		}
	}
	return false
}
