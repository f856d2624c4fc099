package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"qmq/internal/apiclient"
)

// ErrTopicExists means that a topic is in use, by others as far as a guest can
// tell.
var ErrTopicExists = errors.New("the topic exists")

// hosts are the channels of a topic that was there before.
type hosts []string

// leaveTime is how long one request may take that looks for topics or removes
// them.
const leaveTime = 30 * time.Second

// visit finds out which of the run's topics are there already.
func (r *run) visit(ctx context.Context) error {
	if r.load.Topic == "" {
		return nil // the name is fresh
	}
	if r.target.HTTP == "" {
		if r.load.Force {
			return nil
		}
		return fmt.Errorf("whether topic %s exists cannot be told without the HTTP address", r.topic)
	}
	here, err := r.findTopics(ctx)
	if err != nil {
		return fmt.Errorf("whether topic %s exists cannot be told: %w", r.topic, err)
	}
	r.here = here
	for topic, channels := range here {
		if !r.load.Force {
			return fmt.Errorf("%w: %s is in use", ErrTopicExists, topic)
		}
		if r.load.Channels > 0 && len(channels) == 0 {
			return fmt.Errorf("%w: %s has no channel yet, and what waits in it would go to those of this load", ErrTopicExists, topic)
		}
		for i := range r.load.Channels {
			if name := channelName(i); slices.Contains(channels, name) {
				return fmt.Errorf("%w, and so does its channel %s, whose messages would be taken away", ErrTopicExists, name)
			}
		}
	}
	// To consume a topic of others for a check is not worth it.
	r.load.Verify = r.load.Verify && len(here) == 0
	return nil
}

// findTopics asks for the topics of the run.
func (r *run) findTopics(ctx context.Context) (map[string]hosts, error) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	api := r.api()
	defer api.Close()
	query := url.Values{"format": {"json"}, "include_clients": {"false"}, "include_mem": {"false"}}
	names := r.load.topics(r.topic)
	if len(names) == 1 {
		query.Set("topic", names[0])
	}
	var stats struct {
		Topics []struct {
			Name     string `json:"topic_name"`
			Channels []struct {
				Name string `json:"channel_name"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := api.Get(ctx, apiclient.URL(r.target.HTTP, "/stats", query), &stats); err != nil {
		return nil, err
	}
	ours := make(map[string]bool, len(names))
	for _, name := range names {
		ours[name] = true
	}
	here := make(map[string]hosts)
	for _, t := range stats.Topics {
		if !ours[t.Name] {
			continue
		}
		channels := hosts{}
		for _, c := range t.Channels {
			channels = append(channels, c.Name)
		}
		here[t.Name] = channels
	}
	return here, nil
}

func (r *run) api() *apiclient.Client {
	return apiclient.New(apiclient.Options{ConnectTimeout: leaveTime, UserAgent: userAgent})
}

// leave removes what the run has made, if the API is known: topics, from the
// node and its directories, or the channels of those that were there before. A
// topic of which that is not known stays.
func (r *run) leave() error {
	if r.target.HTTP == "" {
		return nil
	}
	api := r.api()
	defer api.Close()
	var gone []string
	defer func() { r.forget(api, gone) }()
	for _, topic := range r.load.topics(r.topic) {
		if _, was := r.here[topic]; !was {
			if err := r.remove(api, "/topic/delete", url.Values{"topic": {topic}}); err != nil {
				return err
			}
			gone = append(gone, topic)
			continue
		}
		for i := range r.ledgers {
			if err := r.remove(api, "/channel/delete", url.Values{"topic": {topic}, "channel": {channelName(i)}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes one thing. It may not be there, when nothing was published.
func (r *run) remove(api *apiclient.Client, path string, query url.Values) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	err := api.Post(ctx, apiclient.URL(r.target.HTTP, path, query), nil, nil)
	if err != nil && !apiclient.IsStatus(err, http.StatusNotFound) {
		return fmt.Errorf("%s of %s: %w", path, query.Get("topic"), err)
	}
	return nil
}

// channelName names the channels of a load.
func channelName(i int) string { return fmt.Sprintf("c%d", i) }
