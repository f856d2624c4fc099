package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qmq/internal/names"
)

// feed plays a stream to a parser as a session would, chunk by chunk; after
// each chunk it parses all it can. It reports the commands and how the stream
// ended.
func feed(t *testing.T, stream []byte, chunk func() int) []string {
	p := Parser{Limits: testLimits, Headers: true}
	var events []string
	start, end := 0, 0
	for {
		for {
			var cmd Command
			buf := stream[start:end:end]
			n, need, err := p.Parse(buf, &cmd)
			if err != nil {
				return append(events, "error "+err.Error())
			}
			if n == 0 {
				limit := MaxLine + int(testLimits.MaxCommand())
				if need <= len(buf) || need > limit {
					t.Fatalf("need %d with %d bytes", need, len(buf))
				}
				break
			}
			if n < 0 || n > len(buf) || need != 0 {
				t.Fatalf("n=%d need=%d with %d bytes", n, need, len(buf))
			}
			checkCommand(t, &cmd)
			events = append(events, fmt.Sprintf("%s %q %q %q %q %q %d %d %q", cmd.Kind, cmd.Topic, cmd.Channel,
				cmd.ID[:], cmd.Body, cmd.Headers, cmd.Count, cmd.Delay, described(cmd.Messages)))
			follow(&p, cmd.Kind)
			start += n
		}
		if end == len(stream) {
			break
		}
		end = min(len(stream), end+chunk())
	}
	if err := p.Truncated(stream[start:end]); err != nil {
		events = append(events, "truncated "+err.Error())
	}
	return events
}

// checkCommand asserts what a server relies on.
func checkCommand(t *testing.T, cmd *Command) {
	if cmd.Delay < 0 || cmd.Delay > testLimits.MaxReqTimeout || cmd.Count < 0 {
		t.Fatalf("out of range: %+v", cmd)
	}
	switch cmd.Kind {
	case Pub, Dpub, Hpub:
		if len(cmd.Body) == 0 || int64(len(cmd.Body)) > testLimits.MaxMsgSize {
			t.Fatalf("body of %d bytes", len(cmd.Body))
		}
	case Mpub:
		all := bodies(cmd.Messages)
		if int64(len(all)) != cmd.Count || cmd.Count == 0 {
			t.Fatalf("%d messages of %d", len(all), cmd.Count)
		}
		if n := int64(len(strings.Join(all, ""))) + sizeLen*(cmd.Count+1); n > testLimits.MaxBodySize {
			t.Fatalf("MPUB of %d bytes", n)
		}
	case Hmpub:
		m, n := cmd.Messages, int64(0)
		for _, body, ok := m.NextDescribed(); ok; _, body, ok = m.NextDescribed() {
			if n++; len(body) == 0 || int64(len(body)) > testLimits.MaxMsgSize {
				t.Fatalf("body of %d bytes", len(body))
			}
		}
		if n != cmd.Count || n == 0 {
			t.Fatalf("%d messages of %d", n, cmd.Count)
		}
	case Rdy:
		if cmd.Count > testLimits.MaxRdyCount {
			t.Fatalf("RDY %d", cmd.Count)
		}
	}
	if cmd.Topic != nil && !names.Valid(cmd.Topic) || cmd.Channel != nil && !names.Valid(cmd.Channel) {
		t.Fatalf("bad name in %+v", cmd)
	}
}

func FuzzCommandStream(f *testing.F) {
	f.Add([]byte(session), []byte{1})
	f.Add([]byte(session), []byte{3, 0, 17, 200})
	f.Add([]byte("PUB t\n"+be32(105)), []byte{2})
	f.Add([]byte("MPUB t\n"+be32(5)+batchOf("a", "", "c")), []byte{1})
	f.Add([]byte("MPUB t\n"+be32(1000)+batchOf("a", "b")+"NOP\n\r\n"), []byte{5})
	f.Add([]byte("MPUB t\n"+be32(9)+be32(190)+sized(strings.Repeat("x", 80))), []byte{11})
	f.Add([]byte("HPUB t\n"+sized(headed("\x01a\x00\x01b", "body"))+"HPUB t 5\n"+sized(headed("", "body"))), []byte{1})
	f.Add([]byte("HMPUB t\n"+mpub(headed("\x01a\x00\x01b", "one"), headed("", "two"))+"NOP\n"), []byte{1, 9})
	f.Add([]byte("HMPUB t\n"+mpub(headed("\x01a", "one"), "\x00")), []byte{1, 9})
	f.Add([]byte("SUB t c\nRDY 99999999999999999999\nFIN x\n"), []byte{4})
	f.Add([]byte("DPUB t 18446744073709551615\n"), []byte{255})
	f.Fuzz(func(t *testing.T, stream, chunks []byte) {
		whole := feed(t, stream, func() int { return len(stream) })
		i := 0
		pieces := feed(t, stream, func() int {
			if len(chunks) == 0 {
				return 1
			}
			i++
			return 1 + int(chunks[i%len(chunks)])
		})
		if !slices.Equal(whole, pieces) {
			t.Fatalf("at once %q\nin pieces %q", whole, pieces)
		}
	})
}

