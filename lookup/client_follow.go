package lookup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"qmq/internal/apiclient"
)

const (
	// followWait is how long a directory is asked to wait for a change, followGrace
	// how much longer its answer may take.
	followWait  = 30 * time.Second
	followGrace = 15 * time.Second
	// The pause after an answer that is none doubles from the one to the other. A
	// directory that does not know how to wait is tried again after the latter.
	followPause    = time.Second
	followMaxPause = time.Minute
)

// Writers lists the nodes that take publishes for a topic, healthiest first, and
// those that say that they take none. NSQ's directories do not know: each node
// that they list counts as one that does not say. A node is there once, with the
// best that a directory says of it; one with an impossible address is left out.
func (c *Client) Writers(ctx context.Context, addresses []string, topic string) (WritersAnswer, error) {
	answers, err := askAll(addresses, func(address string) (WritersAnswer, error) {
		return c.writersAt(ctx, address, topic)
	})
	var merged WritersAnswer
	known := make(map[string]int)
	for _, a := range answers {
		for _, w := range a.Producers {
			if w.impossible() != "" {
				continue
			}
			i, ok := known[w.address()]
			if !ok {
				known[w.address()] = len(merged.Producers)
				merged.Producers = append(merged.Producers, w)
			} else if w.Tier < merged.Producers[i].Tier {
				merged.Producers[i] = w
			}
		}
		merged.Refusing = append(merged.Refusing, a.Refusing...)
	}
	slices.SortStableFunc(merged.Producers, compareWriters)
	slices.SortStableFunc(merged.Refusing, func(x, y RefusingNode) int { return cmp.Compare(x.Node, y.Node) })
	merged.Refusing = slices.CompactFunc(merged.Refusing, func(x, y RefusingNode) bool { return x.Node == y.Node })
	return merged, err
}

// writersAt asks one directory.
func (c *Client) writersAt(ctx context.Context, address, topic string) (a WritersAnswer, err error) {
	err = c.api.Get(ctx, apiclient.URL(address, "/lookup", url.Values{"topic": {topic}, "access": {"w"}}), &a)
	if a.Index != "" || err != nil && !apiclient.IsStatus(err, http.StatusNotFound) {
		return a, err
	}
	var nodes NodesAnswer // it is NSQ's
	err = c.api.Get(ctx, apiclient.URL(address, "/nodes", nil), &nodes)
	a = WritersAnswer{}
	for _, n := range nodes.Producers {
		w := Writer{Producer: n.Producer, Tier: tierHealthy}
		if i := slices.Index(n.Topics, topic); i >= 0 {
			if i < len(n.Tombstones) && n.Tombstones[i] {
				continue
			}
			w.HasTopic, w.Tier = true, tierHasTopic
		}
		a.Producers = append(a.Producers, w)
	}
	return a, err
}

// Follow calls changed whenever a directory may list other nodes for a topic than
// before, at first too, until ctx is done: those that have the topic, or with
// writes those that take publishes for it. It calls it from one goroutine for each
// directory, which Follow waits for. Directories that cannot wait for a change, as
// NSQ's, are not followed: who wants to know asks them now and then.
func (c *Client) Follow(ctx context.Context, addresses []string, topic string, writes bool, changed func()) {
	var following sync.WaitGroup
	for _, address := range addresses {
		following.Go(func() { c.followOne(ctx, address, topic, writes, changed) })
	}
	following.Wait()
}

func (c *Client) followOne(ctx context.Context, address, topic string, writes bool, changed func()) {
	query := url.Values{"topic": {topic}, "wait": {followWait.String()}}
	if writes {
		query.Set("access", "w")
	}
	index, pause := "", followPause
	for ctx.Err() == nil {
		began := time.Now()
		now, err := c.await(ctx, address, query)
		again := time.Duration(0)
		switch {
		case err != nil:
			again, pause = pause, min(2*pause, followMaxPause)
		case now == "":
			again = followMaxPause // it cannot
		case now != index:
			index, pause = now, followPause
			query.Set("index", index)
			changed()
		case time.Since(began) < followPause:
			again = followPause // it did not wait, as one that stops
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// await asks one directory for the index of its answer, which takes until that is
// another one than is known. It is empty where the directory has none.
func (c *Client) await(ctx context.Context, address string, query url.Values) (index string, err error) {
	ctx, cancel := context.WithTimeout(ctx, followWait+followGrace)
	defer cancel()
	var a struct {
		Index string `json:"index"`
	}
	err = c.waiting.Get(ctx, apiclient.URL(address, "/lookup", query), &a)
	var refused *apiclient.StatusError
	if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
		err = nil
		_ = json.Unmarshal(refused.Body, &a) // or it has no index
	}
	return a.Index, err
}
