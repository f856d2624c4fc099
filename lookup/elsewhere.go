package lookup

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"

	"qmq/internal/apiclient"
)

const (
	// firstContact is how long Elsewhere waits for directories that were not
	// reached yet.
	firstContact = 500 * time.Millisecond
	// pauseTimeout is how long nodes have to say whether something is paused
	// there.
	pauseTimeout = 500 * time.Millisecond
	// questionsOnce is how many nodes are asked at a time.
	questionsOnce = 32
)

var (
	// errNobodyMet means that no directory has said where it can be asked.
	errNobodyMet = errors.New("no lookup directory was reached yet")
	// errNotStarted means that it is not known yet whom to ask.
	errNotStarted = errors.New("not announced yet")
)

// Elsewhere says which channels a topic has anywhere, as the directories know
// it, also those that are not connected now, and whether each is paused; and
// whether the topic itself is. Something is paused if it is on every other node
// that has it; what a listed node does not tell in time is not paused. Without
// directories there are none. The error is that not one of them answered: it
// is worth asking again. What some of them do not answer is logged.
func (a *Announcer) Elsewhere(ctx context.Context, topic string) (channels map[string]bool, paused bool, err error) {
	addresses, err := a.askable(ctx)
	if err != nil || len(addresses) == 0 {
		return nil, false, err
	}
	known, err := a.ask.Lookup(ctx, addresses, topic)
	var partial *PartialError
	if errors.As(err, &partial) && !partial.All() {
		a.o.Logger.Info("not every lookup directory was asked for channels", slog.String("topic", topic), slog.Any("error", err))
		err = nil
	}
	if err != nil {
		return nil, false, err
	}
	others := slices.DeleteFunc(known.Producers, func(p Producer) bool { return a.isSelf(&p) })
	pauses := a.ask.pauses(ctx, others, topic)
	channels = make(map[string]bool, len(known.Channels))
	for _, name := range known.Channels {
		channels[name] = pauses.all(name)
	}
	return channels, pauses.all(""), nil
}

// askable are the HTTP addresses of the directories that said where they serve
// it. The error is that none was reached so far.
func (a *Announcer) askable(ctx context.Context) ([]string, error) {
	a.mu.Lock()
	started, alone, resolved := a.started, a.alone, a.resolved
	a.mu.Unlock()
	switch {
	case !started:
		return nil, errNotStarted
	case alone:
		return nil, nil
	}
	contact, cancel := context.WithTimeout(ctx, firstContact)
	defer cancel()
	select {
	case <-resolved:
	case <-contact.Done():
	}
	peers := a.current()
	awaitContact(contact, peers)
	var addresses []string
	met := false
	for _, p := range peers {
		web, said := p.directory()
		met = met || said
		if web != "" {
			addresses = append(addresses, web)
		}
	}
	if !met {
		return nil, errNobodyMet
	}
	addresses, _ = a.names.Expand(contact, addresses, resolveEvery)
	return addresses, nil
}

// awaitContact waits until each directory has introduced itself or failed to,
// or ctx is done.
func awaitContact(ctx context.Context, peers []*peer) {
	for _, p := range peers {
		select {
		case <-p.tried:
		case <-ctx.Done():
			return
		}
	}
}

// pauses are what nodes say about a topic.
type pauses struct {
	silent bool            // not all of them did
	paused map[string]bool // by channel, the topic itself under ""; whether it is on all nodes that have it
}

// all tells whether something is paused wherever it is.
func (p *pauses) all(channel string) bool { return !p.silent && p.paused[channel] }

func (p *pauses) note(name string, paused bool) {
	was, known := p.paused[name]
	p.paused[name] = paused && (was || !known)
}

// topicFigures are what matters here of /stats.
type topicFigures struct {
	Topics []struct {
		Name     string `json:"topic_name"`
		Paused   bool   `json:"paused"`
		Channels []struct {
			Name   string `json:"channel_name"`
			Paused bool   `json:"paused"`
		} `json:"channels"`
	} `json:"topics"`
}

// pauses asks nodes, all at the same time, what of a topic is paused there.
func (c *Client) pauses(ctx context.Context, nodes []Producer, topic string) *pauses {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	query := url.Values{"format": {"json"}, "topic": {topic}, "include_clients": {"false"}, "include_mem": {"false"}}
	answers, errs := make([]topicFigures, len(nodes)), make([]error, len(nodes))
	slots := make(chan struct{}, questionsOnce)
	var asking sync.WaitGroup
	for i := range nodes {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = c.api.Get(ctx, apiclient.URL(nodes[i].WebAddress(), "/stats", query), &answers[i])
		})
	}
	asking.Wait()
	p := &pauses{paused: make(map[string]bool)}
	for i := range nodes {
		p.silent = p.silent || errs[i] != nil
		for _, t := range answers[i].Topics {
			if t.Name != topic {
				continue
			}
			p.note("", t.Paused)
			for _, channel := range t.Channels {
				p.note(channel.Name, channel.Paused)
			}
		}
	}
	return p
}
