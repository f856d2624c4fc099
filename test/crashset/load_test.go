package crashset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
)

// load is stock clients at work: publishers through every member over TCP and HTTP, those
// that measure pauses, and consumers that are connected to all.
type load struct {
	t          *testing.T
	s          *set
	l          *ledger
	ctx        context.Context
	cancel     context.CancelFunc
	publishing sync.WaitGroup
	consumers  []*nsq.Consumer
	probes     []*probe
	deliveries []*probe // of a channel's messages to its consumer
}

// settings are those of a client that finds out soon that a member is gone.
func settings() *nsq.Config {
	c := nsq.NewConfig()
	c.HeartbeatInterval, c.ReadTimeout = time.Second, 8*time.Second // a publish may wait 5 s for a leader
	c.LookupdPollInterval = 250 * time.Millisecond                  // also until it is connected to again
	c.MaxInFlight, c.MaxBackoffDuration, c.DefaultRequeueDelay = *inFlight, 0, 0
	return c
}

var quietLog = log.New(io.Discard, "", 0)

func startLoad(t *testing.T, s *set, l *ledger) *load {
	w := &load{t: t, s: s, l: l}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for _, topic := range topicNames {
		for channel := range channelNames {
			w.consume(topic, channel)
		}
	}
	ways := []func(m *member, topic string) func([][]byte) error{overTCP, overTCP, overHTTP}
	n := 0
	for _, m := range s.members {
		for _, way := range ways {
			topic := topicNames[n%len(topicNames)]
			n++
			publisher, random := l.publisher(topic), rand.New(rand.NewPCG(uint64(*seed), uint64(n)))
			w.publishing.Go(func() { w.publish(publisher, random, way(m, topic), len(s.members)*len(ways)) })
		}
		for _, topic := range topicNames {
			p := &probe{m: m, last: time.Now()}
			w.probes = append(w.probes, p)
			publisher := l.publisher(topic)
			w.publishing.Go(func() { w.probe(p, publisher, overHTTP(m, topic)) })
		}
	}
	return w
}

// publish is a publisher: batches of random lengths, at its share of the rate.
func (w *load) publish(publisher int, random *rand.Rand, send func([][]byte) error, share int) {
	next := time.Now()
	for w.ctx.Err() == nil {
		count := 1
		if random.IntN(3) > 0 {
			count = 1 + random.IntN(60)
		}
		bodies, first := w.l.send(publisher, count, random)
		if err := send(bodies); err == nil {
			w.l.ok(publisher, first)
		} else {
			w.pause(20 * time.Millisecond)
		}
		next = next.Add(time.Duration(count*share) * time.Second / time.Duration(*rate))
		if now := time.Now(); next.Before(now.Add(-time.Second)) {
			next = now // what a fault held up is not caught up with in one burst
		}
		w.pause(time.Until(next))
	}
}

func (w *load) pause(d time.Duration) {
	select {
	case <-w.ctx.Done():
	case <-time.After(d):
	}
}

// overTCP publishes with a stock producer.
func overTCP(m *member, topic string) func([][]byte) error {
	p, err := nsq.NewProducer(m.TCP, settings())
	if err != nil {
		panic(err)
	}
	p.SetLogger(quietLog, nsq.LogLevelError)
	return func(bodies [][]byte) error {
		if len(bodies) == 1 {
			return p.Publish(topic, bodies[0])
		}
		return p.MultiPublish(topic, bodies)
	}
}

// overHTTP publishes with /pub and /mpub.
func overHTTP(m *member, topic string) func([][]byte) error {
	c := &http.Client{Timeout: 8 * time.Second, Transport: new(http.Transport)}
	return func(bodies [][]byte) error {
		url, body := "http://"+m.HTTP+"/pub?topic="+topic, bodies[0]
		if len(bodies) > 1 {
			url = "http://" + m.HTTP + "/mpub?binary=true&topic=" + topic
			body = binary.BigEndian.AppendUint32(nil, uint32(len(bodies)))
			for _, b := range bodies {
				body = append(binary.BigEndian.AppendUint32(body, uint32(len(b))), b...)
			}
		}
		answer, err := c.Post(url, "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && (answer.StatusCode != http.StatusOK || string(text) != "OK") {
			err = fmt.Errorf("%d %s", answer.StatusCode, text)
		}
		return err
	}
}

