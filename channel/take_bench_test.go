package channel

import (
	"testing"
	"time"

	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/message"
)

// constantReader has the same message under each number.
type constantReader struct{ at int64 }

func (r constantReader) Read(_ uint64, m *message.View) error {
	m.Timestamp = r.at
	return nil
}

func (r constantReader) ReadCached(_ uint64, m *message.View) bool { return r.Read(0, m) == nil }
func (r constantReader) Release()                                  {}

// constantHost is a topic of such messages.
type constantHost struct{ constantReader }

func (h constantHost) NewReader() Reader      { return h.constantReader }
func (constantHost) Moved(uint64)             {}
func (constantHost) Lost(uint64, uint64)      {}
func (constantHost) Spent(*Channel)           {}
func (constantHost) Done()                    {}
func (constantHost) ReadFailed(string, error) {}

// finisher takes messages, to finish them.
type finisher struct{ answers []Answer }

func (f *finisher) Put(m *Message) bool {
	f.answers = append(f.answers, Answer{Op: Finish, ID: m.ID})
	return true
}

// BenchmarkTakeAndAnswer is what a channel costs a message, its lock and clock included.
func BenchmarkTakeAndAnswer(b *testing.B) {
	for name, batch := range map[string]int{"one": 1, "batch": MaxTake} {
		b.Run(name, func(b *testing.B) {
			clock := clock.New()
			deadlines := deadline.New(clock)
			defer deadlines.Close()
			host := constantHost{constantReader{clock.Wall() - int64(time.Millisecond)}}
			c := New(Options{Name: "c", IDPrefix: 1, Host: host, Common: &Common{Clock: clock, Deadlines: deadlines, MaxMsgTimeout: time.Hour}}, 1)
			k, err := c.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}})
			if err != nil {
				b.Fatal(err)
			}
			k.SetReady(MaxTake)
			c.Advance(uint64(b.N)+1, nil)
			var f finisher
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				f.answers = f.answers[:0]
				n += k.Take(&f, batch)
				k.Answer(f.answers)
			}
			b.StopTimer()
			k.Close()
		})
	}
}
