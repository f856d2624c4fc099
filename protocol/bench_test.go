package protocol

import (
	"strings"
	"testing"

	"qmq/message"
)

var benchLimits = Limits{MaxMsgSize: 1 << 20, MaxBodySize: 5 << 20, MaxRdyCount: 2500, MaxReqTimeout: testLimits.MaxReqTimeout}

// benchmarkParse parses a buffer full of one command over and over.
func benchmarkParse(b *testing.B, one string, size int) {
	stream := []byte(strings.Repeat(one, max(1, size/len(one))))
	p := Parser{Limits: benchLimits, State: StateSubscribed}
	var cmd Command
	b.ReportAllocs()
	b.SetBytes(int64(len(one)))
	buf := stream
	for b.Loop() {
		if len(buf) == 0 {
			buf = stream
		}
		n, _, err := p.Parse(buf, &cmd)
		if n == 0 || err != nil {
			b.Fatal(n, err)
		}
		buf = buf[n:]
	}
}

func BenchmarkParsePub200(b *testing.B) {
	benchmarkParse(b, "PUB benchmark-topic\n"+sized(strings.Repeat("x", 200)), 64<<10)
}

func BenchmarkParseFin(b *testing.B) { benchmarkParse(b, "FIN "+testID+"\n", 16<<10) }

func BenchmarkParseMpub200x200(b *testing.B) {
	const messages = 200
	body := strings.Repeat("x", 200)
	all := make([]string, messages)
	for i := range all {
		all[i] = body
	}
	buf := []byte("MPUB benchmark-topic\n" + mpub(all...))
	p := Parser{Limits: benchLimits}
	var cmd Command
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	total := 0
	for b.Loop() {
		if n, _, err := p.Parse(buf, &cmd); n != len(buf) || err != nil {
			b.Fatal(n, err)
		}
		for body, ok := cmd.Messages.Next(); ok; body, ok = cmd.Messages.Next() {
			total += len(body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
	if total == 0 {
		b.Fatal("no messages")
	}
}

func BenchmarkAppendMessage200(b *testing.B) {
	body := []byte(strings.Repeat("x", 200))
	id := message.MakeID(1, 2)
	buf := make([]byte, 0, 64<<10)
	b.ReportAllocs()
	b.SetBytes(int64(MessageFrameOverhead + len(body)))
	for b.Loop() {
		if cap(buf)-len(buf) < 256 {
			buf = buf[:0]
		}
		buf = AppendMessage(buf, 1, 1, id, body)
	}
}
