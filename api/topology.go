package api

import (
	"errors"
	"net/http"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/internal/names"
	"qmq/topic"
)

var (
	errTopicNotFound   = &httpapi.Error{Status: http.StatusNotFound, Code: "TOPIC_NOT_FOUND"}
	errNotMade         = &httpapi.Error{Status: http.StatusNotFound, Code: "TOPIC_NOT_FOUND", Why: "with --auto-create=false publishing makes no topic; POST /topic/create does"}
	errChannelNotFound = &httpapi.Error{Status: http.StatusNotFound, Code: "CHANNEL_NOT_FOUND"}
)

func (h *HTTP) createTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	name, err := topicParameter(q)
	if err != nil {
		return nil, err
	}
	if _, err = h.broker.Topic(name); err != nil {
		return nil, refused(err)
	}
	return nil, nil
}

func (h *HTTP) deleteTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	return nil, notFound(h.broker.DeleteTopic(name))
}

func (h *HTTP) emptyTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	if !names.Valid(name) {
		return nil, httpapi.Bad("INVALID_TOPIC")
	}
	return nil, h.changeTopic(name, (*topic.Topic).Empty)
}

func (h *HTTP) pauseTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeAnyTopic(r, (*topic.Topic).Pause)
}

func (h *HTTP) unpauseTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeAnyTopic(r, (*topic.Topic).Unpause)
}

func (h *HTTP) changeAnyTopic(r *http.Request, change func(*topic.Topic) error) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	return nil, h.changeTopic(name, change)
}

// changeTopic does something to an existing topic.
func (h *HTTP) changeTopic(name string, change func(*topic.Topic) error) error {
	t, ok := h.broker.Existing(name)
	if !ok {
		return h.noTopic(name)
	}
	return notFound(change(t))
}

// anyTopic is the topic parameter of a route that does not check the name.
func anyTopic(r *http.Request) (string, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return "", err
	}
	v, ok := q["topic"]
	if !ok {
		return "", httpapi.Bad("MISSING_ARG_TOPIC")
	}
	return v[0], nil
}

func (h *HTTP) createChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, name, err := h.channelParameters(r)
	if err != nil {
		return nil, err
	}
	create := t.Channel
	if r.URL.Query().Get("tail") == "true" { // which parsed before
		create = t.TailChannel
	}
	_, err = create(name)
	var takes *topic.TailError
	if errors.As(err, &takes) {
		return nil, &httpapi.Error{Status: http.StatusConflict, Code: "TAIL_REFUSED", Why: takes.Error()}
	}
	return nil, notFound(err)
}

func (h *HTTP) deleteChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, (*topic.Topic).DeleteChannel)
}

func (h *HTTP) emptyChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, (*topic.Topic).EmptyChannel)
}

func (h *HTTP) pauseChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, (*topic.Topic).PauseChannel)
}

func (h *HTTP) unpauseChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, (*topic.Topic).UnpauseChannel)
}

// changeChannel does something to an existing channel.
func (h *HTTP) changeChannel(r *http.Request, change func(*topic.Topic, string) error) (any, error) {
	t, name, err := h.channelParameters(r)
	if err != nil {
		return nil, err
	}
	return nil, notFound(change(t, name))
}

// channelParameters are the existing topic and the channel's name.
func (h *HTTP) channelParameters(r *http.Request) (*topic.Topic, string, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, "", err
	}
	for _, p := range [...]struct{ key, missing, invalid string }{
		{"topic", "MISSING_ARG_TOPIC", "INVALID_ARG_TOPIC"},
		{"channel", "MISSING_ARG_CHANNEL", "INVALID_ARG_CHANNEL"},
	} {
		v, ok := q[p.key]
		if !ok {
			return nil, "", httpapi.Bad(p.missing)
		}
		if !names.Valid(v[0]) {
			return nil, "", httpapi.Bad(p.invalid)
		}
	}
	t, ok := h.broker.Existing(q.Get("topic"))
	if !ok {
		return nil, "", h.noTopic(q.Get("topic"))
	}
	return t, q.Get("channel"), nil
}

// noTopic is why there is no topic of that name: none is known, or the one that
// is cannot be opened.
func (h *HTTP) noTopic(name string) error {
	if err := h.broker.Unopenable(name); err != nil {
		return refused(err)
	}
	return errTopicNotFound
}

// notFound turns what the broker says about a missing name into its answer.
// One that is on its way out is as good as gone. Any other error is why a
// change of the topology is refused.
func notFound(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, broker.ErrNoTopic), errors.Is(err, channel.ErrExiting):
		return errTopicNotFound
	case errors.Is(err, topic.ErrNoChannel):
		return errChannelNotFound
	}
	return refused(err)
}
