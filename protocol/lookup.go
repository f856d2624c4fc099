package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qmq/internal/names"
)

// LookupMagic is what a producer sends first to speak the lookup protocol, V1:
// lines like those of V2, and replies without a frame type,
//
//	 0          4
//	┌──────────┬──────┐
//	│ size i32 │ data │   big-endian; size counts data alone
//	└──────────┴──────┘
//
// one for each command, in order. After an error the connection is closed.
const LookupMagic = "  V1"

// LookupOK answers every lookup command but IDENTIFY.
const LookupOK = "OK"

// LookupKind names a command of the lookup protocol.
type LookupKind uint8

const (
	LookupIdentify LookupKind = iota + 1
	LookupRegister
	LookupUnregister
	LookupPing
)

var lookupNames = [...]string{
	LookupIdentify: "IDENTIFY", LookupRegister: "REGISTER", LookupUnregister: "UNREGISTER", LookupPing: "PING",
}

// String is the command's name on the wire.
func (k LookupKind) String() string {
	if int(k) < len(lookupNames) {
		return lookupNames[k]
	}
	return ""
}

// LookupCommand is one command of the lookup protocol. A parsed one aliases the
// buffer it was parsed from.
type LookupCommand struct {
	Kind    LookupKind
	Topic   []byte // of Register and Unregister
	Channel []byte // of the same; empty: the topic itself
	Body    []byte // of Identify: JSON
	// Rest is what follows a Ping in its line: which publishes the node takes, see
	// lookup.Taking. NSQ's nodes say nothing there, and its directories ignore it.
	Rest []byte
}

// LookupParser reads the commands of one producer. Its user sets the fields.
type LookupParser struct {
	MaxBodySize int64 // bytes in the body of an Identify
	Identified  bool  // an Identify was accepted
}

// Parse reads the one command at the front of buf, which may hold many.
//
// n > 0: the command is in *cmd and took n bytes. err != nil: the command is
// refused and the connection is to be closed after the error was sent.
// Otherwise the command is incomplete, and need > len(buf) is how long a buffer
// it takes, as far as that is known: at most MaxLine + 4 + MaxBodySize. A buffer
// should grow towards it as bytes arrive, since announcing costs a peer nothing.
func (p *LookupParser) Parse(buf []byte, cmd *LookupCommand) (n, need int, err *Error) {
	line, start, err := cutLine(buf)
	if err != nil {
		return 0, 0, fatalf(CodeInvalid, "%s", err.Text)
	}
	if start == 0 {
		return 0, len(buf) + 1, nil
	}
	args := params{rest: bytes.TrimSpace(line), left: true}
	name, _ := args.next()
	switch string(name) {
	case "PING":
		*cmd = LookupCommand{Kind: LookupPing}
		if args.left {
			cmd.Rest = args.rest
		}
		return start, 0, nil
	case "REGISTER":
		err = p.parseNames(LookupRegister, args, cmd)
	case "UNREGISTER":
		err = p.parseNames(LookupUnregister, args, cmd)
	case "IDENTIFY":
		return p.parseIdentify(buf, start, cmd)
	default:
		err = fatalf(CodeInvalid, "invalid command %s", name)
	}
	if err != nil {
		return 0, 0, err
	}
	return start, 0, nil
}

func (p *LookupParser) parseNames(kind LookupKind, args params, cmd *LookupCommand) *Error {
	if !p.Identified {
		return fatalf(CodeInvalid, "client must IDENTIFY")
	}
	topic, ok := args.next()
	if !ok {
		return fatalf(CodeInvalid, "%s insufficient number of params", kind)
	}
	if !names.Valid(topic) {
		return fatalf(CodeBadTopic, "%s topic name '%s' is not valid", kind, topic)
	}
	channel, _ := args.next()
	if len(channel) > 0 && !names.Valid(channel) {
		return fatalf(CodeBadChannel, "%s channel name '%s' is not valid", kind, channel)
	}
	*cmd = LookupCommand{Kind: kind, Topic: topic, Channel: channel}
	return nil
}

func (p *LookupParser) parseIdentify(buf []byte, start int, cmd *LookupCommand) (n, need int, err *Error) {
	if p.Identified {
		return 0, 0, fatalf(CodeInvalid, "cannot IDENTIFY again")
	}
	body := start + sizeLen
	if len(buf) < body {
		return 0, body, nil
	}
	switch size := int64(int32(binary.BigEndian.Uint32(buf[start:]))); {
	case size < 0:
		return 0, 0, fatalf(CodeBadBody, "IDENTIFY invalid body size %d", size)
	case size > p.MaxBodySize:
		return 0, 0, errBodyTooBig(Identify, size, p.MaxBodySize)
	default:
		end := body + int(size)
		if len(buf) < end {
			return 0, end, nil
		}
		*cmd = LookupCommand{Kind: LookupIdentify, Body: buf[body:end:end]}
		return end, 0, nil
	}
}

// Truncated is the error for a stream that ended with buf, of which Parse said
// that it is incomplete. It is nil when the stream ended between two commands
// or within a line, which is no error.
func (p *LookupParser) Truncated(buf []byte) *Error {
	_, start, _ := cutLine(buf)
	switch {
	case start == 0:
		return nil
	case len(buf)-start < sizeLen:
		return fatalf(CodeBadBody, "IDENTIFY failed to read body size")
	}
	return fatalf(CodeBadBody, "IDENTIFY failed to read body")
}

// LookupBadBody answers an Identify whose body says not what it must: reason
// is "failed to decode JSON body", "missing fields" or what is impossible in it.
func LookupBadBody(reason string) *Error { return fatalf(CodeBadBody, "IDENTIFY %s", reason) }

// LookupUnauthorized answers an Identify without the registration secret that
// the directory wants.
func LookupUnauthorized() *Error {
	return fatalf(CodeUnauthorized, "IDENTIFY registration secret is missing or wrong")
}

// AppendLookupCommand appends a command as it is sent.
func AppendLookupCommand(dst []byte, cmd *LookupCommand) []byte {
	dst = append(dst, cmd.Kind.String()...)
	switch cmd.Kind {
	case LookupRegister, LookupUnregister:
		dst = append(append(dst, ' '), cmd.Topic...)
		if len(cmd.Channel) > 0 {
			dst = append(append(dst, ' '), cmd.Channel...)
		}
	case LookupPing:
		if len(cmd.Rest) > 0 {
			dst = append(append(dst, ' '), cmd.Rest...)
		}
	case LookupIdentify:
		return AppendLookupReply(append(dst, '\n'), cmd.Body) // sized the same way
	}
	return append(dst, '\n')
}

// AppendLookupReply appends a reply with data of less than 2 GiB.
func AppendLookupReply[T string | []byte](dst []byte, data T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	return append(dst, data...)
}

// ErrLookupReply is what ReadLookupReply returns, wrapped with the size, when a
// reply announces an impossible length.
var ErrLookupReply = errors.New("impossible size of a lookup reply")

// ReadLookupReply reads one reply of at most most bytes. Memory is taken as the
// bytes arrive. An error other than ErrLookupReply is r's; a reply that is cut
// off gives io.ErrUnexpectedEOF, and a stream that ends before it io.EOF.
func ReadLookupReply(r io.Reader, most int) ([]byte, error) {
	var head [sizeLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head[:])))
	if size < 0 || size > int64(most) {
		return nil, fmt.Errorf("%w: %d bytes", ErrLookupReply, size)
	}
	data, err := io.ReadAll(io.LimitReader(r, size))
	if err == nil && int64(len(data)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}
