package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"qmq/client"
)

// Programs usually name directories; here there is one node.
func ExampleClient_Publish() {
	node, _, end := exampleNode()
	defer end()
	c, err := client.Open(client.Options{Nodes: []string{node}})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = c.Publish(ctx, "orders", client.Message{
		Body:    []byte("17 shirts"),
		Key:     "customer-5",
		Headers: client.Headers{{Key: "content-type", Value: "text/plain"}},
	})
	fmt.Println(err)

	err = c.Consume(ctx, client.Consumption{Topic: "orders", Channel: "shipping"}, func(_ context.Context, d *client.Delivery) error {
		fmt.Printf("%s for %s (%s)\n", d.Body, d.Key(), d.Headers.Get("Content-Type"))
		cancel() // it was the only one
		return nil
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// 17 shirts for customer-5 (text/plain)
	// <nil>
}

func ExampleClient_Publish_errors() {
	c, err := client.Open(client.Options{Nodes: []string{"127.0.0.1:1"}, Patience: 100 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	err = c.Publish(context.Background(), "orders", client.Message{Body: []byte("17 shirts")})
	var unpublished *client.UnpublishedError
	var unanswered *client.UnansweredError
	switch {
	case errors.As(err, &unpublished):
		fmt.Println("nothing is stored: it may be published again")
	case errors.As(err, &unanswered):
		fmt.Println("it may be stored at", unanswered.Node)
	}
	// Output: nothing is stored: it may be published again
}

func ExampleBatcher() {
	node, _, end := exampleNode()
	defer end()
	c, err := client.Open(client.Options{Nodes: []string{node}})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := c.Batcher("clicks", client.BatchOptions{Messages: 100, Linger: 10 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	var results []client.Result
	for i := range 250 {
		r, err := b.Add(ctx, client.Message{Body: fmt.Appendf(nil, "click %d", i)})
		if err != nil {
			panic(err)
		}
		results = append(results, r)
	}
	if err := b.Close(ctx); err != nil {
		panic(err)
	}
	stored := 0
	for _, r := range results {
		if r.Wait(ctx) == nil {
			stored++
		}
	}
	fmt.Println(stored, "are stored")
	// Output: 250 are stored
}

func ExampleClient_Request() {
	node, web, end := exampleNode()
	defer end()
	c, err := client.Open(client.Options{Nodes: []string{node}, HTTP: []string{web}})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	replied := make(chan error)
	go func() {
		replied <- c.Reply(ctx, client.Consumption{Topic: "upper#ephemeral"}, func(_ context.Context, d *client.Delivery) (client.Message, error) {
			if len(d.Body) > 100 {
				return client.Message{}, errors.New("that is too much to shout")
			}
			return client.Message{Body: []byte(strings.ToUpper(string(d.Body)))}, nil
		})
	}()
	for _, body := range []string{"hello", strings.Repeat("hello ", 100)} {
		reply, err := c.Request(ctx, "upper#ephemeral", client.Message{Body: []byte(body)})
		if errors.Is(err, client.ErrNoResponders) { // it has not connected yet
			reply, err = c.Request(ctx, "upper#ephemeral", client.Message{Body: []byte(body)})
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s\n", reply.Body)
	}
	cancel()
	fmt.Println(<-replied)
	// Output:
	// HELLO
	// the reply is an error: that is too much to shout
	// <nil>
}
