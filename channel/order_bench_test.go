package channel

import (
	"encoding/binary"
	"syscall"
	"testing"
	"time"

	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/message"
	"qmq/settings"
)

// keyedReader has a message under each number, with one of so many keys and a priority.
type keyedReader struct {
	at    int64
	keys  uint64
	attrs []byte
}

func (r *keyedReader) Read(seq uint64, m *message.View) error {
	r.attrs = r.attrs[:0]
	var key [8]byte
	binary.LittleEndian.PutUint64(key[:], scatter(seq)%r.keys)
	r.attrs = message.AppendAttr(r.attrs, message.AttrKey, key[:])
	r.attrs = message.AppendAttr(r.attrs, message.AttrPriority, []byte{byte(seq % 10)})
	m.Seq, m.Timestamp, m.Attrs = seq, r.at, r.attrs
	return nil
}

func (r *keyedReader) ReadCached(seq uint64, m *message.View) bool { return r.Read(seq, m) == nil }
func (r *keyedReader) Release()                                    {}

type keyedHost struct {
	constantHost
	keyedReader
}

func (h *keyedHost) NewReader() Reader { r := h.keyedReader; return &r }

func (h *keyedHost) ReadFailed(c string, e error) {}

// cpuTime is how long the process has computed, in ns: what a machine that is busy with other
// things too takes for it says little.
func cpuTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// BenchmarkOrderedTakeAndAnswer is what a channel costs a message, ordered and not, its lock,
// clock, and the reading of 100,000 keys included.
func BenchmarkOrderedTakeAndAnswer(b *testing.B) {
	for _, s := range []struct {
		name string
		settings.EffectiveChannel
	}{
		{"unordered", settings.EffectiveChannel{}},
		{"key", settings.EffectiveChannel{Ordered: settings.OrderedKey}},
		{"channel", settings.EffectiveChannel{Ordered: settings.OrderedChannel}},
		{"prioritised", settings.EffectiveChannel{Prioritised: true}},
	} {
		b.Run(s.name, func(b *testing.B) {
			clock := clock.New()
			deadlines := deadline.New(clock)
			defer deadlines.Close()
			host := &keyedHost{keyedReader: keyedReader{at: clock.Wall() - int64(time.Millisecond), keys: 100_000}}
			c := New(Options{Name: "c", IDPrefix: 1, Host: host, Common: &Common{Clock: clock, Deadlines: deadlines, MaxMsgTimeout: time.Hour}}, 1)
			c.Configure(s.EffectiveChannel)
			k, err := c.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}})
			if err != nil {
				b.Fatal(err)
			}
			k.SetReady(MaxTake)
			c.Advance(uint64(b.N)+1, nil)
			var f finisher
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for n := 0; n < b.N; {
				f.answers = f.answers[:0]
				n += k.Take(&f, MaxTake)
				k.Answer(f.answers)
			}
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			k.Close()
		})
	}
}
