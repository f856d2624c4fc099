package relay

import (
	"errors"
	"time"

	"qmq/channel"
	"qmq/topic"
)

// code is an error as frames have it.
type code uint8

const (
	codeOther code = iota // what the text says
	codeExiting
	codeNotInFlight
	codeNotOwner
	codeTooManyConsumers
	codeNoAutoCreate
	codeNotLeader
)

// ErrNotLeader means that the node serves the topic no longer, or not yet: another one
// does, or it will.
var ErrNotLeader = errors.New("this node does not serve the topic")

var sentinels = [...]error{
	codeExiting:          channel.ErrExiting,
	codeNotInFlight:      channel.ErrNotInFlight,
	codeNotOwner:         channel.ErrNotOwner,
	codeTooManyConsumers: channel.ErrTooManyConsumers,
	codeNoAutoCreate:     topic.ErrNoAutoCreate,
	codeNotLeader:        ErrNotLeader,
}

// codeOf is what tells another node of an error; text is empty where the code says
// all.
func codeOf(err error) (c code, text string) {
	for c, sentinel := range sentinels {
		if sentinel != nil && errors.Is(err, sentinel) {
			return code(c), ""
		}
	}
	return codeOther, err.Error()
}

// errorOf is the error that another node told of.
func errorOf(c code, text string) error {
	if int(c) < len(sentinels) && sentinels[c] != nil {
		return sentinels[c]
	}
	return errors.New(text)
}

// duration is a delay that another node sent; a negative one is none.
func duration(ns uint64) time.Duration { return max(0, time.Duration(ns)) }
