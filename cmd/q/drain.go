package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"qmq/broker"
	"qmq/internal/apiclient"
)

// drainCommand is q drain. A supervisor runs it before it stops a node: the image
// has no other program that could.
type drainCommand struct {
	Node   string `arg:"" complete:"node" help:"HTTP address of the node, such as 127.0.0.1:4151."`
	Undo   bool   `xor:"then" help:"Have a node that is drained take publishes again."`
	NoWait bool   `xor:"then" help:"Do not wait until the node has stopped."`
	reach
	JSON bool `help:"Print what the node answers as JSON."`
}

// Help has the examples.
func (*drainCommand) Help() string {
	return "A drained node refuses publishes and stops by itself when its consumers have emptied it, or when its --drain-timeout is over. " +
		"What is paused, or has no channel or no consumer, is not waited for and stays on the node.\n\n" + examples(
		"empty a node and wait until it has stopped", `q drain 127.0.0.1:4151`,
		"think better of it", `q drain --undo 127.0.0.1:4151`,
	)
}

// drainState is what a node says of how far it is.
type drainState struct {
	Draining bool             `json:"draining"`
	Until    int64            `json:"until,omitempty"` // seconds since 1970
	Waiting  []broker.Waiting `json:"waiting"`
	Left     []broker.Waiting `json:"left"`
}

// drainPause is between two questions how far a node is.
const drainPause = 500 * time.Millisecond

// Run fails when the node is not drained, or is not any more before it has stopped.
func (d *drainCommand) Run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	d.Lookupd, d.Addr, d.HTTPAddr = nil, nil, []string{d.Node}
	cl, err := d.open()
	if err != nil {
		return err
	}
	defer cl.close()
	path := "/drain"
	if d.Undo {
		path = "/undrain"
	}
	var s drainState
	if err := cl.api.Post(ctx, apiclient.URL(cl.httpAddr[0], path, nil), nil, &s); err != nil {
		return err
	}
	if err := d.tell(c, &s); err != nil || d.Undo || d.NoWait {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainPause):
		}
		gone, err := d.look(ctx, cl, &s)
		switch {
		case err != nil:
			return err
		case gone:
			if !d.JSON {
				fmt.Fprintf(c.out, "%s: it has stopped\n", d.Node)
			}
			return nil
		}
	}
}

// look asks how far the node is; gone: nobody listens there any more. One that does
// not answer in time is asked again.
func (d *drainCommand) look(ctx context.Context, cl *cluster, s *drainState) (gone bool, err error) {
	err = cl.api.Do(ctx, http.MethodGet, apiclient.URL(cl.httpAddr[0], "/drain", nil), nil, s)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, nil
	case err != nil:
		return false, ctx.Err()
	case !s.Draining:
		return false, fmt.Errorf("%s is not drained any more", d.Node)
	}
	return false, nil
}

// tell says what is waited for, and what is not.
func (d *drainCommand) tell(c console, s *drainState) error {
	if d.JSON {
		return printJSON(c.out, s)
	}
	if !s.Draining {
		fmt.Fprintf(c.out, "%s: it takes publishes\n", d.Node)
		return nil
	}
	fmt.Fprintf(c.out, "%s: draining, until %s at the latest\n", d.Node, time.Unix(s.Until, 0).Format(time.RFC3339))
	for _, w := range s.Waiting {
		fmt.Fprintf(c.out, "  waiting for %s\n", described(w))
	}
	for _, w := range s.Left {
		fmt.Fprintf(c.out, "  not waiting for %s: %s\n", described(w), w.Left)
	}
	return nil
}

// described names what messages wait in, and how many.
func described(w broker.Waiting) string {
	name := w.Topic
	if w.Channel != "" {
		name += "/" + w.Channel
	}
	if w.DeadLettering > 0 {
		return fmt.Sprintf("%s (%d to become dead letters)", name, w.DeadLettering)
	}
	if w.Retained > 0 {
		return fmt.Sprintf("%s (%d finished)", name, w.Retained)
	}
	return fmt.Sprintf("%s (%d waiting, %d in flight, %d deferred)", name, w.Depth, w.InFlight, w.Deferred)
}
