package server

import (
	"testing"

	"qmq/channel"
	"qmq/message"
	"qmq/protocol"
	"qmq/server/stream"
)

// BenchmarkFrames makes the frames of a Take of 256 messages of 200 bytes: without
// headers, for a client that negotiated none, and for one that did.
func BenchmarkFrames(b *testing.B) {
	headers := message.AppendHeader(message.AppendHeader(nil, "traceparent", recorded), "content-type", "application/json")
	for _, c := range []struct {
		name   string
		meta   message.Meta
		wanted bool
	}{
		{"none", message.Meta{}, false},
		{"none, negotiated", message.Meta{}, true},
		{"two, not negotiated", message.Meta{Headers: headers}, false},
		{"two, negotiated", message.Meta{Headers: headers}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := channel.Message{View: message.Decode(message.AppendNew(nil, &c.meta, 0, make([]byte, 200))), Attempts: 1}
			f := frames{headers: c.wanted}
			buffer := stream.TakeBuffer(maxFrameBytes)
			defer buffer.Give()
			b.ReportAllocs()
			for b.Loop() {
				f.begin(buffer)
				for range channel.MaxTake {
					f.Put(&m)
				}
				f.end(channel.MaxTake)
			}
		})
	}
}

// BenchmarkGatherPublishes gathers MPUBs and HMPUBs of 200 messages of 200 bytes.
func BenchmarkGatherPublishes(b *testing.B) {
	const n = 200
	body := make([]byte, 200)
	headers := message.AppendHeader(message.AppendHeader(nil, "traceparent", recorded), "content-type", "application/json")
	for _, c := range []struct {
		name    string
		kind    protocol.Kind
		headers []byte
	}{{"MPUB", protocol.Mpub, nil}, {"HMPUB without headers", protocol.Hmpub, nil}, {"HMPUB with two", protocol.Hmpub, headers}} {
		b.Run(c.name, func(b *testing.B) {
			in := multiOf(c.kind, n, c.headers, body)
			p := protocol.Parser{Limits: protocol.Limits{MaxMsgSize: 1 << 20, MaxBodySize: 5 << 20}, Headers: true}
			batch := takeCommandBatch()
			defer batch.give()
			b.ReportAllocs()
			for b.Loop() {
				var cmd protocol.Command
				if _, _, err := p.Parse(in, &cmd); err != nil || cmd.Count != n {
					b.Fatal(err)
				}
				batch.addPublish(&cmd, batch.addBatch(namedPublisher{}, nil), 1)
				batch.forget()
			}
		})
	}
}

func multiOf(kind protocol.Kind, n int, headers, body []byte) []byte {
	var all []byte
	for range n {
		m := body
		if kind == protocol.Hmpub {
			m = append(append([]byte{byte(len(headers) >> 8), byte(len(headers))}, headers...), body...)
		}
		all = append(append(all, 0, 0, byte(len(m)>>8), byte(len(m))), m...)
	}
	size := len(all) + 4
	in := append([]byte(kind.String()+" t\n"), byte(size>>24), byte(size>>16), byte(size>>8), byte(size), 0, 0, byte(n>>8), byte(n))
	return append(in, all...)
}
