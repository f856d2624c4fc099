package serve

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/settings"
	"qmq/state"
	"qmq/topic"
)

// A request to the leader is
//
//	| op u8 | flags u8: 1 tail, 2 everywhere,  | member | number | size | topic | size | channel | size | settings |
//	|       |   4 positions, 8 leaves at its end | uvarint each           in bytes                   of operations on them
//
// or, of VoidRange, instead of settings: | how many | from | to | … uvarint each, or, with
// positions: | size | from | size | until |,
//
// and its answer
//
//	| code u8 | numbers uvarint, as many as the code has | size uvarint | text | size uvarint | text |
//
// Codes travel: they are never used again for something else.
type code byte

const (
	codeDone         code = iota // numbers: index up to which it is applied; texts: the topic.Replay of positions, as JSON
	codeNotLeader                // ask another one
	codeBusy                     // ask again
	codeNoTopic                  //
	codeNoChannel                //
	codeLimit                    // numbers: max; texts: what, option
	codeTailPaused               // numbers: waiting
	codeTailWaiting              // numbers: waiting
	codeOther                    // texts: the error's
	codeNoAutoCreate             //
	codeOthersKeep               //
	codeSettings                 // texts: what is wrong with them
	codeExists                   // the channel is there
	codeEphemeral                // nothing is kept that could be delivered again
	codePosition                 // texts: why it is none
	codeName                     // texts: why there is no topic of that name
)

const (
	flagTail = 1 << iota
	flagEverywhere
	flagPositions
	flagLeaves
)

func (r *Request) encode() []byte {
	flags := byte(0)
	if r.Tail {
		flags |= flagTail
	}
	if r.Everywhere {
		flags |= flagEverywhere
	}
	if r.positions() {
		flags |= flagPositions
	}
	if r.Leaves {
		flags |= flagLeaves
	}
	b := []byte{byte(r.Op), flags}
	b = binary.AppendUvarint(binary.AppendUvarint(b, r.member), r.number)
	b = appendText(appendText(b, r.Topic), r.Channel)
	if r.configures() {
		b = appendText(b, r.Settings)
	}
	if r.positions() {
		b = appendText(appendText(b, r.From), r.Until)
	}
	if r.Op == state.VoidRange {
		b = binary.AppendUvarint(b, uint64(len(r.Void)))
		for _, v := range r.Void {
			b = binary.AppendUvarint(binary.AppendUvarint(b, v.From), v.To)
		}
	}
	return b
}

func decodeRequest(b []byte) (r Request, err error) {
	if len(b) < 2 {
		return r, errFrame
	}
	r.Op, r.Tail, r.Everywhere = state.Op(b[0]), b[1]&flagTail != 0, b[1]&flagEverywhere != 0
	positions := b[1]&flagPositions != 0
	r.Leaves = b[1]&flagLeaves != 0
	rest := b[2:]
	for _, into := range []*uint64{&r.member, &r.number} {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return r, errFrame
		}
		*into, rest = v, rest[n:]
	}
	if r.Topic, rest, err = takeText(rest); err != nil {
		return r, err
	}
	if r.Channel, rest, err = takeText(rest); err != nil {
		return r, err
	}
	switch {
	case positions:
		r.Replay = new(topic.Replay)
		if r.From, rest, err = takeText(rest); err == nil {
			r.Until, _, err = takeText(rest)
		}
	case r.configures():
		r.Settings, _, err = takeText(rest)
	case r.Op == state.VoidRange:
		r.Void, err = takeRanges(rest)
	}
	return r, err
}

// takeRanges reads a count and as many ranges.
func takeRanges(b []byte) (list []seqset.Range, err error) {
	next := func() (v uint64) {
		var n int
		if v, n = binary.Uvarint(b); n <= 0 {
			err, b = errFrame, nil
			return 0
		}
		b = b[n:]
		return v
	}
	for left := next(); left > 0 && err == nil; left-- {
		list = append(list, seqset.Range{From: next(), To: next()})
	}
	return list, err
}

// positions says whether the request names positions of a log.
func (r *Request) positions() bool { return r.From != "" || r.Until != "" }

