package client_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"qmq/client"
)

// A reply that no node takes is not worked out again and again: who asks is told why.
func TestReplyThatIsRefusedIsToldToWhoAsks(t *testing.T) {
	qd := startNode(t, "--max-msg-size=1024")
	c := open(t, client.Options{Nodes: []string{qd.Addresses()["TCP"]}})
	ctx := limited(t)
	handled := make(chan string, 100)
	replying, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Reply(replying, client.Consumption{Topic: "sizes#ephemeral"}, func(_ context.Context, d *client.Delivery) (client.Message, error) {
			handled <- string(d.Body)
			if string(d.Body) == "header" {
				return client.Message{Body: []byte("x"), Headers: client.Headers{{"no key", "x"}}}, nil
			}
			return client.Message{Body: bytes.Repeat([]byte("x"), 1<<20)}, nil
		})
	}()
	for _, what := range []string{"big", "header"} {
		_, err := c.Request(ctx, "sizes#ephemeral", client.Message{Body: []byte(what)})
		var reply *client.ReplyError
		if !errors.As(err, &reply) || what == "big" && !strings.Contains(reply.Text, "too big") {
			t.Errorf("%s: %v", what, err)
		}
		if got := <-handled; got != what || len(handled) > 0 {
			t.Errorf("%s: %q was handled, and %d others", what, got, len(handled))
		}
	}
	stop()
	<-ended
}
