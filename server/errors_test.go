package server

import (
	"fmt"
	"strings"
	"testing"

	"qmq/protocol"
	"qmq/test/wire"
)

// TestErrors holds what clients are told about their mistakes, byte for byte,
// and whether the connection survives.
func TestErrors(t *testing.T) {
	const id = "0123456789abcdef"
	sub := "SUB errors ch\n"
	cls := sub + "CLS\n"
	long := strings.Repeat("x", 65)
	tests := []struct {
		name   string
		before string // answered before, see answers
		sent   string
		want   string
		open   bool
	}{
		{"unknown command", "", "HELLO world\n", "E_INVALID invalid command HELLO", false},
		{"empty line", "", "\n", "E_INVALID invalid command ", false},
		{"lower case", "", "pub t\n", "E_INVALID invalid command pub", false},

		{"IDENTIFY after SUB", sub, wire.Identify("{}"), "E_INVALID cannot IDENTIFY in current state", false},
		{"IDENTIFY too big", "", "IDENTIFY\n" + wire.Size(65537), "E_BAD_BODY IDENTIFY body too big 65537 > 65536", false},
		{"AUTH too big", "", "AUTH\n" + wire.Size(65537), "E_BAD_BODY AUTH body too big 65537 > 65536", false},
		{"IDENTIFY empty", "", "IDENTIFY\n" + wire.Size(0), "E_BAD_BODY IDENTIFY invalid body size 0", false},
		{"IDENTIFY no JSON", "", wire.Identify("hello"), "E_BAD_BODY IDENTIFY failed to decode JSON body", false},
		{"IDENTIFY wrong type", "", wire.Identify(`{"client_id":1}`), "E_BAD_BODY IDENTIFY failed to decode JSON body", false},
		{"IDENTIFY heartbeat", "", wire.Identify(`{"heartbeat_interval":60001}`), "E_BAD_BODY IDENTIFY heartbeat interval (60001) is invalid", false},
		{"IDENTIFY buffer timeout", "", wire.Identify(`{"output_buffer_timeout":30001}`), "E_BAD_BODY IDENTIFY output buffer timeout (30001) is invalid", false},
		{"IDENTIFY buffer size", "", wire.Identify(`{"output_buffer_size":63}`), "E_BAD_BODY IDENTIFY output buffer size (63) is invalid", false},
		{"IDENTIFY sample rate", "", wire.Identify(`{"sample_rate":100}`), "E_BAD_BODY IDENTIFY sample rate (100) is invalid", false},
		{"IDENTIFY msg timeout", "", wire.Identify(`{"msg_timeout":900001}`), "E_BAD_BODY IDENTIFY msg timeout (900001) is invalid", false},

		{"AUTH", "", "AUTH\n" + wire.Sized("secret"), "E_AUTH_DISABLED AUTH disabled", false},
		{"AUTH with parameters", "", "AUTH x\n" + wire.Sized("secret"), "E_INVALID AUTH invalid number of parameters", false},
		{"AUTH after SUB", sub, "AUTH\n" + wire.Sized("secret"), "E_INVALID cannot AUTH in current state", false},

		{"SUB twice", sub, sub, "E_INVALID cannot SUB in current state", false},
		{"SUB without heartbeats", wire.Identify(`{"heartbeat_interval":-1}`), sub, "E_INVALID cannot SUB with heartbeats disabled", false},
		{"SUB parameters", "", "SUB t\n", "E_INVALID SUB insufficient number of parameters", false},
		{"SUB topic", "", "SUB t$ c\n", `E_BAD_TOPIC SUB topic name "t$" is not valid`, false},
		{"SUB long topic", "", "SUB " + long + " c\n", `E_BAD_TOPIC SUB topic name "` + long + `" is not valid`, false},
		{"SUB channel", "", "SUB t c#x\n", `E_BAD_CHANNEL SUB channel name "c#x" is not valid`, false},

		{"PUB parameters", "", "PUB\n", "E_INVALID PUB insufficient number of parameters", false},
		{"PUB topic", "", "PUB a\"b\n", `E_BAD_TOPIC PUB topic name "a\"b" is not valid`, false},
		{"PUB empty", "", "PUB t\n" + wire.Size(0), "E_BAD_MESSAGE PUB invalid message body size 0", false},
		{"PUB negative", "", "PUB t\n" + wire.Size(-1), "E_BAD_MESSAGE PUB invalid message body size -1", false},
		{"PUB too big", "", "PUB t\n" + wire.Size(1048577), "E_BAD_MESSAGE PUB message too big 1048577 > 1048576", false},

		{"DPUB parameters", "", "DPUB t\n", "E_INVALID DPUB insufficient number of parameters", false},
		{"DPUB topic", "", "DPUB $ 1\n", `E_BAD_TOPIC DPUB topic name "$" is not valid`, false},
		{"DPUB no number", "", "DPUB t -1\n", "E_INVALID DPUB could not parse timeout -1", false},
		{"DPUB too long", "", "DPUB t 3600100\n", "E_INVALID DPUB timeout 3600100 out of range 0-3600000", false},
		{"DPUB empty", "", "DPUB t 1\n" + wire.Size(0), "E_BAD_MESSAGE DPUB invalid message body size 0", false},
		{"DPUB too big", "", "DPUB t 1\n" + wire.Size(1048577), "E_BAD_MESSAGE DPUB message too big 1048577 > 1048576", false},

		{"MPUB parameters", "", "MPUB\n", "E_INVALID MPUB insufficient number of parameters", false},
		{"MPUB topic", "", "MPUB $\n", `E_BAD_TOPIC MPUB topic name "$" is not valid`, false},
		{"MPUB empty", "", "MPUB t\n" + wire.Size(0), "E_BAD_BODY MPUB invalid body size 0", false},
		{"MPUB too big", "", "MPUB t\n" + wire.Size(5242881), "E_BAD_BODY MPUB body too big 5242881 > 5242880", false},
		{"MPUB count", "", "MPUB t\n" + wire.Sized(wire.Size(0)), "E_BAD_BODY MPUB invalid message count 0", false},
		{"MPUB count too high", "", "MPUB t\n" + wire.Sized(wire.Size(1048576)), "E_BAD_BODY MPUB invalid message count 1048576", false},
		{"MPUB empty message", "", wire.MPub("t", "1", "2", "3", "4", "5", "", "7"), "E_BAD_MESSAGE MPUB invalid message(5) body size 0", false},
		{"MPUB message too big", "", "MPUB t\n" + wire.Sized(wire.Size(1)+wire.Size(1048577)), "E_BAD_MESSAGE MPUB message too big 1048577 > 1048576", false},

		{"RDY before SUB", "", "RDY 1\n", "E_INVALID cannot RDY in current state", false},
		{"RDY no number", sub, "RDY x\n", "E_INVALID RDY could not parse count x", false},
		{"RDY too high", sub, "RDY 2501\n", "E_INVALID RDY count 2501 out of range 0-2500", false},

		{"FIN before SUB", "", "FIN " + id + "\n", "E_INVALID cannot FIN in current state", false},
		{"REQ before SUB", "", "REQ " + id + " 0\n", "E_INVALID cannot REQ in current state", false},
		{"TOUCH before SUB", "", "TOUCH " + id + "\n", "E_INVALID cannot TOUCH in current state", false},
		{"FIN parameters", sub, "FIN\n", "E_INVALID FIN insufficient number of params", false},
		{"REQ parameters", sub, "REQ " + id + "\n", "E_INVALID REQ insufficient number of params", false},
		{"TOUCH parameters", sub, "TOUCH\n", "E_INVALID TOUCH insufficient number of params", false},
		{"FIN empty id", sub, "FIN \n", "E_INVALID invalid message ID", false},
		{"REQ short id", sub, "REQ 123 0\n", "E_INVALID invalid message ID", false},
		{"TOUCH long id", sub, "TOUCH " + id + "0\n", "E_INVALID invalid message ID", false},
		{"REQ no number", sub, "REQ " + id + " -1\n", "E_INVALID REQ could not parse timeout -1", false},
		{"FIN unknown", sub, "FIN " + id + "\n", "E_FIN_FAILED FIN " + id + " failed ID not in flight", true},
		{"REQ unknown", sub, "REQ " + id + " 5\n", "E_REQ_FAILED REQ " + id + " failed ID not in flight", true},
		{"TOUCH unknown", sub, "TOUCH " + id + "\n", "E_TOUCH_FAILED TOUCH " + id + " failed ID not in flight", true},
		{"FIN no hexadecimal id", sub, "FIN zzzzzzzzzzzzzzz!\n", "E_FIN_FAILED FIN zzzzzzzzzzzzzzz! failed ID not in flight", true},

		{"CLS before SUB", "", "CLS\n", "E_INVALID cannot CLS in current state", false},
		{"CLS twice", cls, "CLS\n", "E_INVALID cannot CLS in current state", false},
		{"SUB after CLS", cls, sub, "E_INVALID cannot SUB in current state", false},
	}
	answers := map[string][]string{"": nil, sub: {"OK"}, cls: {"OK", "CLOSE_WAIT"}}
	r := start(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := r.connect(test.before)
			c.T = t
			before, known := answers[test.before]
			if !known {
				before = []string{"OK"}
			}
			c.Expect(before...)
			c.Send(test.sent)
			c.ExpectError(test.want)
			if test.open {
				c.ExpectOpen()
			} else {
				c.ExpectEnd()
			}
		})
	}
}

