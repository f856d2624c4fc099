package protocol

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"qmq/message"
)

var testLimits = Limits{MaxMsgSize: 100, MaxBodySize: 1000, MaxRdyCount: 50, MaxReqTimeout: time.Hour}

const testID = "0123456789abcdef"

// sized is a body behind its length.
func sized(body string) string { return be32(len(body)) + body }

func be32(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// mpub is the payload of an MPUB with the announced length right.
func mpub(bodies ...string) string { return sized(batchOf(bodies...)) }

func batchOf(bodies ...string) string {
	b := be32(len(bodies))
	for _, body := range bodies {
		b += sized(body)
	}
	return b
}

func TestInvalidCommandsAreRefusedWithExactTextAndFatally(t *testing.T) {
	const i, s, c = StateInit, StateSubscribed, StateClosing
	bad65 := strings.Repeat("n", 65)
	tests := []struct {
		state State
		in    string
		want  string
	}{
		{i, "\n", "E_INVALID invalid command "},
		{i, "\r\n", "E_INVALID invalid command "},
		{i, " PUB t\n", "E_INVALID invalid command "},
		{i, "pub t\n", "E_INVALID invalid command pub"},
		{i, "PUBX t\n", "E_INVALID invalid command PUBX"},
		{i, "GET / HTTP/1.1\r\n", "E_INVALID invalid command GET"},
		{i, "\r\r\n", "E_INVALID invalid command \r"},

		{s, "IDENTIFY\n", "E_INVALID cannot IDENTIFY in current state"},
		{c, "IDENTIFY\n", "E_INVALID cannot IDENTIFY in current state"},
		{i, "IDENTIFY\n" + be32(1001), "E_BAD_BODY IDENTIFY body too big 1001 > 1000"},
		{i, "IDENTIFY\n" + be32(0), "E_BAD_BODY IDENTIFY invalid body size 0"},
		{i, "IDENTIFY\n" + be32(-7), "E_BAD_BODY IDENTIFY invalid body size -7"},

		{s, "AUTH\n", "E_INVALID cannot AUTH in current state"},
		{c, "AUTH\n", "E_INVALID cannot AUTH in current state"},
		{i, "AUTH secret\n", "E_INVALID AUTH invalid number of parameters"},
		{i, "AUTH \n", "E_INVALID AUTH invalid number of parameters"},
		{i, "AUTH\n" + be32(1001), "E_BAD_BODY AUTH body too big 1001 > 1000"},
		{i, "AUTH\n" + be32(0), "E_BAD_BODY AUTH invalid body size 0"},
		{i, "AUTH\n" + be32(-1), "E_BAD_BODY AUTH invalid body size -1"},

		{s, "SUB t c\n", "E_INVALID cannot SUB in current state"},
		{c, "SUB\n", "E_INVALID cannot SUB in current state"},
		{i, "SUB\n", "E_INVALID SUB insufficient number of parameters"},
		{i, "SUB t\n", "E_INVALID SUB insufficient number of parameters"},
		{i, "SUB  \n", `E_BAD_TOPIC SUB topic name "" is not valid`},
		{i, "SUB a\"b c\n", `E_BAD_TOPIC SUB topic name "a\"b" is not valid`},
		{i, "SUB " + bad65 + " c\n", `E_BAD_TOPIC SUB topic name "` + bad65 + `" is not valid`},
		{i, "SUB t \n", `E_BAD_CHANNEL SUB channel name "" is not valid`},
		{i, "SUB t  c\n", `E_BAD_CHANNEL SUB channel name "" is not valid`},
		{i, "SUB t c!\n", `E_BAD_CHANNEL SUB channel name "c!" is not valid`},

		{i, "PUB\n", "E_INVALID PUB insufficient number of parameters"},
		{i, "PUB \n", `E_BAD_TOPIC PUB topic name "" is not valid`},
		{i, "PUB $\n", `E_BAD_TOPIC PUB topic name "$" is not valid`},
		{i, "PUB t\n" + be32(0), "E_BAD_MESSAGE PUB invalid message body size 0"},
		{i, "PUB t\n" + be32(-1), "E_BAD_MESSAGE PUB invalid message body size -1"},
		{i, "PUB t\n" + be32(105), "E_BAD_MESSAGE PUB message too big 105 > 100"},

		{i, "DPUB\n", "E_INVALID DPUB insufficient number of parameters"},
		{i, "DPUB $\n", "E_INVALID DPUB insufficient number of parameters"},
		{i, "DPUB $ x\n", `E_BAD_TOPIC DPUB topic name "$" is not valid`},
		{i, "DPUB t -1\n", "E_INVALID DPUB could not parse timeout -1"},
		{i, "DPUB t 1.5\n", "E_INVALID DPUB could not parse timeout 1.5"},
		{i, "DPUB t 3600100\n", "E_INVALID DPUB timeout 3600100 out of range 0-3600000"},
		{i, "DPUB t 18446744073709551615\n", "E_INVALID DPUB timeout 18446744073709551615 out of range 0-3600000"},
		{i, "DPUB t 1\n" + be32(0), "E_BAD_MESSAGE DPUB invalid message body size 0"},
		{i, "DPUB t 1\n" + be32(101), "E_BAD_MESSAGE DPUB message too big 101 > 100"},

		{i, "MPUB\n", "E_INVALID MPUB insufficient number of parameters"},
		{i, "MPUB #ephemeral\n", `E_BAD_TOPIC MPUB topic name "#ephemeral" is not valid`},
		{i, "MPUB t\n" + be32(0), "E_BAD_BODY MPUB invalid body size 0"},
		{i, "MPUB t\n" + be32(-1), "E_BAD_BODY MPUB invalid body size -1"},
		{i, "MPUB t\n" + be32(1148), "E_BAD_BODY MPUB body too big 1148 > 1000"},
		{i, "MPUB t\n" + be32(900) + be32(0), "E_BAD_BODY MPUB invalid message count 0"},
		{i, "MPUB t\n" + be32(900) + be32(-2), "E_BAD_BODY MPUB invalid message count -2"},
		{i, "MPUB t\n" + be32(900) + be32(200), "E_BAD_BODY MPUB invalid message count 200"},
		{i, "MPUB t\n" + mpub("a", "a", "a", "a", "a", ""), "E_BAD_MESSAGE MPUB invalid message(5) body size 0"},
		{i, "MPUB t\n" + be32(900) + be32(2) + be32(-5), "E_BAD_MESSAGE MPUB invalid message(0) body size -5"},
		{i, "MPUB t\n" + be32(900) + be32(2) + be32(101), "E_BAD_MESSAGE MPUB message too big 101 > 100"},

		{i, "RDY 1\n", "E_INVALID cannot RDY in current state"},
		{s, "RDY x\n", "E_INVALID RDY could not parse count x"},
		{s, "RDY -1\n", "E_INVALID RDY could not parse count -1"},
		{s, "RDY 51\n", "E_INVALID RDY count 51 out of range 0-50"},
		{s, "RDY 9223372036854775808\n", "E_INVALID RDY count 9223372036854775808 out of range 0-50"},

		{i, "FIN " + testID + "\n", "E_INVALID cannot FIN in current state"},
		{i, "REQ\n", "E_INVALID cannot REQ in current state"},
		{i, "TOUCH\n", "E_INVALID cannot TOUCH in current state"},
		{s, "FIN\n", "E_INVALID FIN insufficient number of params"},
		{s, "REQ " + testID + "\n", "E_INVALID REQ insufficient number of params"},
		{c, "TOUCH\n", "E_INVALID TOUCH insufficient number of params"},
		{s, "FIN \n", "E_INVALID invalid message ID"},
		{s, "FIN " + testID + "0\n", "E_INVALID invalid message ID"},
		{s, "FIN  " + testID + "\n", "E_INVALID invalid message ID"},
		{s, "REQ " + testID[1:] + " x\n", "E_INVALID invalid message ID"},
		{s, "TOUCH x\n", "E_INVALID invalid message ID"},
		{s, "REQ " + testID + " -1\n", "E_INVALID REQ could not parse timeout -1"},

		{i, "CLS\n", "E_INVALID cannot CLS in current state"},
		{c, "CLS\n", "E_INVALID cannot CLS in current state"},
	}
	for _, tt := range tests {
		p := Parser{Limits: testLimits, State: tt.state}
		var cmd Command
		// Only the last byte may decide: the error is known as soon as what is
		// wrong is there, and not before.
		for i := range len(tt.in) {
			if n, need, err := p.Parse([]byte(tt.in[:i]), &cmd); n != 0 || err != nil || need <= i {
				t.Fatalf("%q: after %d bytes: n=%d need=%d err=%v", tt.in, i, n, need, err)
			}
		}
		n, need, err := p.Parse([]byte(tt.in), &cmd)
		if err == nil || n != 0 || need != 0 {
			t.Errorf("%q in state %d: n=%d need=%d, want error %q", tt.in, tt.state, n, need, tt.want)
			continue
		}
		if err.Error() != tt.want || !err.Fatal {
			t.Errorf("%q in state %d: got %q fatal=%v, want fatal %q", tt.in, tt.state, err, err.Fatal, tt.want)
		}
	}
}

func TestSubWithHeartbeatsDisabledIsRefusedBeforeItsParameters(t *testing.T) {
	p := Parser{Limits: testLimits, NoHeartbeats: true}
	var cmd Command
	_, _, err := p.Parse([]byte("SUB\n"), &cmd)
	if err == nil || err.Error() != "E_INVALID cannot SUB with heartbeats disabled" || !err.Fatal {
		t.Fatalf("got %v", err)
	}
	p.State = StateSubscribed
	if _, _, err = p.Parse([]byte("SUB\n"), &cmd); err.Error() != "E_INVALID cannot SUB in current state" {
		t.Fatalf("the state must be checked first, got %v", err)
	}
}

func TestValidCommandsCarryTheirParameters(t *testing.T) {
	const i, s, c = StateInit, StateSubscribed, StateClosing
	id := message.ID([]byte(testID))
	tests := []struct {
		state State
		in    string
		want  Command
	}{
		{i, "IDENTIFY\n" + sized("{}"), Command{Kind: Identify, Body: []byte("{}")}},
		{i, "IDENTIFY and more\r\n" + sized("{}"), Command{Kind: Identify, Body: []byte("{}")}},
		{i, "AUTH\n" + sized("secret"), Command{Kind: Auth, Body: []byte("secret")}},
		{i, "SUB t c\n", Command{Kind: Sub, Topic: []byte("t"), Channel: []byte("c")}},
		{i, "SUB .. c#ephemeral\r\n", Command{Kind: Sub, Topic: []byte(".."), Channel: []byte("c#ephemeral")}},
		{i, "SUB t c surplus\n", Command{Kind: Sub, Topic: []byte("t"), Channel: []byte("c")}},
		{i, "PUB t\n" + sized("b"), Command{Kind: Pub, Topic: []byte("t"), Body: []byte("b")}},
		{s, "PUB t\n" + sized("a\nb"), Command{Kind: Pub, Topic: []byte("t"), Body: []byte("a\nb")}},
		{c, "PUB t x y\n" + sized(strings.Repeat("x", 100)), Command{Kind: Pub, Topic: []byte("t"), Body: bytes.Repeat([]byte("x"), 100)}},
		{i, "DPUB t 1500\n" + sized("b"), Command{Kind: Dpub, Topic: []byte("t"), Body: []byte("b"), Delay: 1500 * time.Millisecond}},
		{i, "DPUB t 3600000\n" + sized("b"), Command{Kind: Dpub, Topic: []byte("t"), Body: []byte("b"), Delay: time.Hour}},
		{i, "DPUB t \n" + sized("b"), Command{Kind: Dpub, Topic: []byte("t"), Body: []byte("b")}},
		{i, "DPUB t 18446744073709551617\n" + sized("b"), Command{Kind: Dpub, Topic: []byte("t"), Body: []byte("b"), Delay: time.Millisecond}},
		{s, "RDY\n", Command{Kind: Rdy, Count: 1}},
		{s, "RDY \n", Command{Kind: Rdy, Count: 0}},
		{s, "RDY 50\n", Command{Kind: Rdy, Count: 50}},
		{s, "RDY 007 8\n", Command{Kind: Rdy, Count: 7}},
		{s, "RDY 18446744073709551618\n", Command{Kind: Rdy, Count: 2}},
		{c, "RDY nonsense\n", Command{Kind: Nop}},
		{s, "FIN " + testID + "\n", Command{Kind: Fin, ID: id}},
		{c, "FIN " + testID + "\r\n", Command{Kind: Fin, ID: id}},
		{s, "FIN \x00\xff!!!!!!!!!!!!!!\n", Command{Kind: Fin, ID: message.ID([]byte("\x00\xff!!!!!!!!!!!!!!"))}},
		{s, "TOUCH " + testID + "\n", Command{Kind: Touch, ID: id}},
		{s, "REQ " + testID + " 0\n", Command{Kind: Req, ID: id}},
		{s, "REQ " + testID + " \n", Command{Kind: Req, ID: id}},
		{s, "REQ " + testID + " 90\n", Command{Kind: Req, ID: id, Delay: 90 * time.Millisecond}},
		{s, "REQ " + testID + " 3600001\n", Command{Kind: Req, ID: id, Delay: time.Hour}},
		{c, "REQ " + testID + " 18446744073709551615\n", Command{Kind: Req, ID: id, Delay: time.Hour}},
		{s, "CLS\n", Command{Kind: Cls}},
		{i, "NOP\n", Command{Kind: Nop}},
		{s, "NOP x\n", Command{Kind: Nop}},
		{c, "NOP\r\n", Command{Kind: Nop}},
	}
	for _, tt := range tests {
		p := Parser{Limits: testLimits, State: tt.state}
		cmd := Command{Topic: []byte("stale"), Count: 99, Body: []byte("stale")}
		n, need, err := p.Parse([]byte(tt.in+"NEXT"), &cmd)
		if err != nil || n != len(tt.in) || need != 0 {
			t.Errorf("%q: n=%d need=%d err=%v", tt.in, n, need, err)
			continue
		}
		if !sameCommand(cmd, tt.want) {
			t.Errorf("%q: got %+v, want %+v", tt.in, cmd, tt.want)
		}
	}
}

func sameCommand(a, b Command) bool {
	return a.Kind == b.Kind && bytes.Equal(a.Topic, b.Topic) && bytes.Equal(a.Channel, b.Channel) &&
		a.ID == b.ID && bytes.Equal(a.Body, b.Body) && a.Count == b.Count && a.Delay == b.Delay &&
		bytes.Equal(a.Messages.rest, b.Messages.rest)
}

func TestSlicesOfACommandCannotGrowIntoTheBuffer(t *testing.T) {
	buf := []byte("PUB t\n" + sized("body") + "NOP\n")
	p := Parser{Limits: testLimits}
	var cmd Command
	n, _, _ := p.Parse(buf, &cmd)
	_ = append(cmd.Body, "XXXX"...)
	_ = append(cmd.Topic, "XXXX"...)
	if string(buf[n:]) != "NOP\n" || string(cmd.Body) != "body" {
		t.Fatalf("buffer changed: %q", buf)
	}
}

// session is a stream of every command that keeps its connection, with the
// kinds that come out.
var (
	session = "IDENTIFY\n" + sized(`{"client_id":"x"}`) + "AUTH\n" + sized("s") +
		"NOP\nPUB t\n" + sized("one") + "DPUB t 5\r\n" + sized("two") + "MPUB t\n" + mpub("a", "bb", "ccc") +
		"SUB t c\nRDY 5\nFIN " + testID + "\nREQ " + testID + " 7\nTOUCH " + testID + "\nCLS\nRDY x\nNOP\n"
	sessionKinds = []Kind{Identify, Auth, Nop, Pub, Dpub, Mpub, Sub, Rdy, Fin, Req, Touch, Cls, Nop, Nop}
)

// follow moves the parser's state as a server does.
func follow(p *Parser, kind Kind) {
	switch kind {
	case Sub:
		p.State = StateSubscribed
	case Cls:
		p.State = StateClosing
	}
}

func TestPipelinedCommandsComeOutOneByOne(t *testing.T) {
	p := Parser{Limits: testLimits}
	buf := []byte(session)
	var kinds []Kind
	for len(buf) > 0 {
		var cmd Command
		n, _, err := p.Parse(buf, &cmd)
		if err != nil || n == 0 {
			t.Fatalf("n=%d err=%v at %q", n, err, buf)
		}
		follow(&p, cmd.Kind)
		kinds, buf = append(kinds, cmd.Kind), buf[n:]
	}
	if string(asBytes(kinds)) != string(asBytes(sessionKinds)) {
		t.Fatalf("got %v", kinds)
	}
}

func TestEveryPrefixOfACommandIsIncomplete(t *testing.T) {
	p := Parser{Limits: testLimits}
	stream := []byte(session)
	var kinds []Kind
	for start, end := 0, 0; end <= len(stream); end++ {
		var cmd Command
		n, need, err := p.Parse(stream[start:end:end], &cmd)
		switch {
		case err != nil:
			t.Fatalf("at %q: %v", stream[start:end], err)
		case n == 0 && need <= end-start:
			t.Fatalf("at %q: need %d", stream[start:end], need)
		case n > 0 && n != end-start:
			t.Fatalf("at %q: took %d", stream[start:end], n)
		case n > 0:
			follow(&p, cmd.Kind)
			kinds, start = append(kinds, cmd.Kind), end
		}
	}
	if string(asBytes(kinds)) != string(asBytes(sessionKinds)) {
		t.Fatalf("got %v", kinds)
	}
}

func asBytes(kinds []Kind) (b []byte) {
	for _, k := range kinds {
		b = append(b, byte(k))
	}
	return b
}

func TestNeedIsWhatWasAnnounced(t *testing.T) {
	tests := []struct {
		in   string
		need int
	}{
		{"", 1},
		{"PUB", 4},
		{"PUB t\n", 10},
		{"PUB t\n" + be32(77), 87},
		{"PUB t\n" + be32(77) + "x", 87},
		{"IDENTIFY\n", 13},
		{"IDENTIFY\n" + be32(999), 13 + 999},
		{"MPUB t\n", 11},
		{"MPUB t\n" + be32(900), 11 + 900},
		{"MPUB t\n" + be32(1), 11 + 4},
		{"MPUB t\n" + be32(900) + be32(10), 11 + 900},
		// The announced length is known to be too small.
		{"MPUB t\n" + be32(10) + be32(10), 11 + 4 + 10*5},
		{"MPUB t\n" + be32(10) + be32(3) + be32(50), 11 + 4 + 4 + 50 + 2*5},
	}
	for _, tt := range tests {
		p := Parser{Limits: testLimits}
		var cmd Command
		n, need, err := p.Parse([]byte(tt.in), &cmd)
		if n != 0 || err != nil || need != tt.need {
			t.Errorf("%q: n=%d need=%d err=%v, want need %d", tt.in, n, need, err, tt.need)
		}
	}
}

func TestLineWithoutNewlineIsTooLongAt16384Bytes(t *testing.T) {
	line := []byte("NOP " + strings.Repeat("x", MaxLine-5) + "\n")
	p := Parser{Limits: testLimits}
	var cmd Command
	if n, _, err := p.Parse(line, &cmd); n != MaxLine || err != nil {
		t.Fatalf("longest line: n=%d err=%v", n, err)
	}
	if n, need, err := p.Parse(line[:MaxLine-1], &cmd); n != 0 || need != MaxLine || err != nil {
		t.Fatalf("n=%d need=%d err=%v", n, need, err)
	}
	long := append([]byte("x"), line...)
	for _, buf := range [][]byte{long, long[:MaxLine]} {
		if _, _, err := p.Parse(buf, &cmd); err != ErrLineTooLong {
			t.Fatalf("got %v", err)
		}
	}
	if got := AppendError(nil, ErrLineTooLong); len(got) != 0 || !ErrLineTooLong.Fatal {
		t.Fatalf("a line too long is closed without a frame, got %q", got)
	}
}

func TestStreamThatEndsWithinACommandNamesWhatIsMissing(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"PUB", ""},
		{"IDENTIFY", ""},
		{"IDENTIFY\n", "E_BAD_BODY IDENTIFY failed to read body size"},
		{"IDENTIFY\n\x00\x00\x00", "E_BAD_BODY IDENTIFY failed to read body size"},
		{"IDENTIFY\n" + be32(3) + "{}", "E_BAD_BODY IDENTIFY failed to read body"},
		{"AUTH\n", "E_BAD_BODY AUTH failed to read body size"},
		{"AUTH\n" + be32(3), "E_BAD_BODY AUTH failed to read body"},
		{"PUB t\n\x00", "E_BAD_MESSAGE PUB failed to read message body size"},
		{"PUB t\n" + be32(2) + "x", "E_BAD_MESSAGE PUB failed to read message body"},
		{"DPUB t 1\n", "E_BAD_MESSAGE DPUB failed to read message body size"},
		{"DPUB t 1\n" + be32(2), "E_BAD_MESSAGE DPUB failed to read message body"},
		{"MPUB t\n", "E_BAD_BODY MPUB failed to read body size"},
		{"MPUB t\n" + be32(50) + "\x00", "E_BAD_BODY MPUB failed to read message count"},
		{"MPUB t\n" + be32(50) + be32(3), "E_BAD_MESSAGE MPUB failed to read message(0) body size"},
		{"MPUB t\n" + be32(50) + be32(3) + sized("a") + "\x00", "E_BAD_MESSAGE MPUB failed to read message(1) body size"},
		{"MPUB t\n" + be32(50) + be32(3) + sized("a") + be32(9) + "12345678", "E_BAD_MESSAGE MPUB failed to read message body"},
	}
	for _, tt := range tests {
		for _, parsedBefore := range []bool{false, true} {
			p := Parser{Limits: testLimits}
			if parsedBefore {
				var cmd Command
				if n, _, err := p.Parse([]byte(tt.in), &cmd); n != 0 || err != nil {
					t.Fatalf("%q: n=%d err=%v", tt.in, n, err)
				}
			}
			err := p.Truncated([]byte(tt.in))
			switch {
			case tt.want == "" && err == nil:
			case err == nil || err.Error() != tt.want || !err.Fatal:
				t.Errorf("%q: got %v, want fatal %q", tt.in, err, tt.want)
			}
		}
	}
}

