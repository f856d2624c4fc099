package loadgen

import (
	"context"
	"fmt"
	"time"
)

// Idle are consumers that wait for messages that do not come. They do not
// answer heartbeats either, so the server keeps them for two minutes only.
type Idle struct{ conns []*conn }

// OpenIdle connects n consumers of a channel with a RDY count of 1. Close ends
// them.
func OpenIdle(ctx context.Context, t Target, topic, channel string, n int) (*Idle, error) {
	idle := new(Idle)
	for range n {
		if err := idle.add(ctx, t, topic, channel); err != nil {
			idle.Close()
			return nil, err
		}
	}
	return idle, nil
}

func (i *Idle) add(ctx context.Context, t Target, topic, channel string) error {
	const heartbeats = time.Minute // the longest interval that servers allow
	c, _, err := dial(ctx, t.TCP, int(heartbeats.Milliseconds()), Encoding{})
	if err != nil {
		return err
	}
	i.conns = append(i.conns, c)
	if err := subscribe(c, topic, channel); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "RDY 1\n")
	return err
}

// Close ends the connections.
func (i *Idle) Close() {
	for _, c := range i.conns {
		c.Close()
	}
}
