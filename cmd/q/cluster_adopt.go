package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// clusterAdopt is q cluster adopt.
type clusterAdopt struct {
	Topic string        `arg:"" complete:"topic" help:"A topic that some member has for itself alone."`
	Wait  time.Duration `default:"10m" help:"How long to wait until all that members held of it is in the replicated topic."`
	setChange
}

// Help says what becomes of the messages.
func (*clusterAdopt) Help() string {
	return `Clients use the replicated topic at once. Each member that has the topic for itself moves what its channels owe into the channels of the same names, with other ids and new attempts, and waits for what consumers hold; then it ends its own topic, and who still consumes there connects again. A member that is down does so when it is back. With dedup_window doubles are known of what is published from now on: what repeats a publish to the former topic is stored again.`
}

// Run adopts a topic.
func (a *clusterAdopt) Run(c console) error {
	return a.act(c, setTold{Done: "adopted", Topic: a.Topic}, func(ctx context.Context, set *replicaSet) (string, error) {
		if err := set.ask(ctx, "/cluster/adopt", "topic", a.Topic); err != nil {
			return "", err
		}
		err := set.await(ctx, a.Wait, func() string { return set.notMoved(a.Topic) })
		return fmt.Sprintf("topic %s is replicated, with what the members held of it", a.Topic), err
	})
}

// notMoved says who has not moved what it has of a topic into the replicated one.
func (s *replicaSet) notMoved(topic string) string {
	var list []string
	for _, v := range s.views {
		if slices.Contains(v.Local, topic) {
			list = append(list, v.Address+" has not heard of it")
		}
		for _, m := range v.Moving {
			switch {
			case m.Topic != topic:
			case m.Failure != "":
				list = append(list, fmt.Sprintf("%s cannot move it (%s)", v.Address, m.Failure))
			case m.Left < 0:
				list = append(list, v.Address+" begins to move it")
			default:
				list = append(list, fmt.Sprintf("%s has %s to move, or waits until they are finished", v.Address, plural(m.Left, "message")))
			}
		}
	}
	return strings.Join(list, "; ")
}
