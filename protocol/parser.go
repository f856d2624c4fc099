package protocol

import (
	"bytes"
	"encoding/binary"
	"time"

	"qmq/internal/names"
	"qmq/message"
)

// Parser reads the commands of one session. The session sets the exported
// fields before a command is parsed; all but State usually stay as they are.
type Parser struct {
	Limits       Limits
	State        State
	NoHeartbeats bool // the client switched them off, so it may not SUB
	NeedsTLS     bool // it must use TLS and does not yet: it may only IDENTIFY
	Headers      bool // the client negotiated them, so it may HPUB and HMPUB

	// batch is how far the MPUB or HMPUB at the front of the buffer was checked when
	// Parse last called it incomplete, so that no message is checked again for
	// every packet that arrives. Its zero value is "not at all".
	batch batchCheck
}

// Parse reads the one command at the front of buf, which may hold many.
//
// n > 0: the command is in *cmd and took n bytes; *cmd aliases buf.
//
// err != nil: the command is refused; the error is always fatal, so what
// follows in buf is of no interest. It comes as soon as the bytes that are
// wrong are there, mostly before a body is. ErrLineTooLong is answered by
// closing only.
//
// Otherwise the command is incomplete. need > len(buf) is how long a buffer it
// takes to hold the command, as far as sizes were announced; it is at most
// MaxLine + Limits.MaxCommand(). A buffer should grow towards it,
// not to it at once, since announcing costs a client nothing. Parse is to be
// called again whenever bytes have been added behind those of buf, before need
// is reached too: an MPUB may announce more than it contains, and an error may
// show earlier.
//
// Without a command, cmd.Kind is 0, but for an MPUB or HMPUB: then it and cmd.Topic tell
// where it would publish to, as soon as its line is good, so that whoever may
// not is refused before the body comes, and whatever is wrong with it.
func (p *Parser) Parse(buf []byte, cmd *Command) (n, need int, err *Error) {
	cmd.Kind = 0
	line, start, err := cutLine(buf)
	if err != nil {
		return 0, 0, err
	}
	if start == 0 {
		return 0, len(buf) + 1, nil
	}
	args := params{rest: line, left: true}
	name, _ := args.next()
	kind := kindOf(name)
	if p.NeedsTLS && kind != Identify {
		return 0, 0, errTLSRequired(name)
	}
	if kind == 0 || (kind == Hpub || kind == Hmpub) && !p.Headers {
		return 0, 0, fatalf(CodeInvalid, "invalid command %s", name)
	}
	if !kind.allowedIn(p.State) {
		return 0, 0, errWrongState(kind)
	}
	switch kind {
	case Pub, Dpub:
		return p.parsePub(kind, args, buf, start, cmd)
	case Mpub, Hmpub:
		return p.parseMpub(kind, args, buf, start, cmd)
	case Hpub:
		return p.parseHpub(args, buf, start, cmd)
	case Identify, Auth:
		return p.parseBody(kind, args, buf, start, cmd)
	case Sub:
		err = p.parseSub(args, cmd)
	case Rdy:
		err = p.parseRdy(args, cmd)
	case Fin, Req, Touch:
		err = p.parseAnswer(kind, args, cmd)
	default:
		*cmd = Command{Kind: kind}
	}
	if err != nil {
		return 0, 0, err
	}
	return start, 0, nil
}

// Truncated is the error for a stream that ended with buf, of which Parse said
// that it is incomplete. It is nil when the stream ended between two commands
// or within a line, which is no error.
func (p *Parser) Truncated(buf []byte) *Error {
	var cmd Command
	p.batch = batchCheck{}
	n, _, err := p.Parse(buf, &cmd)
	if n > 0 || err != nil {
		return err
	}
	line, start, _ := cutLine(buf)
	if start == 0 {
		return nil
	}
	args := params{rest: line, left: true}
	name, _ := args.next()
	kind, noSize := kindOf(name), len(buf)-start < sizeLen
	switch {
	case kind == Pub || kind == Dpub || kind == Hpub:
		if noSize {
			return fatalf(CodeBadMessage, "%s failed to read message body size", kind)
		}
		return fatalf(CodeBadMessage, "%s failed to read message body", kind)
	case noSize:
		return fatalf(CodeBadBody, "%s failed to read body size", kind)
	case kind == Mpub || kind == Hmpub:
		return p.batch.truncated(buf[start+sizeLen:])
	}
	return fatalf(CodeBadBody, "%s failed to read body", kind)
}

