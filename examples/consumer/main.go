// Command consumer prints the messages of a topic, one per line, with a stock
// NSQ client.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nsqio/go-nsq"
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
	config.MaxInFlight = 100                     // how many messages may be on their way at once
	config.LookupdPollInterval = 5 * time.Second // how soon a new node is noticed
	consumer, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		return err
	}
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		_, err := fmt.Printf("%s\n", m.Body)
		return err
	}))
	if err := consumer.ConnectToNSQLookupd(lookup); err != nil {
		return err
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	consumer.Stop()
	<-consumer.StopChan
	return nil
}