// TestTruncated holds what is said about a stream that ends within a command.
func TestTruncated(t *testing.T) {
	tests := []struct{ sent, want string }{
		{"PUB t\n", "E_BAD_MESSAGE PUB failed to read message body size"},
		{"PUB t\n" + wire.Size(10) + "123", "E_BAD_MESSAGE PUB failed to read message body"},
		{"DPUB t 5\n" + wire.Size(10), "E_BAD_MESSAGE DPUB failed to read message body"},
		{"MPUB t\n\x00", "E_BAD_BODY MPUB failed to read body size"},
		{"MPUB t\n" + wire.Size(10), "E_BAD_BODY MPUB failed to read message count"},
		{"MPUB t\n" + wire.Size(30) + wire.Size(2) + wire.Sized("a"), "E_BAD_MESSAGE MPUB failed to read message(1) body size"},
		{"MPUB t\n" + wire.Size(30) + wire.Size(1) + wire.Size(20) + "a", "E_BAD_MESSAGE MPUB failed to read message body"},
		{"IDENTIFY\n", "E_BAD_BODY IDENTIFY failed to read body size"},
		{"IDENTIFY\n" + wire.Size(9) + "{", "E_BAD_BODY IDENTIFY failed to read body"},
		{"AUTH\n" + wire.Size(9) + "{", "E_BAD_BODY AUTH failed to read body"},
	}
	r := start(t)
	for _, test := range tests {
		t.Run(fmt.Sprintf("%q", test.sent), func(t *testing.T) {
			c := r.connect(test.sent)
			c.T = t
			halfClose(c)
			c.ExpectError(test.want)
			c.ExpectEnd()
		})
	}
}