// consume has a stock consumer take from all members.
func (w *load) consume(topic string, channel int) {
	c, err := nsq.NewConsumer(topic, channelNames[channel], settings())
	if err != nil {
		w.t.Fatal(err)
	}
	c.SetLogger(&refusals{w.l, topic, channel}, nsq.LogLevelError)
	random := rand.New(rand.NewPCG(uint64(*seed), uint64(len(topic)+channel)))
	came := &probe{last: time.Now()}
	w.deliveries = append(w.deliveries, came)
	c.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		m.DisableAutoResponse()
		came.ok()
		found := w.l.deliver(delivered{topic, channel, m.ID}, m.Body, m.NSQDAddress)
		if found == nil {
			m.Finish()
			return nil
		}
		if channel == 1 && random.IntN(20) == 0 && m.Attempts < 5 {
			m.RequeueWithoutBackoff(time.Duration(random.IntN(500)) * time.Millisecond)
			return nil
		}
		m.Finish()
		w.l.finish(found, channel)
		return nil
	}))
	var all []string
	for _, m := range w.s.members {
		all = append(all, m.TCP)
	}
	if err := c.ConnectToNSQDs(all); err != nil {
		w.t.Fatal(err)
	}
	w.consumers = append(w.consumers, c)
}

// refusals are told to the ledger by what a stock consumer logs.
type refusals struct {
	l       *ledger
	topic   string
	channel int
}

// Output is part of what go-nsq takes for a logger.
func (r *refusals) Output(_ int, line string) error {
	if _, refused, ok := strings.Cut(line, "E_FIN_FAILED FIN "); ok {
		d := delivered{topic: r.topic, channel: r.channel}
		copy(d.id[:], refused)
		r.l.refuse(d)
	}
	return nil
}

// hold has consumers take nothing until goOn.
func (w *load) hold() { w.setMaxInFlight(0) }
func (w *load) goOn() { w.setMaxInFlight(settings().MaxInFlight) }

func (w *load) setMaxInFlight(n int) {
	for _, c := range w.consumers {
		c.ChangeMaxInFlight(n)
	}
}

// flood publishes through a member until that is refused.
func (w *load) flood(m *member, limit time.Duration) error {
	publisher, random := w.l.publisher(topicNames[0]), rand.New(rand.NewPCG(uint64(*seed), 0))
	send := overHTTP(m, topicNames[0])
	for began := time.Now(); time.Since(began) < limit; {
		bodies, first := w.l.send(publisher, floodBatch, random)
		switch err := send(bodies); {
		case err == nil:
			w.l.ok(publisher, first)
		case strings.Contains(err.Error(), "full"):
			return nil
		default:
			return fmt.Errorf("publishes are refused otherwise than for a full disk: %w", err)
		}
	}
	return errors.New("publishes are not refused, though nothing is consumed")
}

const floodBatch = 2000

// stopPublishing ends the publishers.
func (w *load) stopPublishing() {
	w.cancel()
	w.publishing.Wait()
}

// drainTime is how long nothing may come until what is missing is lost.
const drainTime = time.Minute

// drain waits until all that was OK'd has come.
func (w *load) drain() {
	for {
		lost, half, _, latest := w.l.missing()
		if lost == 0 && half == 0 || time.Since(latest) > drainTime {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stop ends the consumers.
func (w *load) stop() {
	for _, c := range w.consumers {
		c.Stop()
	}
	for _, c := range w.consumers {
		<-c.StopChan
	}
}
