package link

import (
	"testing"
)

// BenchmarkSend is the cost of a megabyte of entries to one follower, both sides
// together.
func BenchmarkSend(b *testing.B) {
	ca := newAuthority(b)
	for _, with := range []struct {
		name string
		edit func(*Options)
	}{{"open", func(o *Options) { o.Secrets = nil }}, {"secret", func(*Options) {}}, {"TLS", ca.mutual(ca)}} {
		b.Run(with.name, func(b *testing.B) {
			members, up, came := socketPair(b, with.edit, with.edit)
			<-up
			<-up
			body := make([]byte, 1<<20)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if !members[0].Send(2, Bulk, testKind, body) {
					b.Fatal("not sent")
				}
				<-came
			}
		})
	}
}