func (p *Parser) parsePub(kind Kind, args params, buf []byte, start int, cmd *Command) (n, need int, err *Error) {
	topic, ok := args.next()
	var token []byte
	if ok && kind == Dpub {
		token, ok = args.next()
	}
	if !ok {
		return 0, 0, errTooFewParameters(kind)
	}
	if !names.Valid(topic) {
		return 0, 0, errBadTopic(kind, topic)
	}
	var delay time.Duration
	if kind == Dpub {
		if delay, err = p.parseDefer(Dpub, token); err != nil {
			return 0, 0, err
		}
	}
	body := start + sizeLen
	if len(buf) < body {
		return 0, body, nil
	}
	size := int64(int32(binary.BigEndian.Uint32(buf[start:])))
	if size <= 0 {
		return 0, 0, fatalf(CodeBadMessage, "%s invalid message body size %d", kind, size)
	}
	if size > p.Limits.MaxMsgSize {
		return 0, 0, errMessageTooBig(kind, size, p.Limits.MaxMsgSize)
	}
	end := body + int(size)
	if len(buf) < end {
		return 0, end, nil
	}
	*cmd = Command{Kind: kind, Topic: topic, Body: buf[body:end:end], Delay: delay}
	return end, 0, nil
}

// parseDefer reads the delay of a DPUB or HPUB, which must be within the limit.
func (p *Parser) parseDefer(kind Kind, token []byte) (time.Duration, *Error) {
	ms, ok := parseNumber(token)
	if !ok {
		return 0, errBadDelay(kind, token)
	}
	if limit := p.Limits.maxDelayMs(); ms > limit {
		return 0, fatalf(CodeInvalid, "%s timeout %d out of range 0-%d", kind, ms, limit)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// parseMpub reads an MPUB or HMPUB. The announced length is checked against its range
// but is not what ends the command: clients may get it wrong, so the batch's
// own sizes do.
func (p *Parser) parseMpub(kind Kind, args params, buf []byte, start int, cmd *Command) (n, need int, err *Error) {
	topic, ok := args.next()
	if !ok {
		return 0, 0, errTooFewParameters(kind)
	}
	if !names.Valid(topic) {
		return 0, 0, errBadTopic(kind, topic)
	}
	cmd.Kind, cmd.Topic = kind, topic
	size, body, err := bodySize(kind, p.Limits.MaxBodySize, buf, start)
	if err != nil || size == 0 {
		return 0, body, err
	}
	c := p.batch
	p.batch = batchCheck{}
	c.kind = kind
	least, err := c.advance(buf[body:], &p.Limits, p.Limits.MaxBodySize)
	if err != nil {
		return 0, 0, err
	}
	if least > 0 {
		p.batch = c
		// The announced length is the better guess, unless it is known to be
		// wrong.
		if size > least && body+size > len(buf) {
			least = size
		}
		return 0, body + least, nil
	}
	*cmd = Command{Kind: kind, Topic: topic, Count: c.count, Messages: c.messages(buf[body:])}
	return body + c.end, 0, nil
}

// parseBody reads IDENTIFY and AUTH, which carry one body.
func (p *Parser) parseBody(kind Kind, args params, buf []byte, start int, cmd *Command) (n, need int, err *Error) {
	if _, surplus := args.next(); surplus && kind == Auth {
		return 0, 0, fatalf(CodeInvalid, "AUTH invalid number of parameters")
	}
	size, body, err := bodySize(kind, min(p.Limits.MaxBodySize, MaxControlBody), buf, start)
	if err != nil || size == 0 {
		return 0, body, err
	}
	end := body + size
	if len(buf) < end {
		return 0, end, nil
	}
	*cmd = Command{Kind: kind, Body: buf[body:end:end]}
	return end, 0, nil
}

// bodySize reads the announced length at start, which is at most limit; the body
// begins at body. size is 0 when the length has not arrived yet, for which body bytes are needed.
func bodySize(kind Kind, limit int64, buf []byte, start int) (size, body int, err *Error) {
	body = start + sizeLen
	if len(buf) < body {
		return 0, body, nil
	}
	n := int64(int32(binary.BigEndian.Uint32(buf[start:])))
	if n > limit {
		return 0, 0, errBodyTooBig(kind, n, limit)
	}
	if n <= 0 {
		return 0, 0, fatalf(CodeBadBody, "%s invalid body size %d", kind, n)
	}
	return int(n), body, nil
}

func (p *Parser) parseSub(args params, cmd *Command) *Error {
	if p.NoHeartbeats {
		return fatalf(CodeInvalid, "cannot SUB with heartbeats disabled")
	}
	topic, _ := args.next()
	channel, ok := args.next()
	if !ok {
		return errTooFewParameters(Sub)
	}
	if !names.Valid(topic) {
		return errBadTopic(Sub, topic)
	}
	if !names.Valid(channel) {
		return fatalf(CodeBadChannel, "SUB channel name %q is not valid", channel)
	}
	*cmd = Command{Kind: Sub, Topic: topic, Channel: channel}
	return nil
}

// parseRdy reads an RDY. After CLS it is ignored, whatever its parameter, and
// becomes a Nop.
func (p *Parser) parseRdy(args params, cmd *Command) *Error {
	if p.State == StateClosing {
		*cmd = Command{Kind: Nop}
		return nil
	}
	count := uint64(1)
	if token, ok := args.next(); ok {
		if count, ok = parseNumber(token); !ok {
			return fatalf(CodeInvalid, "RDY could not parse count %s", token)
		}
	}
	if limit := max(0, p.Limits.MaxRdyCount); count > uint64(limit) {
		return fatalf(CodeInvalid, "RDY count %d out of range 0-%d", count, limit)
	}
	*cmd = Command{Kind: Rdy, Count: int64(count)}
	return nil
}

// parseAnswer reads FIN, REQ and TOUCH. Ids are only looked at for their
// length; whether a message has that id is for the channel to say.
func (p *Parser) parseAnswer(kind Kind, args params, cmd *Command) *Error {
	id, ok := args.next()
	var token []byte
	if ok && kind == Req {
		token, ok = args.next()
	}
	if !ok {
		return fatalf(CodeInvalid, "%s insufficient number of params", kind)
	}
	if len(id) != len(message.ID{}) {
		return fatalf(CodeInvalid, "invalid message ID")
	}
	var delay time.Duration
	if kind == Req {
		ms, ok := parseNumber(token)
		if !ok {
			return errBadDelay(Req, token)
		}
		delay = time.Duration(min(ms, p.Limits.maxDelayMs())) * time.Millisecond
	}
	*cmd = Command{Kind: kind, ID: message.ID(id), Delay: delay}
	return nil
}

// cutLine finds the line at the front of buf, without its line end; what
// follows begins at next. next is 0 when the line has not all arrived.
func cutLine(buf []byte) (line []byte, next int, err *Error) {
	end := bytes.IndexByte(buf[:min(len(buf), MaxLine)], '\n')
	if end < 0 {
		if len(buf) >= MaxLine {
			return nil, 0, ErrLineTooLong
		}
		return nil, 0, nil
	}
	next = end + 1
	if end > 0 && buf[end-1] == '\r' {
		end--
	}
	return buf[:end:end], next, nil
}

// params is a cursor over the blank-separated words of a line. Two blanks in a
// row have an empty word between them.
type params struct {
	rest []byte
	left bool // one more word, perhaps an empty one
}

func (a *params) next() (word []byte, ok bool) {
	if !a.left {
		return nil, false
	}
	for i, c := range a.rest {
		if c == ' ' {
			word, a.rest = a.rest[:i:i], a.rest[i+1:]
			return word, true
		}
	}
	a.left = false
	return a.rest, true
}

// parseNumber reads decimal digits and nothing else. No digit is 0, and what
// exceeds 64 bits wraps around, as clients know it.
func parseNumber(token []byte) (n uint64, ok bool) {
	for _, c := range token {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return n, true
}