// naiveBatch reads a batch the plain way, as a model for ParseBatch.
func naiveBatch(b []byte, l Limits) (all []string, failure string) {
	r := bytes.NewReader(b)
	var count, size int32
	if binary.Read(r, binary.BigEndian, &count) != nil {
		return nil, "E_BAD_BODY MPUB failed to read message count"
	}
	if count <= 0 || int64(count) > (l.MaxBodySize-4)/5 {
		return nil, fmt.Sprintf("E_BAD_BODY MPUB invalid message count %d", count)
	}
	for i := range count {
		if binary.Read(r, binary.BigEndian, &size) != nil {
			return nil, fmt.Sprintf("E_BAD_MESSAGE MPUB failed to read message(%d) body size", i)
		}
		if size <= 0 {
			return nil, fmt.Sprintf("E_BAD_MESSAGE MPUB invalid message(%d) body size %d", i, size)
		}
		if int64(size) > l.MaxMsgSize {
			return nil, fmt.Sprintf("E_BAD_MESSAGE MPUB message too big %d > %d", size, l.MaxMsgSize)
		}
		if int(size) > r.Len() {
			return nil, "E_BAD_MESSAGE MPUB failed to read message body"
		}
		all = append(all, string(b[len(b)-r.Len():][:size]))
		r.Seek(int64(size), 1)
	}
	if used := len(b) - r.Len(); int64(used) > l.MaxBodySize {
		return nil, fmt.Sprintf("E_BAD_BODY MPUB body too big %d > %d", used, l.MaxBodySize)
	}
	return all, ""
}

func FuzzMpub(f *testing.F) {
	f.Add([]byte(batchOf("a", "bb", "ccc")))
	f.Add([]byte(batchOf("a", "")))
	f.Add([]byte(batchOf("a") + "rest"))
	f.Add([]byte(be32(-1)))
	f.Add([]byte(be32(199) + sized("a")))
	f.Add([]byte(be32(200)))
	f.Add([]byte(be32(1) + be32(101)))
	f.Add([]byte(be32(1) + be32(0x7fffffff)))
	f.Fuzz(func(t *testing.T, body []byte) {
		want, failure := naiveBatch(body, testLimits)
		m, count, err := ParseBatch(Mpub, body, testLimits)
		got := bodies(m)
		if err != nil {
			if err.Error() != failure || !err.Fatal {
				t.Fatalf("got %q, want %q", err, failure)
			}
			return
		}
		if failure != "" || !slices.Equal(got, want) || count != int64(len(want)) {
			t.Fatalf("got %d %q, want %q %q", count, got, want, failure)
		}
	})
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"client_id":"c","heartbeat_interval":-1,"output_buffer_size":-1,"output_buffer_timeout":-1}`))
	f.Add([]byte(`{"feature_negotiation":true,"snappy":true,"deflate":true,"deflate_level":-9,"sample_rate":99}`))
	f.Add([]byte(`{"heartbeat_interval":9223372036854775807,"msg_timeout":-9223372036854775808}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseIdentify(body)
		if err != nil {
			return
		}
		l := everything()
		s, err := r.Negotiate(l)
		if err != nil {
			if !err.Fatal || err.Code != CodeBadBody && err.Code != CodeIdentifyFailed {
				t.Fatalf("got %v", err)
			}
			return
		}
		if s.HeartbeatInterval < 0 || s.HeartbeatInterval > l.MaxHeartbeatInterval ||
			s.OutputBufferSize < 1 || s.OutputBufferSize > l.MaxOutputBufferSize ||
			s.OutputBufferTimeout < 0 || s.OutputBufferTimeout > l.MaxOutputBufferTimeout ||
			s.MsgTimeout < minMsgTimeout || s.MsgTimeout > l.MaxMsgTimeout ||
			s.SampleRate < 0 || s.SampleRate > maxSampleRate ||
			s.DeflateLevel < 1 || s.DeflateLevel > l.MaxDeflateLevel || s.Snappy && s.Deflate {
			t.Fatalf("%s gives %+v", body, s)
		}
	})
}
