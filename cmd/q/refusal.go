package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"qmq/internal/apiclient"
	"qmq/internal/names"
)

// refusalOf is what a daemon says of a request that it refuses, if err is that and it says
// anything; else it is err.
func refusalOf(err error) error {
	var refused *apiclient.StatusError
	var answer struct{ Message, Why string }
	switch {
	case !errors.As(err, &refused) || json.Unmarshal(refused.Body, &answer) != nil || answer.Message == "":
		return err
	case answer.Why != "":
		return fmt.Errorf("%s: %s", answer.Message, answer.Why)
	}
	return errors.New(answer.Message)
}

// noTopic is what is wrong with a name that cannot be a topic's.
func noTopic(name string) error {
	if topic, channel, both := strings.Cut(name, "/"); both && names.Valid(topic) && names.Valid(channel) {
		return fmt.Errorf("topic %q: topic and channel are two words here: %s %s", name, topic, channel)
	}
	return fmt.Errorf("topic %q: %s", name, names.Rule)
}
