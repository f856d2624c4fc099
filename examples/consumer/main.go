// Command consumer prints the messages of a topic, one per line, with a stock
// NSQ client that a directory tells of new nodes at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/nsqio/go-nsq"

	"qmq/client"
)

func main() {
	lookup := flag.String("lookupd-http-address", "127.0.0.1:4161", "address of qlookupd, which knows who has the topic")
	topic := flag.String("topic", "test", "topic to read")
	channel := flag.String("channel", "example", "channel of the topic")
	flag.Parse()

	if err := consume(*lookup, *topic, *channel); err != nil {
		log.Fatal(err)
	}
}

// consume prints messages until the program is told to stop. A message is
// finished when the handler returns nil; on an error it would come again.
func consume(lookup, topic, channel string) error {
	config := nsq.NewConfig()
	config.MaxInFlight = 100 // how many messages may be on their way at once
	consumer, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		return err
	}
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		_, err := fmt.Printf("%s\n", m.Body)
		return err
	}))
	nodes, err := client.Open(client.Options{Directories: []string{lookup}, Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer nodes.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := nodes.Feed(ctx, consumer, topic); err != nil {
		return err
	}
	consumer.Stop()
	<-consumer.StopChan
	return nil
}
