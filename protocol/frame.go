package protocol

import (
	"encoding/binary"

	"qmq/message"
)

// FrameType says what a frame's data is.
type FrameType int32

// A frame is what the server sends, big-endian:
//
//	 0          4          8
//	┌──────────┬──────────┬──────┐
//	│ size i32 │ type i32 │ data │   size counts type and data
//	└──────────┴──────────┴──────┘
//
// and the data of a message frame is
//
//	 0                  8              10      26
//	┌──────────────────┬──────────────┬───────┬──────┐
//	│ timestamp i64 ns │ attempts u16 │ id 16 │ body │
//	└──────────────────┴──────────────┴───────┴──────┘
//
// That of a message with headers, for a client that negotiated them, has these before its
// body, as message.AttrHeaders draws them:
//
//	 0                  8              10      26         28
//	┌──────────────────┬──────────────┬───────┬──────────┬─────────┬──────┐
//	│ timestamp i64 ns │ attempts u16 │ id 16 │ size u16 │ headers │ body │
//	└──────────────────┴──────────────┴───────┴──────────┴─────────┴──────┘
//
// Key and priority of the message come first among them, so there may be two more than are
// published.
const (
	FrameResponse FrameType = 0
	FrameError    FrameType = 1
	FrameMessage  FrameType = 2
	FrameHeaders  FrameType = 3 // a message with headers
)

const (
	// FrameOverhead is the size of a frame without data.
	FrameOverhead = 8
	// MessageFrameOverhead is the size of a message frame without body.
	MessageFrameOverhead = FrameOverhead + 8 + 2 + len(message.ID{})
)

// Whole response frames, ready to be appended to a buffer. They are strings so
// that nobody can change them.
const (
	OKFrame        = "\x00\x00\x00\x06\x00\x00\x00\x00OK"
	HeartbeatFrame = "\x00\x00\x00\x0f\x00\x00\x00\x00_heartbeat_"
	CloseWaitFrame = "\x00\x00\x00\x0e\x00\x00\x00\x00CLOSE_WAIT"
)

// AppendFrame appends a frame with data of at most 2 GiB less 5 bytes.
func AppendFrame[T string | []byte](dst []byte, t FrameType, data T) []byte {
	return append(appendHeader(dst, t, len(data)), data...)
}

// AppendResponse appends a response frame.
func AppendResponse[T string | []byte](dst []byte, data T) []byte {
	return AppendFrame(dst, FrameResponse, data)
}

// AppendError appends the error frame of e. It appends nothing for
// ErrLineTooLong, which is not told to the client.
func AppendError(dst []byte, e *Error) []byte {
	if e.Code == "" {
		return dst
	}
	dst = appendHeader(dst, FrameError, e.textLen())
	return e.appendText(dst)
}

// AppendMessage appends the frame of a message: its timestamp (ns since 1970,
// of the publish), how often it was sent, this time included, its id and body.
func AppendMessage(dst []byte, timestamp int64, attempts uint16, id message.ID, body []byte) []byte {
	var h [MessageFrameOverhead]byte
	binary.BigEndian.PutUint32(h[0:], uint32(MessageFrameOverhead-sizeLen+len(body)))
	binary.BigEndian.PutUint32(h[4:], uint32(FrameMessage))
	binary.BigEndian.PutUint64(h[8:], uint64(timestamp))
	binary.BigEndian.PutUint16(h[16:], attempts)
	copy(h[18:], id[:])
	dst = append(dst, h[:]...)
	return append(dst, body...)
}

// AppendDescribed appends the frame of a message with its headers, key and priority, or,
// if it has none of them, as AppendMessage does. v is the message.
func AppendDescribed(dst []byte, v *message.View, attempts uint16, id message.ID) []byte {
	start := len(dst)
	var h [MessageFrameOverhead + headersLen]byte
	binary.BigEndian.PutUint32(h[4:], uint32(FrameHeaders))
	binary.BigEndian.PutUint64(h[8:], uint64(v.Timestamp))
	binary.BigEndian.PutUint16(h[16:], attempts)
	copy(h[18:], id[:])
	dst = append(dst, h[:]...)
	dst = v.AppendDescription(dst)
	headers := len(dst) - start - len(h)
	if headers == 0 {
		return AppendMessage(dst[:start], v.Timestamp, attempts, id, v.Body)
	}
	dst = append(dst, v.Body...)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-sizeLen))
	binary.BigEndian.PutUint16(dst[start+MessageFrameOverhead:], uint16(headers))
	return dst
}

func appendHeader(dst []byte, t FrameType, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(FrameOverhead-sizeLen+n))
	return binary.BigEndian.AppendUint32(dst, uint32(t))
}
