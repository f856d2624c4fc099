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
