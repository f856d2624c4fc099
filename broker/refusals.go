package broker

import (
	"errors"
	"sync/atomic"

	"qmq/channel"
	"qmq/topic"
)

// Refusal is a kind of reason for which a client's publish was refused.
type Refusal int

const (
	RefusedDraining Refusal = iota // the node is drained
	RefusedSpace                   // too little room is free on the disk
	RefusedLimit                   // there may be no more topics, or clients make none
	RefusedFull                    // the topic holds as much as its settings allow
	RefusedExiting                 // the topic or the node is on its way out
	RefusedStorage                 // it could not be stored: a disk that is full or fails, a set without majority
	refusals
)

var refusalNames = [refusals]string{"draining", "space", "limit", "full", "exiting", "storage"}

// String is a word for it.
func (r Refusal) String() string { return refusalNames[r] }

// refused counts the publishes that were refused, each of which may have many messages.
type refused [refusals]atomic.Uint64

// note counts an error of a publish, and returns it.
func (r *refused) note(err error) error {
	if err == nil {
		return nil
	}
	var low *SpaceError
	var limit *topic.LimitError
	var full *topic.FullError
	kind := RefusedStorage
	switch {
	case errors.Is(err, ErrDraining):
		kind = RefusedDraining
	case errors.As(err, &low):
		kind = RefusedSpace
	case errors.As(err, &limit), errors.Is(err, topic.ErrNoAutoCreate):
		kind = RefusedLimit
	case errors.As(err, &full):
		kind = RefusedFull
	case errors.Is(err, channel.ErrExiting):
		kind = RefusedExiting
	}
	r[kind].Add(1)
	return err
}

// Refused says how many publishes of clients were refused for a reason of that kind.
func (b *Broker) Refused(kind Refusal) uint64 { return b.refused[kind].Load() }

// Refusals are all kinds.
func Refusals() (list []Refusal) {
	for r := range refusals {
		list = append(list, r)
	}
	return list
}
