package settings

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// DeadLetterTopics are those that patterns have the dead letters of a topic's channels go
// to, of channels that are to come too, where nothing is set of them by their names.
func (r *Rules) DeadLetterTopics(topic string) (list []string) {
	if r == nil {
		return nil
	}
	for i := range r.channels {
		ofTopic, ofChannel, _ := strings.Cut(r.channels[i].pattern, "/")
		to := r.channels[i].set.DeadLetterTopic
		if ok, _ := path.Match(ofTopic, topic); !ok || to == nil {
			continue
		}
		if *to != "" && *to != topic && !slices.Contains(list, *to) { // one that takes in the dead letters themselves has none
			list = append(list, *to)
		}
		if ofChannel == "*" {
			break // what comes behind has no say
		}
	}
	return list
}

// refuseRounds says where patterns would have dead letters go round for ever.
func (r *Rules) refuseRounds() (m Mistakes) {
	var told []string
	for i := range r.channels {
		to := value(r.channels[i].set.DeadLetterTopic)
		if to == "" || slices.Contains(told, to) {
			continue
		}
		if way := r.findCycle(to, to, nil); way != nil {
			told = append(told, way...)
			m = append(m, fmt.Sprintf("[channel.%s] dead_letter_topic must not lead back to where it began: dead letters would go from %s; for channels that shall have none set max_attempts = 0 and dead_letter_topic = \"\"",
				quote(r.channels[i].pattern), strings.Join(way, " to ")))
		}
	}
	return m
}

// findCycle is over which topics dead letters come from one to another, both included, after
// passed; nil when they do not.
func (r *Rules) findCycle(from, to string, passed []string) []string {
	passed = append(slices.Clip(passed), from)
	for _, next := range r.DeadLetterTopics(from) {
		if next == to {
			return append(passed, next)
		}
		if slices.Contains(passed, next) {
			continue
		}
		if way := r.findCycle(next, to, passed); way != nil {
			return way
		}
	}
	return nil
}
