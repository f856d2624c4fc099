package server

import (
	"testing"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/test/node"
)

// elsewhere is a node whose topics are all served by another one, which takes every
// answer and says nothing by itself.
type elsewhere struct {
	broker.Replicas
	subscribed chan broker.SubscribeOptions
	answers    chan channel.Answer
}

func (e *elsewhere) Replicated(string) bool { return true }

func (e *elsewhere) Subscribe(_, _ string, _ bool, o broker.SubscribeOptions) (broker.Consumer, error) {
	e.subscribed <- o
	return consumerElsewhere{e}, nil
}

type consumerElsewhere struct{ *elsewhere }

func (consumerElsewhere) SetReady(int64)                   {}
func (consumerElsewhere) Take(channel.Sink, int) int       { return 0 }
func (consumerElsewhere) TakeCached(channel.Sink, int) int { return 0 }
func (consumerElsewhere) Parked() bool                     { return true }
func (consumerElsewhere) Stats() channel.ConsumerStats     { return channel.ConsumerStats{} }
func (consumerElsewhere) Close()                           {}

func (k consumerElsewhere) Answer(answers []channel.Answer) {
	for _, a := range answers {
		k.answers <- a
	}
}

func TestAnswerThatFailsLateIsToldAndKeepsTheConnection(t *testing.T) {
	e := &elsewhere{subscribed: make(chan broker.SubscribeOptions, 1), answers: make(chan channel.Answer, 10)}
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.Replicas = e }))
	c := r.consume("t", "ch", 1)
	o := <-e.subscribed
	id := message.MakeID(1, 5)
	for _, command := range []struct {
		sent, failed string
		op           channel.AnswerOp
	}{
		{"FIN " + string(id[:]) + "\n", "E_FIN_FAILED FIN", channel.Finish},
		{"REQ " + string(id[:]) + " 0\n", "E_REQ_FAILED REQ", channel.Requeue},
		{"TOUCH " + string(id[:]) + "\n", "E_TOUCH_FAILED TOUCH", channel.Touch},
	} {
		c.Send(command.sent)
		a := <-e.answers
		if a.Op != command.op || a.ID != id {
			t.Fatalf("%+v", a)
		}
		a.Err = channel.ErrNotInFlight
		o.AnswerFailed(a)
		c.ExpectError(command.failed + " " + string(id[:]) + " failed ID not in flight")
	}
	c.Send("CLS\n")
	c.Expect("CLOSE_WAIT")
}