func TestTruncatedSaysNothingOfACompleteCommandAndRepeatsAnError(t *testing.T) {
	p := Parser{Limits: testLimits}
	if err := p.Truncated([]byte("NOP\n")); err != nil {
		t.Errorf("got %v", err)
	}
	if err := p.Truncated([]byte("CLS\n")); err == nil || err.Error() != "E_INVALID cannot CLS in current state" {
		t.Errorf("got %v", err)
	}
}

// Whoever breaks the rule that bytes are only added gets wrong messages, but
// neither a panic nor bytes from outside the buffer.
func TestForeignBytesBehindAnIncompleteMpubDoNotPanic(t *testing.T) {
	p := Parser{Limits: testLimits}
	var cmd Command
	p.Parse([]byte("MPUB t\n"+be32(100)+be32(2)+sized(strings.Repeat("a", 40))), &cmd)
	for _, other := range []string{batchOf("b", "c"), be32(2) + strings.Repeat("\xff", 60), be32(1)} {
		p.Parse([]byte("MPUB t\n"+be32(100)+other), &cmd)
		bodies(cmd.Messages)
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	p := Parser{Limits: testLimits, State: StateSubscribed}
	streams := map[string]string{
		"PUB":  "PUB topic\n" + sized(strings.Repeat("x", 100)),
		"MPUB": "MPUB topic\n" + mpub("aaaaa", "bbbbb", "ccccc", "ddddd"),
		"DPUB": "DPUB topic 1000\n" + sized("x"),
		"FIN":  "FIN " + testID + "\n",
		"REQ":  "REQ " + testID + " 1000\n",
		"RDY":  "RDY 10\n",
	}
	for name, stream := range streams {
		buf := []byte(stream)
		allocs := testing.AllocsPerRun(100, func() {
			var cmd Command
			p.Parse(buf[:len(buf)-1], &cmd)
			if n, _, err := p.Parse(buf, &cmd); n != len(buf) || err != nil {
				t.Fatalf("%s: n=%d err=%v", name, n, err)
			}
			for _, ok := cmd.Messages.Next(); ok; _, ok = cmd.Messages.Next() {
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// TestMpubTellsItsTopicBeforeItsBody, so that who may not publish there is refused
// first. No other command is told of before it is whole.
func TestMpubTellsItsTopicBeforeItsBody(t *testing.T) {
	for buf, told := range map[string]string{
		"MPUB t":               "",
		"MPUB t\n":             "t",
		"MPUB t\n" + be32(100): "t",
		"MPUB t\n" + be32(-1):  "t", // which is refused
		"MPUB t\n" + be32(8) + be32(1) + be32(-1): "t",
		"MPUB $\n":                   "",
		"MPUB\n":                     "",
		"PUB t\n":                    "",
		"PUB t\n" + be32(-1):         "",
		"DPUB t 5\n" + be32(3) + "x": "",
		"SUB t\n":                    "",
		"nonsense\n":                 "",
	} {
		p := Parser{Limits: Limits{MaxMsgSize: 100, MaxBodySize: 1000}}
		cmd := Command{Kind: Pub, Topic: []byte("before")}
		n, _, _ := p.Parse([]byte(buf), &cmd)
		if n != 0 || (told != "") != (cmd.Kind == Mpub) || told == "" && cmd.Kind != 0 || told != "" && string(cmd.Topic) != told {
			t.Errorf("%q: %d bytes, %v of %q", buf, n, cmd.Kind, cmd.Topic)
		}
	}
}