func TestEndWithinALineIsNoError(t *testing.T) {
	c := start(t).connect("PUB t")
	halfClose(c)
	c.ExpectEnd()
}

func TestLineTooLongClosesWithoutFrame(t *testing.T) {
	c := start(t).connect(strings.Repeat("x", protocol.MaxLine))
	c.ExpectEnd()
}

func TestBadMagic(t *testing.T) {
	r := start(t)
	for _, magic := range []string{"  V1", "GET / HTTP/1.1\r\n\r\n"} {
		c := r.dial()
		c.Send(magic)
		c.ExpectError("E_BAD_PROTOCOL")
		c.ExpectEnd()
	}
}

// TestFatalErrorArrivesWhileTheClientStillSends: what the server has not read
// must not reset the connection before the client has read the error.
func TestFatalErrorArrivesWhileTheClientStillSends(t *testing.T) {
	c := start(t).connect("PUB t\n" + wire.Size(2<<20))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 2<<20))
		sent <- err
	}()
	c.ExpectError("E_BAD_MESSAGE PUB message too big 2097152 > 1048576")
	c.ExpectEnd()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestWhatCameBeforeAMistakeIsCarriedOutAndAnswered(t *testing.T) {
	c := start(t).connect(wire.Pub("t", "a"), wire.MPub("u", "b", "c"), "SUB t ch\n", wire.Pub("t", "d"), "NONSENSE\n", wire.Pub("t", "e"))
	c.Expect("OK", "OK", "OK", "OK")
	c.ExpectError("E_INVALID invalid command NONSENSE")
	c.ExpectEnd()
}

func halfClose(c *wire.Conn) {
	c.T.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.T.Fatal(err)
	}
}
