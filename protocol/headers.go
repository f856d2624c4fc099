package protocol

import (
	"encoding/binary"
	"time"

	"qmq/internal/names"
)

// HPUB publishes a message with headers, perhaps with a delay in ms:
//
//	HPUB <topic>[ <ms>]\n
//	┌──────────┬──────────┬─────────┬──────┐
//	│ size i32 │ size u16 │ headers │ body │   the first size counts all behind it, the second the headers
//	└──────────┴──────────┴─────────┴──────┘
//
// with the headers as message.AttrHeaders draws them. HMPUB is an MPUB of such messages,
// see Messages. They are for clients that negotiated headers. Headers that cannot be are
// answered with an error that closes nothing, by whoever carries the command out: what
// follows begins where the sizes say.

// headersLen is the length of the u16 that announces headers.
const headersLen = 2

// cutHeaders takes the headers off the front of a message that was checked.
func cutHeaders(msg []byte) (headers, body []byte) {
	at := headersLen + int(binary.BigEndian.Uint16(msg))
	return msg[headersLen:at:at], msg[at:]
}

// checkHeadersSize refuses a message of a size, of which the front is in msg, that is not
// headers and then a body of the right size.
func checkHeadersSize(kind Kind, msg []byte, size int64, l *Limits) *Error {
	if size < headersLen {
		return fatalf(CodeBadMessage, "%s invalid message size %d", kind, size)
	}
	headers := int64(binary.BigEndian.Uint16(msg))
	switch body := size - headersLen - headers; {
	case body <= 0:
		return fatalf(CodeBadMessage, "%s invalid message body size 0: of %d bytes %d are headers", kind, size-headersLen, headers)
	case body > l.MaxMsgSize:
		return errMessageTooBig(kind, body, l.MaxMsgSize)
	}
	return nil
}

func (p *Parser) parseHpub(args params, buf []byte, start int, cmd *Command) (n, need int, err *Error) {
	topic, ok := args.next()
	if !ok {
		return 0, 0, errTooFewParameters(Hpub)
	}
	if !names.Valid(topic) {
		return 0, 0, errBadTopic(Hpub, topic)
	}
	var delay time.Duration
	if token, ok := args.next(); ok {
		if delay, err = p.parseDefer(Hpub, token); err != nil {
			return 0, 0, err
		}
	}
	msg := start + sizeLen
	if len(buf) < msg {
		return 0, msg, nil
	}
	size := int64(int32(binary.BigEndian.Uint32(buf[start:])))
	if size <= headersLen {
		return 0, 0, fatalf(CodeBadMessage, "HPUB invalid message size %d", size)
	}
	if limit := p.Limits.maxMessage(Hpub); size > limit {
		return 0, 0, errMessageTooBig(Hpub, size, limit)
	}
	end := msg + int(size)
	if len(buf) < msg+headersLen {
		return 0, end, nil
	}
	if err := checkHeadersSize(Hpub, buf[msg:], size, &p.Limits); err != nil {
		return 0, 0, err
	}
	if len(buf) < end {
		return 0, end, nil
	}
	headers, body := cutHeaders(buf[msg:end:end])
	*cmd = Command{Kind: Hpub, Topic: topic, Headers: headers, Body: body, Delay: delay}
	return end, 0, nil
}
