package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qmq/message"
)

// headed is a message of an HPUB or HMPUB.
func headed(headers, body string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(headers)))) + headers + body
}

// described are the messages of any batch.
func described(m Messages) (all []string) {
	for headers, body, ok := m.NextDescribed(); ok; headers, body, ok = m.NextDescribed() {
		all = append(all, fmt.Sprintf("%q %q", headers, body))
	}
	return all
}

func TestMessagesHaveTheirHeadersBeforeThem(t *testing.T) {
	p := Parser{Limits: testLimits, Headers: true}
	var cmd Command
	in := "HPUB t 1500\n" + sized(headed("headers", "body")) + "NOP\n"
	n, _, err := p.Parse([]byte(in), &cmd)
	if err != nil || n != len(in)-4 || cmd.Kind != Hpub || string(cmd.Topic) != "t" || string(cmd.Headers) != "headers" || string(cmd.Body) != "body" || cmd.Delay.Milliseconds() != 1500 {
		t.Errorf("n=%d err=%v cmd=%+v", n, err, cmd)
	}
	in = "HMPUB t\n" + mpub(headed("headers", "one"), headed("", "two"))
	n, _, err = p.Parse([]byte(in), &cmd)
	if got := described(cmd.Messages); err != nil || n != len(in) || cmd.Kind != Hmpub || cmd.Count != 2 || !slices.Equal(got, []string{`"headers" "one"`, `"" "two"`}) {
		t.Errorf("n=%d err=%v %q", n, err, got)
	}
	in = "MPUB t\n" + mpub(headed("headers", "one"))
	if _, _, err = p.Parse([]byte(in), &cmd); err != nil || !slices.Equal(described(cmd.Messages), []string{fmt.Sprintf("%q %q", "", headed("headers", "one"))}) {
		t.Errorf("an MPUB has headers: %q", described(cmd.Messages))
	}
}

func TestHeadersThatDoNotFitIntoTheirMessageAreRefused(t *testing.T) {
	long := strings.Repeat("x", 101)
	tests := []struct{ in, want string }{
		{"HPUB\n", "E_INVALID HPUB insufficient number of parameters"},
		{"HPUB a/b\n", `E_BAD_TOPIC HPUB topic name "a/b" is not valid`},
		{"HPUB t x\n", "E_INVALID HPUB could not parse timeout x"},
		{"HPUB t 3600001\n", "E_INVALID HPUB timeout 3600001 out of range 0-3600000"},
		{"HPUB t\n" + be32(0), "E_BAD_MESSAGE HPUB invalid message size 0"},
		{"HPUB t\n" + be32(2), "E_BAD_MESSAGE HPUB invalid message size 2"},
		{"HPUB t\n" + be32(100+2+16657+1), "E_BAD_MESSAGE HPUB message too big 16760 > 16759"},
		{"HPUB t\n" + be32(9) + "\x00\x07", "E_BAD_MESSAGE HPUB invalid message body size 0: of 7 bytes 7 are headers"},
		{"HPUB t\n" + be32(9) + "\xff\xff", "E_BAD_MESSAGE HPUB invalid message body size 0: of 7 bytes 65535 are headers"},
		{"HPUB t\n" + be32(103) + "\x00\x00", "E_BAD_MESSAGE HPUB message too big 101 > 100"},
		{"HMPUB t\n" + mpub(headed("h", ""))[:15], "E_BAD_MESSAGE HMPUB invalid message body size 0: of 1 bytes 1 are headers"},
		{"HMPUB t\n" + mpub(headed("h", "b"), headed("", long)), "E_BAD_MESSAGE HMPUB message too big 101 > 100"},
		{"HMPUB t\n" + be32(100) + be32(1) + be32(1) + "x", "E_BAD_MESSAGE HMPUB invalid message size 1"},
		{"HMPUB t\n" + be32(100) + be32(1) + be32(0), "E_BAD_MESSAGE HMPUB invalid message(0) body size 0"},
		{"HMPUB t\n" + be32(100) + be32(0), "E_BAD_BODY HMPUB invalid message count 0"},
	}
	for _, tt := range tests {
		p := Parser{Limits: testLimits, Headers: true}
		var cmd Command
		if _, _, err := p.Parse([]byte(tt.in), &cmd); err == nil || err.Error() != tt.want || !err.Fatal {
			t.Errorf("%q: %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestWhoDidNotNegotiateHeadersDoesNotKnowTheCommands(t *testing.T) {
	for _, name := range []string{"HPUB", "HMPUB"} {
		p := Parser{Limits: testLimits}
		var cmd Command
		if _, _, err := p.Parse([]byte(name+" t\n"), &cmd); err == nil || err.Error() != "E_INVALID invalid command "+name || !err.Fatal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFrameOfAMessageWithHeaders(t *testing.T) {
	id := message.ID([]byte(testID))
	m := message.Meta{Timestamp: 0x0102030405060708, Headers: message.AppendHeader(nil, "a", "1"), Key: []byte("k")}
	v := message.Decode(message.AppendNew(nil, &m, 0, []byte("body")))
	want := "x\x00\x00\x00\x30\x00\x00\x00\x03\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a" + testID +
		"\x00\x0c\x03key\x00\x01k\x01a\x00\x011body"
	if got := AppendDescribed([]byte("x"), &v, 0x090a, id); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, m := range []message.Meta{{Timestamp: 5}, {Timestamp: 5, DeliverAt: 7, OnlyFor: "c"}} {
		v := message.Decode(message.AppendNew(nil, &m, 0, []byte("body")))
		if got, want := AppendDescribed(nil, &v, 3, id), AppendMessage(nil, 5, 3, id, []byte("body")); string(got) != string(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
