package lease

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
)

// members are others who answer as they are told to.
type members struct {
	answers  [][]byte
	complete bool
	asked    [][]byte
	flying   []message.ID // what consumers have, as the one who serves the channel says
	headless bool         // nobody serves it
}

func (m *members) InFlight(_ context.Context, topic, name string, ids []message.ID) ([]bool, error) {
	if topic != "t" || name != "c" || m.headless {
		return nil, errors.New("no leader")
	}
	flying := make([]bool, len(ids))
	for i, id := range ids {
		flying[i] = slices.Contains(m.flying, id)
	}
	return flying, nil
}

func (m *members) Replicated(topic string) bool { return topic == "t" }

func (m *members) AskAll(_ context.Context, question []byte) ([][]byte, bool) {
	m.asked = append(m.asked, question)
	return m.answers, m.complete
}

func TestWhatOthersSayCounts(t *testing.T) {
	id := message.MakeID(1, 2)
	for name, test := range map[string]struct {
		others members
		want   error
	}{
		"one has it":               {members{answers: [][]byte{{codeNotInFlight}, {codeDone}}, complete: true}, nil},
		"one has it, one is mute":  {members{answers: [][]byte{{codeDone}}}, nil},
		"nobody has it":            {members{answers: [][]byte{{codeNotInFlight}, {codeNotInFlight}}, complete: true}, channel.ErrNotInFlight},
		"one that is mute has it":  {members{answers: [][]byte{{codeNotInFlight}}, flying: []message.ID{id}}, ErrSilent},
		"no consumer has it":       {members{answers: [][]byte{{codeNotInFlight}}}, channel.ErrNotInFlight},
		"nobody knows":             {members{answers: [][]byte{{codeNotInFlight}}, headless: true}, ErrSilent},
		"its owner is another one": {members{answers: [][]byte{{codeNotOwner}, {codeNotInFlight}}, complete: true}, channel.ErrNotOwner},
		"the channel ends":         {members{answers: [][]byte{{codeExiting}}, complete: true}, channel.ErrExiting},
		"it is not confirmed":      {members{answers: [][]byte{{codeUnconfirmed}}, complete: true}, errUnconfirmed},
		"of a later version":       {members{answers: [][]byte{{99}}, complete: true}, errUnconfirmed},
		"nonsense":                 {members{answers: [][]byte{{}, {codeDone, codeDone}}, complete: true, headless: true}, ErrSilent},
	} {
		inBubbleWith(t, Options{MaxPolls: 1, MaxMessages: 1, MaxAnswers: 1, Others: &test.others}, func(t *testing.T, l *Leases, b *broker.Broker) {
			if errs := say(l, channel.Finish, 0, id); !errors.Is(errs[0], test.want) || (errs[0] == nil) != (test.want == nil) {
				t.Errorf("%s: %v", name, errs[0])
			}
			if len(test.others.asked) != 1 {
				t.Errorf("%s: asked %d times", name, len(test.others.asked))
			}
		})
	}
}

func TestOthersAreAskedOnlyOfWhatIsNotLeasedHere(t *testing.T) {
	others := &members{answers: [][]byte{{codeDone}}, complete: true}
	inBubbleWith(t, Options{MaxPolls: 9, MaxMessages: 9, MaxAnswers: 9, Others: others}, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a")
		m, _ := leaseSome(t, l, 1, time.Minute)
		elsewhere := message.MakeID(1, 2)
		if errs := say(l, channel.Requeue, 7, elsewhere); errs[0] != nil {
			t.Error(errs)
		}
		if errs := say(l, channel.Finish, 0, m.ids[0]); errs[0] != nil || len(others.asked) != 1 {
			t.Error(errs, len(others.asked))
		}
		asked, err := decode(others.asked[0])
		if err != nil || asked.Topic != "t" || asked.Channel != "c" || asked.Receipt != 7 || len(asked.List) != 1 || asked.List[0].ID != elsewhere || asked.List[0].Op != channel.Requeue {
			t.Errorf("%+v %v", asked, err)
		}
		local := Answers{Topic: "local", Channel: "c", List: []channel.Answer{{ID: elsewhere}}}
		if l.Answer(t.Context(), &local); !errors.Is(local.List[0].Err, channel.ErrNotInFlight) || len(others.asked) != 1 {
			t.Error("a local topic:", local.List[0].Err, len(others.asked))
		}
	})
}

func TestQuestionsAreAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a")
		m, _ := leaseSome(t, l, 1, time.Minute)
		a := Answers{Topic: "t", Channel: "c", List: []channel.Answer{{Op: channel.Finish, ID: message.MakeID(1, 2)}, {Op: channel.Finish, ID: m.ids[0]}}}
		if codes, err := l.Answered(t.Context(), a.encode()); err != nil || !bytes.Equal(codes, []byte{codeNotInFlight, codeDone}) {
			t.Error(codes, err)
		}
	})
}

func FuzzQuestion(f *testing.F) {
	a := Answers{Topic: "t", Channel: "c", Receipt: 1, List: []channel.Answer{{Op: channel.Requeue, Delay: time.Second, ID: message.MakeID(1, 2)}}}
	f.Add(a.encode())
	f.Add(a.encode()[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decode(slices.Clone(b))
		if err != nil {
			return
		}
		if again := q.encode(); q.List[0].Delay > 0 && !bytes.Equal(again, b) {
			t.Errorf("%x becomes %x", b, again)
		}
	})
}
