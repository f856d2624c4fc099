package protocol

import (
	"encoding/binary"
	"math"
)

// A batch is what follows the announced length of an MPUB, and the body of a
// binary HTTP /mpub, big-endian:
//
//	┌───────────┬──────────┬──────┬──────────┬──────┬
//	│ count i32 │ size i32 │ body │ size i32 │ body │ …   count times
//	└───────────┴──────────┴──────┴──────────┴──────┴
//
// In that of an HMPUB, and of an HTTP /mpub with binary=headers, each message begins with
// its headers, as in an HPUB, and size counts them too.

// Messages is a cursor over the bodies of a checked batch. A copy goes on
// independently from the same place.
type Messages struct {
	rest    []byte
	headers bool // each message begins with its headers
}

// Next returns the next body, which aliases the batch; ok is false after the
// last one.
func (m *Messages) Next() (body []byte, ok bool) {
	if len(m.rest) < sizeLen {
		return nil, false
	}
	end := sizeLen + int(binary.BigEndian.Uint32(m.rest))
	if uint(end) > uint(len(m.rest)) {
		return nil, false
	}
	body, m.rest = m.rest[sizeLen:end:end], m.rest[end:]
	return body, true
}

// NextDescribed is Next of any batch; headers are encoded, see message.AttrHeaders, and
// not checked.
func (m *Messages) NextDescribed() (headers, body []byte, ok bool) {
	body, ok = m.Next()
	if ok && m.headers {
		headers, body = cutHeaders(body)
	}
	return headers, body, ok
}

// ParseBatch checks the body of a binary /mpub, which is laid out as in an Mpub or an Hmpub, and returns its messages and
// their number. Bytes after the last message are ignored. The error's code is
// CodeBadBody or CodeBadMessage; TooBig tells those that exceed a limit.
func ParseBatch(kind Kind, body []byte, l Limits) (m Messages, count int64, err *Error) {
	c := batchCheck{kind: kind}
	// All of the body is here, so a batch that claims more is cut short rather
	// than too big.
	need, err := c.advance(body, &l, math.MaxInt64)
	switch {
	case err != nil:
		return Messages{}, 0, err
	case need > 0:
		return Messages{}, 0, c.truncated(body)
	case int64(c.end) > l.MaxBodySize:
		return Messages{}, 0, errBodyTooBig(kind, int64(c.end), l.MaxBodySize)
	}
	return c.messages(body), c.count, nil
}

// batchCheck is how far a batch that arrives piece by piece was found valid.
type batchCheck struct {
	kind  Kind  // Mpub or Hmpub
	count int64 // messages announced; 0 until the count was read
	index int64 // the first message that is not yet whole
	end   int   // where that message begins, in bytes from the count
}

// minMessage is the size of the smallest message of a batch.
func (c *batchCheck) minMessage() int {
	if c.kind == Hmpub {
		return sizeLen + headersLen + 1
	}
	return sizeLen + 1
}

// advance checks what has arrived since the last call; b is all of the batch
// so far. need is 0 when the batch is complete; else it is the least that the
// batch can come to, given the sizes seen. A batch that must come to more than
// maxBody is an error as soon as that is known.
func (c *batchCheck) advance(b []byte, l *Limits, maxBody int64) (need int, err *Error) {
	if c.count == 0 || c.end > len(b) {
		if err := c.begin(b, l); err != nil || c.count == 0 {
			return sizeLen, err
		}
	}
	minMessage := c.minMessage()
	for c.index < c.count {
		rest := c.count - c.index - 1
		if len(b)-c.end < sizeLen {
			return c.end + minMessage*int(rest+1), nil
		}
		size := int64(int32(binary.BigEndian.Uint32(b[c.end:])))
		if size <= 0 {
			return 0, fatalf(CodeBadMessage, "%s invalid message(%d) body size %d", c.kind, c.index, size)
		}
		if limit := l.maxMessage(c.kind); size > limit {
			return 0, errMessageTooBig(c.kind, size, limit)
		}
		end := int64(c.end) + sizeLen + size
		if least := end + int64(minMessage)*rest; least > maxBody {
			return 0, errBodyTooBig(c.kind, least, maxBody)
		} else if end > int64(len(b)) {
			return int(least), nil
		}
		if c.kind == Hmpub {
			if err := checkHeadersSize(Hmpub, b[c.end+sizeLen:end], size, l); err != nil {
				return 0, err
			}
		}
		c.end = int(end)
		c.index++
	}
	return 0, nil
}

// begin reads the count. c.count stays 0 when it has not arrived yet.
func (c *batchCheck) begin(b []byte, l *Limits) *Error {
	*c = batchCheck{kind: c.kind}
	if len(b) < sizeLen {
		return nil
	}
	count := int64(int32(binary.BigEndian.Uint32(b)))
	if count <= 0 || count > l.MaxMessages() {
		return fatalf(CodeBadBody, "%s invalid message count %d", c.kind, count)
	}
	c.count, c.end = count, sizeLen
	return nil
}

// messages is the cursor over a batch that was found complete.
func (c *batchCheck) messages(b []byte) Messages {
	return Messages{rest: b[sizeLen:c.end:c.end], headers: c.kind == Hmpub}
}

// truncated is the error for a batch that ends before it is complete; c has
// advanced over all of b.
func (c *batchCheck) truncated(b []byte) *Error {
	switch {
	case c.count == 0:
		return fatalf(CodeBadBody, "%s failed to read message count", c.kind)
	case len(b)-c.end < sizeLen:
		return fatalf(CodeBadMessage, "%s failed to read message(%d) body size", c.kind, c.index)
	}
	return fatalf(CodeBadMessage, "%s failed to read message body", c.kind)
}
