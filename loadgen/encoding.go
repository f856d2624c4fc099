package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"qmq/protocol"
)

// Encoding is what a V2 connection's bytes are wrapped in, both ways. The zero
// Encoding is none. Certificates are not verified: the server is measured, not
// trusted.
type Encoding struct {
	TLS     bool `json:"tls,omitempty"`
	Snappy  bool `json:"snappy,omitempty"`
	Deflate int  `json:"deflate,omitempty"` // level of both sides, 1 to 9; 0: no deflate
}

// check refuses what no server agrees to.
func (e Encoding) check() error {
	switch {
	case e.Deflate < 0 || e.Deflate > 9:
		return fmt.Errorf("loadgen: a deflate level of %d is not of 1 to 9", e.Deflate)
	case e.Snappy && e.Deflate > 0:
		return errors.New("loadgen: a connection is compressed once: snappy or deflate")
	}
	return nil
}

// String is the encoding in words; empty for none.
func (e Encoding) String() string {
	var words []string
	if e.TLS {
		words = append(words, "TLS")
	}
	if e.Snappy {
		words = append(words, "snappy")
	}
	if e.Deflate > 0 {
		words = append(words, fmt.Sprintf("deflate %d", e.Deflate))
	}
	return strings.Join(words, ", ")
}

// upgrade changes to the encoding after the server's answer to IDENTIFY; ctx
// bounds the handshake. Each step is confirmed in its own encoding.
func (e Encoding) upgrade(ctx context.Context, c *conn, agreed *protocol.IdentifyResponse) error {
	for _, step := range []struct {
		name           string
		wanted, agreed bool
		take           func() error
	}{
		{"TLS", e.TLS, agreed.TLSv1, func() error { return c.encrypt(ctx) }},
		{"snappy", e.Snappy, agreed.Snappy, func() error { return c.compress(newSnappy) }},
		{"deflate", e.Deflate > 0, agreed.Deflate, func() error { return c.compress(newDeflate(e.Deflate)) }},
	} {
		if !step.wanted {
			continue
		}
		if !step.agreed {
			return fmt.Errorf("the server does not offer %s", step.name)
		}
		if err := step.take(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		answer, err := c.response()
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if string(answer) != "OK" {
			return fmt.Errorf("%s: the server answers %q", step.name, answer)
		}
	}
	return nil
}

// identity is the body of IDENTIFY.
func (e Encoding) identity(heartbeatInterval int) ([]byte, error) {
	return json.Marshal(protocol.IdentifyRequest{
		UserAgent: userAgent, FeatureNegotiation: true, HeartbeatInterval: heartbeatInterval,
		TLSv1: e.TLS, Snappy: e.Snappy, Deflate: e.Deflate > 0, DeflateLevel: e.Deflate,
	})
}
