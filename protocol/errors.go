package protocol

import (
	"fmt"

	"qmq/message"
)

// Code is the first word of an error frame; clients decide by it.
type Code string

const (
	CodeBadProtocol    Code = "E_BAD_PROTOCOL"
	CodeInvalid        Code = "E_INVALID"
	CodeBadBody        Code = "E_BAD_BODY"
	CodeBadTopic       Code = "E_BAD_TOPIC"
	CodeBadChannel     Code = "E_BAD_CHANNEL"
	CodeBadMessage     Code = "E_BAD_MESSAGE"
	CodeIdentifyFailed Code = "E_IDENTIFY_FAILED"
	CodeAuthDisabled   Code = "E_AUTH_DISABLED"
	CodeAuthFailed     Code = "E_AUTH_FAILED"
	CodeAuthFirst      Code = "E_AUTH_FIRST"
	CodeUnauthorized   Code = "E_UNAUTHORIZED"
	CodeSubFailed      Code = "E_SUB_FAILED"
	CodePubFailed      Code = "E_PUB_FAILED"
	CodeMpubFailed     Code = "E_MPUB_FAILED"
	CodeDpubFailed     Code = "E_DPUB_FAILED"
	CodeHpubFailed     Code = "E_HPUB_FAILED"
	CodeHmpubFailed    Code = "E_HMPUB_FAILED"
	CodeFinFailed      Code = "E_FIN_FAILED"
	CodeReqFailed      Code = "E_REQ_FAILED"
	CodeTouchFailed    Code = "E_TOUCH_FAILED"
)

// Error is the answer to a command that cannot be obeyed. Errors are not
// changed once made.
type Error struct {
	Code  Code
	Text  string // what follows the code and a blank; may be empty
	Fatal bool   // the connection is closed after the error was sent
}

// ErrLineTooLong means that the client sent MaxLine bytes without a newline.
// The connection is closed and no frame is sent: the error has no code.
var ErrLineTooLong = &Error{Text: "command line too long", Fatal: true}

// Error is the data of the error frame: code, blank, text.
func (e *Error) Error() string { return string(e.appendText(nil)) }

func (e *Error) appendText(dst []byte) []byte {
	dst = append(dst, e.Code...)
	if e.Code != "" && e.Text != "" {
		dst = append(dst, ' ')
	}
	return append(dst, e.Text...)
}

func (e *Error) textLen() int {
	if e.Text == "" {
		return len(e.Code)
	}
	return len(e.Code) + 1 + len(e.Text)
}

func fatalf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...), Fatal: true}
}

// BadProtocol answers a connection that does not begin with Magic.
func BadProtocol() *Error { return &Error{Code: CodeBadProtocol, Fatal: true} }

// IdentifyFailed answers an IDENTIFY whose upgrade failed.
func IdentifyFailed(reason string) *Error {
	return fatalf(CodeIdentifyFailed, "IDENTIFY failed %s", reason)
}

// AuthDisabled answers a well-formed AUTH on a server that wants none.
func AuthDisabled() *Error { return fatalf(CodeAuthDisabled, "AUTH disabled") }

// AuthAlreadySet answers a second AUTH.
func AuthAlreadySet() *Error { return fatalf(CodeInvalid, "AUTH already set") }

// AuthFailed answers a command when the auth server refuses the secret or
// cannot be asked.
func AuthFailed() *Error { return fatalf(CodeAuthFailed, "AUTH failed") }

// NoAuthorizations answers an AUTH whose secret is good for nothing.
func NoAuthorizations() *Error { return fatalf(CodeUnauthorized, "AUTH no authorizations found") }

// AuthFirst answers a command that needs an AUTH before it.
func AuthFirst(kind Kind) *Error {
	return fatalf(CodeAuthFirst, "AUTH required before %s", kind)
}

// Unauthorized answers a command that the client's authorizations do not
// allow; channel is empty for those that publish.
func Unauthorized(kind Kind, topic, channel string) *Error {
	return fatalf(CodeUnauthorized, "AUTH failed for %s on %q %q", kind, topic, channel)
}

// SubFailed answers a SUB that the channel or topic refuses.
func SubFailed(reason string) *Error { return fatalf(CodeSubFailed, "SUB failed %s", reason) }

// TooManyConsumers answers a SUB to a channel that has limit consumers already.
func TooManyConsumers(topic, channel string, limit int) *Error {
	return SubFailed(fmt.Sprintf("consumers for %s:%s exceeds limit of %d", topic, channel, limit))
}

// PublishFailed answers a command that publishes and was understood, but could not
// be stored, or whose headers cannot be. It closes nothing: publishes pipelined behind it are answered each
// on its own.
func PublishFailed(kind Kind, reason string) *Error {
	code := CodePubFailed
	switch kind {
	case Mpub:
		code = CodeMpubFailed
	case Dpub:
		code = CodeDpubFailed
	case Hpub:
		code = CodeHpubFailed
	case Hmpub:
		code = CodeHmpubFailed
	}
	return &Error{Code: code, Text: kind.String() + " failed " + reason}
}

// AnswerFailed answers a Fin, Req or Touch of a message that the consumer does
// not hold, or no longer. It closes nothing.
func AnswerFailed(kind Kind, id message.ID, reason string) *Error {
	code := CodeFinFailed
	switch kind {
	case Req:
		code = CodeReqFailed
	case Touch:
		code = CodeTouchFailed
	}
	return &Error{Code: code, Text: kind.String() + " " + string(id[:]) + " failed " + reason}
}

func errWrongState(kind Kind) *Error {
	return fatalf(CodeInvalid, "cannot %s in current state", kind)
}

func errTLSRequired(name []byte) *Error {
	return fatalf(CodeInvalid, "cannot %s in current state (TLS required)", name)
}

func errTooFewParameters(kind Kind) *Error {
	return fatalf(CodeInvalid, "%s insufficient number of parameters", kind)
}

func errBadTopic(kind Kind, name []byte) *Error {
	return fatalf(CodeBadTopic, "%s topic name %q is not valid", kind, name)
}

func errBadDelay(kind Kind, token []byte) *Error {
	return fatalf(CodeInvalid, "%s could not parse timeout %s", kind, token)
}

func errBodyTooBig(kind Kind, size, limit int64) *Error {
	return fatalf(CodeBadBody, "%s body too big %d > %d", kind, size, limit)
}

func errMessageTooBig(kind Kind, size, limit int64) *Error {
	return fatalf(CodeBadMessage, "%s message too big %d > %d", kind, size, limit)
}
