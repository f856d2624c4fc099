package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"qmq/internal/apiclient"
	"qmq/internal/names"
)

// againError is a refusal of something that may be asked for again: what stands in its way may be
// over in a moment, as an election.
type againError struct{ error }

func (e *againError) Unwrap() error { return e.error }

// refusalOf is what a daemon says of a request that it refuses, if err is that and it says
// anything; else it is err.
func refusalOf(err error) error {
	code, why, ok := apiclient.Refusal(err)
	if ok && code == "UNAVAILABLE" {
		return &againError{fmt.Errorf("%s: %s", code, cmp.Or(why, "ask again"))}
	}
	switch {
	case !ok:
		return err
	case code == "CHANNEL_EXISTS":
		return fmt.Errorf("%s: the channel is there already: q channels rewind has it begin anew", code)
	case why != "":
		return fmt.Errorf("%s: %s", code, why)
	}
	return errors.New(code)
}

// noTopic is what is wrong with a name that cannot be a topic's.
func noTopic(name string) error {
	if topic, channel, both := strings.Cut(name, "/"); both && names.Valid(topic) && names.Valid(channel) {
		return fmt.Errorf("topic %q: a topic alone is wanted here, such as %s", name, topic)
	}
	return fmt.Errorf("topic %q: %s", name, names.Rule)
}

// noTopicBeside is noTopic where a flag names the channel.
func noTopicBeside(name string) error {
	if topic, channel, both := strings.Cut(name, "/"); both && names.Valid(topic) && names.Valid(channel) {
		return fmt.Errorf("topic %q: a flag names the channel here: %s --channel=%s", name, topic, channel)
	}
	return noTopic(name)
}
