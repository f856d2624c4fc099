package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"qmq/internal/names"
)

const testMaxIdentify = 100

// feedLookup plays a stream to a parser as a server would, chunk by chunk, and
// tells what was parsed and how the stream ended.
func feedLookup(t *testing.T, stream []byte, chunk func() int) (events []string) {
	p := LookupParser{MaxBodySize: testMaxIdentify}
	start, end := 0, 0
	for {
		var cmd LookupCommand
		buf := stream[start:end:end]
		n, need, err := p.Parse(buf, &cmd)
		switch {
		case err != nil:
			if !err.Fatal || err.Code == "" || n != 0 {
				t.Fatalf("error %#v with n=%d", err, n)
			}
			return append(events, err.Error())
		case n > len(buf) || n < 0 || (n == 0 && (need <= len(buf) || need > MaxLine+sizeLen+testMaxIdentify)):
			t.Fatalf("n=%d need=%d with %d bytes", n, need, len(buf))
		case n > 0:
			if cmd.Kind == LookupRegister || cmd.Kind == LookupUnregister {
				if !p.Identified || !names.Valid(cmd.Topic) || len(cmd.Channel) > 0 && !names.Valid(cmd.Channel) {
					t.Fatalf("passed: %+v", cmd)
				}
			}
			events = append(events, fmt.Sprintf("%s %s %s %s", cmd.Kind, cmd.Topic, cmd.Channel, cmd.Body))
			p.Identified = p.Identified || cmd.Kind == LookupIdentify
			start += n
		case end == len(stream):
			if err := p.Truncated(buf); err != nil {
				events = append(events, err.Error())
			}
			return events
		default:
			end = min(len(stream), end+chunk())
		}
	}
}

func TestLookupCommandsAndTheirErrors(t *testing.T) {
	const id = "IDENTIFY\n\x00\x00\x00\x02{}"
	const identified = "IDENTIFY   {}; "
	long := strings.Repeat("x", 65)
	tests := []struct{ stream, want string }{
		{"", ""},
		{"PING\n", "PING   "},
		{"  PING \t\r\nPING more\n", "PING   ; PING   "},
		{"\n", "E_INVALID invalid command "},
		{"ping\n", "E_INVALID invalid command ping"},
		{"PIN", ""},
		{"PUB t\n", "E_INVALID invalid command PUB"},
		{"REGISTER t\n", "E_INVALID client must IDENTIFY"},
		{"UNREGISTER\n", "E_INVALID client must IDENTIFY"},
		{id + id, identified + "E_INVALID cannot IDENTIFY again"},
		{id + "REGISTER t\nREGISTER t c\nUNREGISTER t c x\nUNREGISTER t\n",
			identified + "REGISTER t  ; REGISTER t c ; UNREGISTER t c ; UNREGISTER t  "},
		{id + "REGISTER t  c\n", identified + "REGISTER t  "},
		{id + "REGISTER t#ephemeral c#ephemeral\n", identified + "REGISTER t#ephemeral c#ephemeral "},
		{id + "REGISTER\n", identified + "E_INVALID REGISTER insufficient number of params"},
		{id + "UNREGISTER \n", identified + "E_INVALID UNREGISTER insufficient number of params"},
		{id + "REGISTER t$ c\n", identified + "E_BAD_TOPIC REGISTER topic name 't$' is not valid"},
		{id + "REGISTER  t\n", identified + "E_BAD_TOPIC REGISTER topic name '' is not valid"},
		{id + "UNREGISTER *\n", identified + "E_BAD_TOPIC UNREGISTER topic name '*' is not valid"},
		{id + "REGISTER " + long + "\n", identified + "E_BAD_TOPIC REGISTER topic name '" + long + "' is not valid"},
		{id + "UNREGISTER t c'\n", identified + "E_BAD_CHANNEL UNREGISTER channel name 'c'' is not valid"},
		{strings.Repeat("x", MaxLine), "E_INVALID command line too long"},
		{"IDENTIFY\n", "E_BAD_BODY IDENTIFY failed to read body size"},
		{"IDENTIFY\n\x00\x00\x00", "E_BAD_BODY IDENTIFY failed to read body size"},
		{"IDENTIFY\n\x00\x00\x00\x02{", "E_BAD_BODY IDENTIFY failed to read body"},
		{"IDENTIFY\n\x00\x00\x00\x00", "IDENTIFY   "},
		{"IDENTIFY\n\xff\xff\xff\xff", "E_BAD_BODY IDENTIFY invalid body size -1"},
		{"IDENTIFY\n\x00\x00\x00\x65", "E_BAD_BODY IDENTIFY body too big 101 > 100"},
	}
	for _, test := range tests {
		for _, chunk := range []int{1, 7, 1 << 20} {
			got := strings.Join(feedLookup(t, []byte(test.stream), func() int { return chunk }), "; ")
			if got != test.want {
				t.Errorf("%.40q by %d: got %q, want %q", test.stream, chunk, got, test.want)
			}
		}
	}
}

func TestLookupCommandsAreParsedAsTheyWereAppended(t *testing.T) {
	var stream []byte
	for _, cmd := range []LookupCommand{
		{Kind: LookupIdentify, Body: []byte(`{"a":1}`)},
		{Kind: LookupRegister, Topic: []byte("t"), Channel: []byte("c")},
		{Kind: LookupUnregister, Topic: []byte("t")},
		{Kind: LookupPing},
	} {
		stream = AppendLookupCommand(stream, &cmd)
	}
	got := strings.Join(feedLookup(t, stream, func() int { return len(stream) }), "; ")
	if want := `IDENTIFY   {"a":1}; REGISTER t c ; UNREGISTER t  ; PING   `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLookupReplies(t *testing.T) {
	stream := AppendLookupReply(AppendLookupReply(AppendLookupReply(nil, LookupOK), ""), []byte("12345"))
	r := iotest.OneByteReader(bytes.NewReader(stream))
	for _, want := range []string{"OK", "", "12345"} {
		if got, err := ReadLookupReply(r, 5); string(got) != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	for stream, want := range map[string]error{
		"":                       io.EOF,
		"\x00\x00":               io.ErrUnexpectedEOF,
		"\x00\x00\x00\x02x":      io.ErrUnexpectedEOF,
		"\x00\x00\x00\x06123456": ErrLookupReply,
		"\xff\xff\xff\xff":       ErrLookupReply,
	} {
		if got, err := ReadLookupReply(strings.NewReader(stream), 5); !errors.Is(err, want) || got != nil {
			t.Errorf("%q: got %q, %v, want %v", stream, got, err, want)
		}
	}
}

// FuzzLookupCommandStream: whatever arrives, in whatever portions, is parsed
// the same way, asks for bounded memory and passes no bad name.
func FuzzLookupCommandStream(f *testing.F) {
	f.Add([]byte("PING\nIDENTIFY\n\x00\x00\x00\x02{}REGISTER t c\nUNREGISTER t\n"), uint8(3))
	f.Add([]byte("IDENTIFY\n\xff\xff\xff\xff"), uint8(1))
	f.Add([]byte("IDENTIFY\n\x00\x00\x00\x00REGISTER a#ephemeral  \r\n"), uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		whole := feedLookup(t, stream, func() int { return len(stream) })
		parts := feedLookup(t, stream, func() int { return int(size) + 1 })
		if strings.Join(whole, "\n") != strings.Join(parts, "\n") {
			t.Fatalf("%q at once, %q in portions of %d", whole, parts, int(size)+1)
		}
	})
}
