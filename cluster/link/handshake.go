package link

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// The handshake, in frames with a CRC of at most maxHello:
//
//	dialling side                                        other side
//	"QLINK", kindHello: greeting              →
//	                                          ←          kindHello: greeting
//	kindProof: wall time u64, with each secret
//	    that it has a proof (32 bytes)        →
//	                                          ←          kindProof: proof with the secret
//	                                                     that both have, none without
//
// Either side may end it with kindRefuse and a line of text instead. The side that
// dials proves itself first, so that whoever merely connects gets nothing to try
// secrets on. What comes after it is sealed.
const preamble = "QLINK"

// handshakeTime is how long a handshake may take.
const handshakeTime = 2 * time.Second

const maxRefusal = 1 << 10

// Refusal means that one side of a connection does not want the other. Its text is
// for people and says what to do.
type Refusal struct {
	Text   string
	Theirs bool // the other side has said so
}

func (r *Refusal) Error() string {
	if r.Theirs {
		return "refused by the other side: " + r.Text
	}
	return "refused: " + r.Text
}

// conn is a connection in its handshake and after.
type conn struct {
	net.Conn          // with TLS, if there is
	raw      net.Conn // without
	in       *frameReader
	out      *sealer
	own      *greeting
	peer     *greeting
	skew     time.Duration // how far the peer's clock is ahead
}

func newConn(c, raw net.Conn) *conn {
	return &conn{Conn: c, raw: raw, in: newFrameReader(c, 8<<10, maxHello+kindBytes), out: new(sealer)}
}

// Close ends the connection at once: TLS would say good-bye first, and wait for a
// peer that hangs.
func (c *conn) Close() error { return c.raw.Close() }

func (c *conn) write(kind byte, body ...[]byte) error {
	frame := appendFrame(nil, kind, c.out.overhead(), body...)
	c.out.seal(frame)
	_, err := c.Write(frame)
	return err
}

// expect reads the next frame of the handshake.
func (c *conn) expect(kind byte) ([]byte, error) {
	got, body, err := c.in.next()
	switch {
	case err != nil:
		return nil, err
	case got == kindRefuse:
		return nil, &Refusal{Text: quotedText(body), Theirs: true}
	case got != kind:
		return nil, errGreeting
	}
	return body, nil
}

// refuse tells the other side why it is not wanted. Whether it hears that does not
// matter to this one.
func (c *conn) refuse(text string) error {
	_ = c.write(kindRefuse, []byte(text[:min(len(text), maxRefusal)]))
	return &Refusal{Text: text}
}

// credentials are what a side shows and checks.
type credentials struct {
	secrets [][]byte // none: the connection is open, or TLS has checked it
	auth    string
}

// How members know one another.
const (
	authSecret = "secret"
	authTLS    = "tls"
	authNone   = "none"
)

// judge says why a greeting is refused; skew is how far its clock is ahead.
type judge func(peer *greeting, skew time.Duration) string

// greet makes this side's greeting of what it says of itself.
func greet(h Hello, lane Lane, session uint64, to string, auth string) (*greeting, *ecdh.PrivateKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return &greeting{
		Hello: h, Version: Version, Lane: lane, Session: session, To: to, Auth: auth,
		Wall: time.Now().UnixNano(), Nonce: newNonce(), Key: key.PublicKey().Bytes(),
	}, key, nil
}

// dial is the handshake of the side that has dialled.
func (c *conn) dial(own *greeting, key *ecdh.PrivateKey, cred credentials, judge judge) error {
	c.own = own
	mine, err := own.append(nil)
	if err != nil {
		return err
	}
	sent := time.Now()
	if _, err := c.Write([]byte(preamble)); err != nil {
		return err
	}
	if err := c.write(kindHello, mine); err != nil {
		return err
	}
	theirs, err := c.greeting()
	if err != nil {
		return err
	}
	c.skew = skewOf(c.peer.Wall, sent, time.Now())
	if text := authRefusal(own, c.peer); text != "" {
		return c.refuse(text)
	}
	if text := judge(c.peer, c.skew); text != "" {
		return c.refuse(text)
	}
	a, err := agree(key, c.peer.Key, mine, theirs)
	if err != nil {
		return err
	}
	return c.prove(&a, cred)
}

// greeting reads the other side's, and returns its bytes.
func (c *conn) greeting() ([]byte, error) {
	body, err := c.expect(kindHello)
	if err != nil {
		return nil, err
	}
	text := append([]byte(nil), body...)
	if c.peer, err = parseGreeting(text); err != nil {
		return nil, c.refuse(err.Error())
	}
	return text, nil
}

