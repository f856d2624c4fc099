package once

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
)

// Settings are those of a topic that Publisher publishes to.
const Settings = `{"dedup_window": "1h", "dedup_from": "json:/id", "key_from": "json:/id"}`

const answerLimit = 10 * time.Second

// more is what else is said of messages, all of which come.
var more = []string{"", "&defer=50", "&ttl=600000", "&priority=7&key=other", "&defer=20&ttl=600000"}

// Publisher publishes messages of ids that it counts. Those of the same name publish the same.
type Publisher struct {
	Ledger *Ledger
	Name   string // begins its ids
	Topic  string
	Random *rand.Rand

	next int
	open []string // of which no publish was answered
	done []string
}

// Open is how many ids no publish was answered of.
func (p *Publisher) Open() int { return len(p.open) }

// body is that of an id, in which dedup_from finds it.
func body(id string) string { return fmt.Sprintf(`{"id":"%s"}`, id) }

// choose is the ids of the next publish: some that are open, some that are done, some new,
// some of them twice. With fresh false none is new, and as many are open as there are.
func (p *Publisher) choose(fresh bool) (ids []string) {
	open := len(p.open)
	if fresh {
		open = min(open, p.Random.IntN(20))
	}
	ids = append(ids, p.open[:open]...)
	for range p.Random.IntN(4) {
		if len(p.done) > 0 {
			ids = append(ids, p.done[p.Random.IntN(len(p.done))])
		}
	}
	for range 1 + p.Random.IntN(10) {
		if fresh {
			p.next++
			id := fmt.Sprint(p.Name, "-", p.next)
			ids, p.open = append(ids, id), append(p.open, id)
		}
	}
	if p.Random.IntN(4) == 0 {
		ids = append(ids, ids...)
	}
	p.Random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// Publish publishes something to a node in one of the ways that there are, or, if fresh is
// false, all of what is open. Only after an OK it is done.
func (p *Publisher) Publish(ctx context.Context, tcp, web string, fresh bool) (err error) {
	ids := p.choose(fresh)
	if len(ids) == 0 {
		return nil
	}
	p.Ledger.Sent(ids)
	switch p.Random.IntN(4) {
	case 0: // one by one; what is OK'd of it is done
		for _, id := range ids {
			if err := p.post(ctx, web, "/pub?topic="+p.Topic+"&dedup_id="+id+more[p.Random.IntN(len(more))], body(id)); err != nil {
				return err
			}
			p.answered(id)
		}
		return nil
	case 1:
		var lines strings.Builder
		for _, id := range ids {
			lines.WriteString(body(id) + "\n")
		}
		err = p.post(ctx, web, "/mpub?topic="+p.Topic, lines.String())
	case 2:
		var commands []string
		for _, id := range ids {
			commands = append(commands, wire.HPub(p.Topic, body(id), "dedup-id", id))
		}
		err = send(ctx, tcp, commands...)
	default:
		var messages []string
		for _, id := range ids {
			messages = append(messages, wire.Headers("dedup-id", id)+body(id))
		}
		err = send(ctx, tcp, wire.HMPub(p.Topic, messages...))
	}
	if err == nil {
		p.answered(ids...)
	}
	return err
}

// answered notes that ids were OK'd.
func (p *Publisher) answered(ids ...string) {
	p.Ledger.OK(ids)
	was := make(map[string]bool, len(ids))
	for _, id := range ids {
		was[id] = true
	}
	p.open = slices.DeleteFunc(p.open, func(id string) bool {
		if was[id] {
			p.done = append(p.done, id)
		}
		return was[id]
	})
}

// transport sends nothing again by itself: it has no connections that may have ended.
var transport = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (p *Publisher) post(ctx context.Context, web, path, body string) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	_, err := process.Ask(ctx, transport, "POST", web, path, body)
	return err
}

// send sends commands at once, and wants an OK for each.
func send(ctx context.Context, tcp string, commands ...string) error {
	w, err := wire.Dial(ctx, tcp)
	if err != nil {
		return err
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	late := time.Now().Add(answerLimit)
	w.Out = append(w.Out, wire.Identify(`{"headers":true}`)...)
	for _, command := range commands {
		w.Out = append(w.Out, command...)
	}
	if _, err := w.Command(late); err != nil { // of IDENTIFY
		return err
	}
	for range commands {
		kind, data, err := w.Next(late)
		if err != nil {
			return err
		}
		if kind != wire.Response {
			return wire.Refusal(data)
		}
	}
	return nil
}

// Consume takes from a channel until the connection ends, which it does with ctx too, and
// finishes nine of ten.
func (l *Ledger) Consume(ctx context.Context, random *rand.Rand, address, topic, channel string) error {
	w, err := wire.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	if err := w.Subscribe(`{"client_id":"once","feature_negotiation":true,"heartbeat_interval":1000}`, topic, channel, time.Now().Add(answerLimit)); err != nil {
		return err
	}
	w.Ready(100)
	for {
		if err := w.Flush(time.Now().Add(answerLimit)); err != nil {
			return err
		}
		kind, data, err := w.Next(time.Now().Add(answerLimit))
		if err != nil {
			return err
		}
		if kind != wire.Delivery {
			continue
		}
		head, text, err := wire.ParseHead(data)
		if err != nil {
			return err
		}
		id := strings.TrimSuffix(strings.TrimPrefix(string(text), `{"id":"`), `"}`)
		l.Came(id, head.ID)
		if random.IntN(10) > 0 {
			w.Answer("FIN", &head.ID)
		} else {
			w.Requeue(&head.ID, time.Duration(random.IntN(50))*time.Millisecond)
		}
	}
}
