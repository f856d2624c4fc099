package lease

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"qmq/channel"
	"qmq/message"
)

// What nobody has leased here is asked of all other members. A question, little-endian:
//
//	│ version u8: 1 │ op u8 │ delay i64 (ns) │ receipt u64 │ len u8, topic │ len u8, channel │ n × id, 16 bytes │
//
// and its answer:
//
//	│ n × code u8 │
//
// Codes travel: they are never used for something else.
const (
	questionVersion = 1
	questionHead    = 18
)

const (
	codeDone byte = iota
	codeNotInFlight
	codeNotOwner
	codeExiting
	codeUnconfirmed
)

// errUnconfirmed is of an answer that a leader, which another member has told of it, has
// not confirmed.
var errUnconfirmed = errors.New("it is not known whether it is done")

var errQuestion = errors.New("lease: malformed question")

// answerElsewhere has the others apply the answers for what is not leased here.
func (l *Leases) answerElsewhere(ctx context.Context, a *Answers) {
	var unknown []int
	for i := range a.List {
		if errors.Is(a.List[i].Err, channel.ErrNotInFlight) {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return
	}
	ask := Answers{Topic: a.Topic, Channel: a.Channel, Receipt: a.Receipt}
	for _, i := range unknown {
		ask.List = append(ask.List, a.List[i])
	}
	answers, complete := l.o.Others.AskAll(ctx, ask.encode())
	for n, i := range unknown {
		a.List[i].Err = merged(answers, n, len(unknown), complete)
	}
	l.settleSilent(ctx, a)
}

// settleSilent has the one who serves the channel say what a silent member has not: what
// no consumer has is nobody's lease. A member that is down keeps no id in doubt.
func (l *Leases) settleSilent(ctx context.Context, a *Answers) {
	var ids []message.ID
	var at []int
	for i := range a.List {
		if errors.Is(a.List[i].Err, ErrSilent) {
			ids, at = append(ids, a.List[i].ID), append(at, i)
		}
	}
	if len(ids) == 0 {
		return
	}
	flying, err := l.o.Others.InFlight(ctx, a.Topic, a.Channel, ids)
	if err != nil {
		return
	}
	for n, i := range at {
		if !flying[n] {
			a.List[i].Err = channel.ErrNotInFlight
		}
	}
}

// merged is what became of the nth of some answers, as the others say.
func merged(answers [][]byte, n, of int, complete bool) error {
	for _, codes := range answers {
		if len(codes) != of {
			complete = false
		} else if codes[n] != codeNotInFlight {
			return errorOf(codes[n])
		}
	}
	if !complete {
		return ErrSilent
	}
	return channel.ErrNotInFlight
}

func (a *Answers) encode() []byte {
	le := binary.LittleEndian
	say := &a.List[0] // all are alike
	b := make([]byte, 0, questionHead+2+len(a.Topic)+len(a.Channel)+len(a.List)*message.IDSize)
	b = append(b, questionVersion, byte(say.Op))
	b = le.AppendUint64(le.AppendUint64(b, uint64(say.Delay)), a.Receipt)
	b = append(append(b, byte(len(a.Topic))), a.Topic...)
	b = append(append(b, byte(len(a.Channel))), a.Channel...)
	for i := range a.List {
		b = append(b, a.List[i].ID[:]...)
	}
	return b
}

func decode(b []byte) (*Answers, error) {
	if len(b) < questionHead || b[0] != questionVersion || channel.AnswerOp(b[1]) > channel.Touch {
		return nil, errQuestion
	}
	le := binary.LittleEndian
	say := channel.Answer{Op: channel.AnswerOp(b[1]), Delay: max(0, time.Duration(le.Uint64(b[2:])))}
	a := &Answers{Receipt: le.Uint64(b[10:])}
	b = b[questionHead:]
	for _, name := range [...]*string{&a.Topic, &a.Channel} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, errQuestion
		}
		*name, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	if len(b) == 0 || len(b)%message.IDSize != 0 {
		return nil, errQuestion
	}
	for ; len(b) > 0; b = b[message.IDSize:] {
		copy(say.ID[:], b)
		a.List = append(a.List, say)
	}
	return a, nil
}

// Answered answers a question of another member, about what is leased here.
func (l *Leases) Answered(ctx context.Context, question []byte) ([]byte, error) {
	a, err := decode(question)
	if err != nil {
		return nil, err
	}
	l.AnswerHere(ctx, a)
	codes := make([]byte, len(a.List))
	for i := range a.List {
		codes[i] = codeOf(a.List[i].Err)
	}
	return codes, nil
}

func codeOf(err error) byte {
	switch {
	case err == nil:
		return codeDone
	case errors.Is(err, channel.ErrNotInFlight):
		return codeNotInFlight
	case errors.Is(err, channel.ErrNotOwner):
		return codeNotOwner
	case errors.Is(err, channel.ErrExiting):
		return codeExiting
	}
	return codeUnconfirmed
}

func errorOf(code byte) error {
	switch code {
	case codeDone:
		return nil
	case codeNotOwner:
		return channel.ErrNotOwner
	case codeExiting:
		return channel.ErrExiting
	}
	return errUnconfirmed
}
