package channel_test

import (
	"fmt"
	"time"

	"qmq/channel"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/message"
)

// greetings stands for a topic and its log.
type greetings struct{}

func (greetings) Read(seq uint64, m *message.View) error {
	*m = message.View{Seq: seq, Body: fmt.Appendf(nil, "hello %d", seq)}
	return nil
}

func (g greetings) ReadCached(seq uint64, m *message.View) bool { return g.Read(seq, m) == nil }

func (greetings) Release() {}

// As its host.
func (g greetings) NewReader() channel.Reader { return g }
func (greetings) Moved(uint64)                {}
func (greetings) Lost(uint64, uint64)         {}
func (greetings) ReadFailed(string, error)    {}
func (greetings) Spent(*channel.Channel)      {}
func (greetings) Done()                       {}

// printer is a sink.
type printer struct{}

func (printer) Put(m *channel.Message) bool {
	fmt.Printf("%s, attempt %d\n", m.Body, m.Attempts)
	return true
}

func Example() {
	c := clock.New()
	q := deadline.New(c)
	defer q.Close()
	ch := channel.New(channel.Options{
		Name:   "greetings",
		Host:   greetings{},
		Common: &channel.Common{Clock: c, Deadlines: q, MaxMsgTimeout: 15 * time.Minute, MaxReqTimeout: time.Hour},
	}, 1)
	defer ch.Close()

	consumer, err := ch.Subscribe(channel.ConsumerOptions{ID: 1, MsgTimeout: time.Minute})
	if err != nil {
		panic(err)
	}
	consumer.SetReady(10)
	ch.Advance(3, nil) // messages 1 and 2 are in the log

	n := consumer.Take(printer{}, channel.MaxTake)
	fmt.Println(n, "messages")

	answers := []channel.Answer{
		{Op: channel.Finish, ID: message.MakeID(0, 1)},
		{Op: channel.Requeue, ID: message.MakeID(0, 2), Delay: time.Minute},
	}
	consumer.Answer(answers)
	s := ch.Stats()
	fmt.Println("floor", ch.Floor(), "depth", s.Depth, "deferred", s.Deferred)
	// Output:
	// hello 1, attempt 1
	// hello 2, attempt 1
	// 2 messages
	// floor 2 depth 0 deferred 1
}