// configures says whether the request is about settings.
func (r *Request) configures() bool {
	return r.Op == state.ConfigureTopic || r.Op == state.ConfigureChannel
}

func appendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

func takeText(b []byte) (text string, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return "", nil, errFrame
	}
	return string(b[n:][:size]), b[n+int(size):], nil
}

// answer is how a request ended.
type answer struct {
	code   code
	number uint64
	texts  [2]string
}

func (a *answer) encode() []byte {
	b := binary.AppendUvarint([]byte{byte(a.code)}, a.number)
	return appendText(appendText(b, a.texts[0]), a.texts[1])
}

func decodeAnswer(b []byte) (a answer, err error) {
	if len(b) == 0 {
		return a, errFrame
	}
	number, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return a, errFrame
	}
	a.code, a.number = code(b[0]), number
	rest := b[1+n:]
	if a.texts[0], rest, err = takeText(rest); err != nil {
		return a, err
	}
	a.texts[1], _, err = takeText(rest)
	return a, err
}

// sentinels are the errors that are one at the other end, too.
var sentinels = map[code]error{
	codeNotLeader: errNotLeader, codeBusy: errBusy, codeNoTopic: ErrNoTopic,
	codeNoChannel: topic.ErrNoChannel, codeNoAutoCreate: topic.ErrNoAutoCreate, codeOthersKeep: ErrOthersKeep,
	codeExists: topic.ErrChannelExists, codeEphemeral: topic.ErrEphemeral,
}

// answerOf is what is told of how a request ended.
func answerOf(err error) answer {
	if err == nil {
		return answer{code: codeDone}
	}
	if errors.Is(err, channel.ErrExiting) { // the topic or its Serving was on its way out
		return answer{code: codeBusy}
	}
	for c, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return answer{code: c}
		}
	}
	var limit *topic.LimitError
	var tail *topic.TailError
	var mistakes settings.Mistakes
	var position *topic.PositionError
	var name *NameError
	switch {
	case errors.As(err, &name):
		return answer{code: codeName, texts: [2]string{name.Text}}
	case errors.As(err, &position):
		return answer{code: codePosition, texts: [2]string{position.Text}}
	case errors.As(err, &mistakes):
		return answer{code: codeSettings, texts: [2]string{mistakes.Error()}}
	case errors.As(err, &limit):
		return answer{code: codeLimit, number: uint64(limit.Max), texts: [2]string{limit.What, limit.Option}}
	case errors.As(err, &tail) && tail.Paused:
		return answer{code: codeTailPaused, number: uint64(tail.Waiting)}
	case errors.As(err, &tail):
		return answer{code: codeTailWaiting, number: uint64(tail.Waiting)}
	}
	return answer{code: codeOther, texts: [2]string{err.Error()}}
}

// err is the error that an answer tells of.
func (a *answer) err() error {
	switch a.code {
	case codeDone:
		return nil
	case codeLimit:
		return &topic.LimitError{What: a.texts[0], Max: int(a.number), Option: a.texts[1]}
	case codePosition:
		return &topic.PositionError{Text: a.texts[0]}
	case codeName:
		return &NameError{Text: a.texts[0]}
	case codeTailPaused, codeTailWaiting:
		return &topic.TailError{Paused: a.code == codeTailPaused, Waiting: int64(a.number)}
	}
	if a.code == codeSettings {
		return settings.Mistakes{a.texts[0]}
	}
	if err := sentinels[a.code]; err != nil {
		return err
	}
	return errors.New(a.texts[0])
}

// tell adds how a channel goes on that was created or rewound; nil: nothing.
func (a *answer) tell(r *topic.Replay) {
	if r != nil {
		text, _ := json.Marshal(r) // it always marshals
		a.texts[0] = string(text)
	}
}

// replay reads what tell added, if it is wanted and there.
func (a *answer) replay(into *topic.Replay) {
	if a.code == codeDone && into != nil {
		_ = json.Unmarshal([]byte(a.texts[0]), into) // an older node says nothing of it
	}
}
