package crash

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"qmq/internal/crc32c"
)

// A body says by itself who sent it and whether it is whole. Its head is
// hexadecimal text, so that a body may also travel as a line of /mpub:
//
//	┌───────┬──────────┬──────────┬────────┬──────────────────────┬─────────┐
//	│ crc 8 │ stream 4 │ number 8 │ kind 1 │ due 16, if deferred  │ payload │
//	└───────┴──────────┴──────────┴────────┴──────────────────────┴─────────┘
//
// The CRC-32C covers everything after itself. due is the wall clock of the
// publisher in ns, taken before the command was sent, plus the delay.
const (
	headSize = 8 + 4 + 8 + 1
	dueSize  = 16
)

// kind says how a message was published.
type kind byte

const (
	kindPub       kind = 'p' // PUB
	kindMulti     kind = 'm' // MPUB
	kindDeferred  kind = 'd' // DPUB
	kindHTTP      kind = 'h' // POST /pub
	kindHTTPDefer kind = 'e' // POST /pub?defer=
	kindHTTPText  kind = 't' // POST /mpub
	kindHTTPMulti kind = 'b' // POST /mpub?binary=true
)

func (k kind) deferred() bool { return k == kindDeferred || k == kindHTTPDefer }

// known reports whether a publisher makes messages of this kind.
func (k kind) known() bool {
	switch k {
	case kindPub, kindMulti, kindDeferred, kindHTTP, kindHTTPDefer, kindHTTPText, kindHTTPMulti:
		return true
	}
	return false
}

// content is what a body says.
type content struct {
	stream uint16
	number uint32
	kind   kind
	due    int64 // ns since 1970; 0 when not deferred
}

var (
	errAltered = errors.New("the body's checksum is wrong")
	errForeign = errors.New("the body is none of ours")
)

const hexDigits = "0123456789abcdef"

// hexValue is 0xff for what is no hexadecimal digit.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte(hexDigits) {
		t[c] = byte(i)
	}
	return t
}()

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

func parseHex(b []byte) (v uint64, ok bool) {
	var bad byte
	for _, c := range b {
		x := hexValue[c]
		bad |= x
		v = v<<4 | uint64(x&15)
	}
	return v, bad&0xf0 == 0
}

// appendBody appends the body of a message.
func appendBody(dst []byte, c content, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, "00000000"...)
	dst = appendHex(dst, uint64(c.stream), 4)
	dst = appendHex(dst, uint64(c.number), 8)
	dst = append(dst, byte(c.kind))
	if c.kind.deferred() {
		dst = appendHex(dst, uint64(c.due), dueSize)
	}
	dst = append(dst, payload...)
	appendHex(dst[:at], uint64(crc32c.Sum(dst[at+8:])), 8)
	return dst
}

// bodySize is what appendBody adds for a payload of n bytes.
func bodySize(k kind, n int) int {
	if k.deferred() {
		n += dueSize
	}
	return headSize + n
}

// parseBody checks a body and reads its head.
func parseBody(b []byte) (content, error) {
	if len(b) < headSize {
		return content{}, errForeign
	}
	sum, ok := parseHex(b[:8])
	if !ok {
		return content{}, errForeign
	}
	if uint32(sum) != crc32c.Sum(b[8:]) {
		return content{}, errAltered
	}
	stream, ok1 := parseHex(b[8:12])
	number, ok2 := parseHex(b[12:20])
	c := content{stream: uint16(stream), number: uint32(number), kind: kind(b[20])}
	if !ok1 || !ok2 || !c.kind.known() {
		return content{}, errForeign
	}
	if c.kind.deferred() {
		if len(b) < headSize+dueSize {
			return content{}, errForeign
		}
		due, ok := parseHex(b[headSize : headSize+dueSize])
		if !ok {
			return content{}, errForeign
		}
		c.due = int64(due)
	}
	return c, nil
}

// Payload sizes: most are short, some span several pages, a few are larger
// than any buffer on the way.
const (
	shortPayload = 200
	longPayload  = 8 << 10
	hugePayload  = 200 << 10
	poolSize     = hugePayload + 64<<10
)

// payloads hands out random bytes without making any.
type payloads struct {
	rng    *rand.Rand
	binary []byte // any byte
	text   []byte // any byte but the newline
}

func newPayloads(rng *rand.Rand) *payloads {
	p := &payloads{rng: rng, binary: make([]byte, poolSize), text: make([]byte, poolSize)}
	for i := 0; i < poolSize; i += 8 {
		binary.LittleEndian.PutUint64(p.binary[i:], rng.Uint64())
	}
	for i, c := range p.binary {
		if c == '\n' {
			c = '\r'
		}
		p.text[i] = c
	}
	return p
}

// next is a payload for a message of this kind, valid for ever.
func (p *payloads) next(k kind) []byte {
	r := p.rng.Uint64()
	n := int(r>>32) % shortPayload
	switch dice := uint32(r) % 20_000; {
	case dice == 0 && (k == kindPub || k == kindHTTP):
		n = p.rng.IntN(hugePayload)
	case dice < 20:
		n = p.rng.IntN(longPayload)
	}
	from := int(r>>16&0xffff) % (poolSize - n)
	if k == kindHTTPText {
		return p.text[from : from+n]
	}
	return p.binary[from : from+n]
}
