package protocol_test

import (
	"fmt"
	"time"

	"qmq/protocol"
)

// A session parses all that it has read and keeps what is incomplete for later.
func ExampleParser_Parse() {
	p := protocol.Parser{Limits: protocol.Limits{
		MaxMsgSize: 1 << 20, MaxBodySize: 5 << 20, MaxRdyCount: 2500, MaxReqTimeout: time.Hour,
	}}
	buf := []byte("NOP\nPUB orders\n\x00\x00\x00\x05hello" +
		"MPUB orders\n\x00\x00\x00\x0f\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02bb" +
		"PUB orders\n\x00\x00\x00\x05he")
	for {
		var cmd protocol.Command
		n, need, err := p.Parse(buf, &cmd)
		if err != nil {
			fmt.Println(err)
			return
		}
		if n == 0 {
			fmt.Printf("have %d of %d bytes\n", len(buf), need)
			return
		}
		fmt.Printf("%s %q %q\n", cmd.Kind, cmd.Topic, cmd.Body)
		for body, ok := cmd.Messages.Next(); ok; body, ok = cmd.Messages.Next() {
			fmt.Printf("- %s\n", body)
		}
		buf = buf[n:]
	}
	// Output:
	// NOP "" ""
	// PUB "orders" "hello"
	// MPUB "orders" ""
	// - a
	// - bb
	// have 17 of 20 bytes
}
