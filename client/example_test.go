package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsqio/go-nsq"

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

// With directories nodes come and go without the program being told: here the first node
// comes after the publish has begun.
func ExampleOpen() {
	directory, err := launchDirectory()
	if err != nil {
		panic(err)
	}
	defer directory.Stop()
	c, err := client.Open(client.Options{
		Directories: []string{directory.Addresses()["HTTP"]},
		Name:        "shop",
		Patience:    time.Minute, // how long a publish is tried
	})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	published := make(chan error)
	go func() {
		published <- c.Publish(context.Background(), "orders", client.Message{Body: []byte("17 shirts")})
	}()
	_, _, end := exampleNode("--lookupd-tcp-address=" + directory.Addresses()["TCP"])
	defer end()
	fmt.Println(<-published)
	// Output: <nil>
}

// A handler that fails has its message again, after a time that it may say.
func ExampleClient_Consume() {
	node, _, end := exampleNode()
	defer end()
	c, err := client.Open(client.Options{Nodes: []string{node}})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, order := range []string{"17 shirts", "3 hats"} {
		if err := c.Publish(ctx, "orders", client.Message{Body: []byte(order)}); err != nil {
			panic(err)
		}
	}
	done := 0
	err = c.Consume(ctx, client.Consumption{Topic: "orders", Channel: "shipping", MaxInFlight: 100}, func(_ context.Context, d *client.Delivery) error {
		if string(d.Body) == "17 shirts" && d.Attempts == 1 {
			return client.After(10*time.Millisecond, errors.New("no shirts yet"))
		}
		fmt.Printf("%s, attempt %d\n", d.Body, d.Attempts)
		if done++; done == 2 {
			cancel() // in a program, a signal would
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 3 hats, attempt 1
	// 17 shirts, attempt 2
	// <nil>
}

// A consumer of go-nsq is connected to nodes as soon as a directory lists them.
func ExampleClient_Feed() {
	directory, err := launchDirectory()
	if err != nil {
		panic(err)
	}
	defer directory.Stop()
	_, _, end := exampleNode("--lookupd-tcp-address=" + directory.Addresses()["TCP"])
	defer end()
	c, err := client.Open(client.Options{Directories: []string{directory.Addresses()["HTTP"]}, Patience: time.Minute})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	consumer, err := nsq.NewConsumer("orders", "shipping", nsq.NewConfig())
	if err != nil {
		panic(err)
	}
	consumer.SetLoggerLevel(nsq.LogLevelMax)
	got := make(chan string)
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error { got <- string(m.Body); return nil }))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fed := make(chan error)
	go func() { fed <- c.Feed(ctx, consumer, "orders") }()

	if err := c.Publish(ctx, "orders", client.Message{Body: []byte("17 shirts")}); err != nil {
		panic(err)
	}
	fmt.Println(<-got)
	cancel()
	fmt.Println(<-fed)
	consumer.Stop()
	<-consumer.StopChan
	// Output:
	// 17 shirts
	// <nil>
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