// prove shows this side's secrets and checks the other's.
func (c *conn) prove(a *agreement, cred credentials) error {
	out := binary.LittleEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
	for _, s := range cred.secrets {
		out = append(out, a.proof(s, dialler)...)
	}
	if err := c.write(kindProof, out); err != nil {
		return err
	}
	proof, err := c.expect(kindProof)
	if err != nil || len(cred.secrets) == 0 {
		return err
	}
	if len(proof) != sha256.Size {
		return errGreeting
	}
	secret := a.matching(cred.secrets, proof, acceptor)
	if secret == nil {
		return c.refuse(wrongSecret(c.own, c.peer))
	}
	return c.sealWith(a, secret, dialler, acceptor)
}

// accept is the handshake of the side that was dialled, up to where it would say yes:
// welcome does. own makes its greeting.
func (c *conn) accept(own func(peer *greeting) (*greeting, *ecdh.PrivateKey, error), cred credentials, judge judge) (welcome func() error, err error) {
	var start [len(preamble)]byte
	for n := 0; n < len(start); {
		got, err := c.Read(start[n:])
		if n += got; err != nil {
			return nil, err
		}
	}
	if string(start[:]) != preamble {
		return nil, fmt.Errorf("%w: this is the port of members of a set, not of clients", ErrFrame)
	}
	theirs, err := c.greeting()
	if err != nil {
		return nil, err
	}
	var key *ecdh.PrivateKey
	if c.own, key, err = own(c.peer); err != nil {
		return nil, err
	}
	mine, err := c.own.append(nil)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	if err := c.write(kindHello, mine); err != nil {
		return nil, err
	}
	proofs, err := c.expect(kindProof)
	if err != nil {
		return nil, err
	}
	const wallBytes = 8
	if len(proofs) < wallBytes {
		return nil, errGreeting
	}
	c.skew = skewOf(int64(binary.LittleEndian.Uint64(proofs)), sent, time.Now())
	if text := authRefusal(c.own, c.peer); text != "" {
		return nil, c.refuse(text)
	}
	a, err := agree(key, c.peer.Key, theirs, mine)
	if err != nil {
		return nil, err
	}
	return c.check(&a, proofs[wallBytes:], cred, judge)
}

// check checks the dialling side's proofs and its greeting.
func (c *conn) check(a *agreement, proofs []byte, cred credentials, judge judge) (welcome func() error, err error) {
	var secret []byte
	if len(cred.secrets) > 0 {
		if secret = a.matching(cred.secrets, proofs, dialler); secret == nil {
			return nil, c.refuse(wrongSecret(c.own, c.peer))
		}
	}
	if text := judge(c.peer, c.skew); text != "" {
		return nil, c.refuse(text)
	}
	return func() error {
		if secret == nil {
			return c.write(kindProof)
		}
		if err := c.write(kindProof, a.proof(secret, acceptor)); err != nil {
			return err
		}
		return c.sealWith(a, secret, acceptor, dialler)
	}, nil
}

// sealWith has all further frames sealed with keys of the secret.
func (c *conn) sealWith(a *agreement, secret []byte, own, peer role) (err error) {
	if c.out, err = a.sealer(secret, own); err != nil {
		return err
	}
	c.in.s, err = a.sealer(secret, peer)
	return err
}

// authRefusal says why the sides cannot know one another.
func authRefusal(own, peer *greeting) string {
	if own.Auth == peer.Auth {
		return ""
	}
	words := map[string]string{authSecret: "--cluster-secret-file", authTLS: "--cluster-tls-cert", authNone: "neither --cluster-secret-file nor --cluster-tls-cert"}
	theirs, ok := words[peer.Auth]
	if !ok {
		theirs = quoted(peer.Auth)
	}
	return fmt.Sprintf("%s is started with %s and %s with %s: give all members the same", quoted(peer.Address), theirs, own.Address, words[own.Auth])
}

func wrongSecret(own, peer *greeting) string {
	return fmt.Sprintf("%s and %s have no secret in common: give all members the same --cluster-secret-file", own.Address, quoted(peer.Address))
}

// skewOf is how far a clock that showed wall between two moments of ours is ahead, by
// the midpoint; the error is at most half the time between them, which is taken off.
func skewOf(wall int64, sent, came time.Time) time.Duration {
	half := came.Sub(sent) / 2
	skew := time.Duration(wall - sent.Add(half).UnixNano())
	return toward0(skew, half)
}

// toward0 moves d toward 0 by as much as it may be wrong.
func toward0(d, wrong time.Duration) time.Duration {
	switch {
	case d > wrong:
		return d - wrong
	case d < -wrong:
		return d + wrong
	}
	return 0
}

// quotedText shows a refusal of the other side, on one line.
func quotedText(text []byte) string {
	line := make([]byte, 0, len(text))
	for _, b := range text[:min(len(text), maxRefusal)] {
		if b < ' ' || b == 0x7f {
			b = ' '
		}
		line = append(line, b)
	}
	return string(line)
}

// isRefusal tells refusals from connections that failed.
func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}
