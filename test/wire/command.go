// Package wire is a raw client of protocol V2 for tests: it sends what it is
// told, right or wrong, and takes frames apart. It shares no code with the
// server. A Client is for much traffic and returns errors; a Conn is for tests that
// go step by step, and ends them when what comes is not what they expect.
package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Magic begins a connection.
const Magic = "  V2"

// Kinds of frames.
const (
	Response = 0
	Error    = 1
	Delivery = 2
	Headed   = 3 // a delivery with headers
)

// Heartbeat is the response that a client answers with NOP.
const Heartbeat = "_heartbeat_"

// Size is a number as it stands before what it is the size of.
func Size(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// Sized is a body behind its size.
func Sized(body string) string { return Size(len(body)) + body }

// Identify is an IDENTIFY with a JSON body.
func Identify(json string) string { return "IDENTIFY\n" + Sized(json) }

// Pub is a PUB.
func Pub(topic, body string) string { return "PUB " + topic + "\n" + Sized(body) }

// DPub is a DPUB with a delay in milliseconds.
func DPub(topic string, ms int, body string) string {
	return fmt.Sprintf("DPUB %s %d\n", topic, ms) + Sized(body)
}

// MPub is an MPUB.
func MPub(topic string, bodies ...string) string {
	var b strings.Builder
	b.WriteString(Size(len(bodies)))
	for _, body := range bodies {
		b.WriteString(Sized(body))
	}
	return "MPUB " + topic + "\n" + Sized(b.String())
}

// HPub is an HPUB; headers are keys and values in turn.
func HPub(topic, body string, headers ...string) string {
	return "HPUB " + topic + "\n" + Sized(Headers(headers...)+body)
}

// HMPub is an HMPUB of messages that begin with Headers.
func HMPub(topic string, messages ...string) string {
	return "HM" + strings.TrimPrefix(MPub(topic, messages...), "M")
}

// Headers are keys and values in turn, as they stand before a body.
func Headers(list ...string) string {
	var b []byte
	for i := 0; i < len(list); i += 2 {
		b = append(append(b, byte(len(list[i]))), list[i]...)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(list[i+1]))), list[i+1]...)
	}
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(b)))) + string(b)
}
