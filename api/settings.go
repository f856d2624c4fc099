package api

import (
	"errors"
	"net/http"

	"qmq/broker"
	"qmq/internal/httpapi"
	"qmq/settings"
	"qmq/state"
	"qmq/topic"
)

// maxSettings is how long a body of settings may be, in bytes.
const maxSettings = 64 << 10

// TopicConfig is what GET /topic/config answers, and what /stats shows of a topic when
// it is asked to.
type TopicConfig struct {
	Config settings.Topic `json:"config"` // all that is in force
	Set    settings.Topic `json:"set"`    // what was set of this topic
	// Unmet is why what patterns ask for is not in force.
	Unmet []string `json:"unmet,omitempty"`
	origins
}

// origins is what /stats leaves out: where settings come from, and what they may be.
type origins struct {
	// Patterns is which pattern says what is in force, by the names of the settings of
	// which one does. Others that were not set are as the node has them by default.
	Patterns map[string]string  `json:"patterns,omitempty"`
	Settings []settings.Setting `json:"settings,omitempty"` // all that there are
}

// ChannelConfig is the same of a channel.
type ChannelConfig struct {
	Config settings.Channel `json:"config"`
	Set    settings.Channel `json:"set"`
	origins
}

// topicConfig is GET /topic/config.
func (h *HTTP) topicConfig(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	var c TopicConfig
	c.Set, c.Config, err = h.broker.TopicConfig(name)
	c.Unmet = h.broker.UnmetSettings(name)
	c.origins = origins{h.broker.TopicPatterns(name, c.Set, c.Config), settings.OfTopics()}
	return c, notFound(err)
}

// setTopicConfig is PUT /topic/config: the body says what is to be set.
func (h *HTTP) setTopicConfig(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	if err := h.configure(r, broker.Change{Op: state.ConfigureTopic, Topic: name}); err != nil {
		return nil, err
	}
	return h.topicConfig(w, r)
}

// channelConfig is GET /channel/config.
func (h *HTTP) channelConfig(_ http.ResponseWriter, r *http.Request) (any, error) {
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	var c ChannelConfig
	c.Set, c.Config, err = h.broker.ChannelConfig(topicName, name)
	c.origins = origins{h.broker.ChannelPatterns(topicName, name, c.Set, c.Config), settings.OfChannels()}
	return c, notFound(err)
}

// setChannelConfig is PUT /channel/config: the body says what is to be set.
func (h *HTTP) setChannelConfig(w http.ResponseWriter, r *http.Request) (any, error) {
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	if err := h.configure(r, broker.Change{Op: state.ConfigureChannel, Topic: topicName, Channel: name}); err != nil {
		return nil, err
	}
	return h.channelConfig(w, r)
}

// configure makes a change of settings, which are the body.
func (h *HTTP) configure(r *http.Request, c broker.Change) error {
	body, err := httpapi.ReadBody(r, maxSettings, "BODY_TOO_BIG")
	defer body.Release()
	if err != nil {
		return err
	}
	c.Settings = string(body.Bytes())
	err = h.broker.Change(c)
	var mistakes settings.Mistakes
	if errors.As(err, &mistakes) {
		return httpapi.Because(http.StatusBadRequest, "INVALID_CONFIG", mistakes.Error())
	}
	return notFound(err)
}

// addSettings adds what is set of the topic and its channels.
func (f *TopicFigures) addSettings(t *topic.Topic) {
	var c TopicConfig
	c.Set, c.Config = t.Config()
	f.Settings = &c
	for i := range f.Channels {
		var c ChannelConfig
		var err error
		if c.Set, c.Config, err = t.ChannelConfig(f.Channels[i].Name); err == nil { // else it has just gone
			f.Channels[i].Settings = &c
		}
	}
}

// addReplicaSettings adds what is set of a replicated topic and its channels.
func (f *Figures) addReplicaSettings(figures *TopicFigures, r *broker.Replica) {
	var c TopicConfig
	c.Set, c.Config = f.broker.ReplicaConfig(r)
	figures.Settings = &c
	for i := range figures.Channels { // which are those of r
		var c ChannelConfig
		c.Set, c.Config = f.broker.ReplicaChannelConfig(r, &r.Channels[i])
		figures.Channels[i].Settings = &c
	}
}
