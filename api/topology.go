package api

import (
	"errors"
	"net/http"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/internal/names"
	"qmq/state"
	"qmq/topic"
)

var (
	errTopicNotFound   = &httpapi.Error{Status: http.StatusNotFound, Code: "TOPIC_NOT_FOUND"}
	errNotMade         = &httpapi.Error{Status: http.StatusNotFound, Code: "TOPIC_NOT_FOUND", Why: "with --auto-create=false publishing makes no topic; POST /topic/create does"}
	errChannelNotFound = &httpapi.Error{Status: http.StatusNotFound, Code: "CHANNEL_NOT_FOUND"}
)

func (h *HTTP) createTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	name, err := topicParameter(q)
	if err != nil {
		return nil, err
	}
	replicated, err := whether(q, "replicated", true)
	if err != nil {
		return nil, err
	}
	change := broker.Change{Op: state.CreateTopic, Topic: name, Local: !replicated}
	if err := h.broker.Change(change); err != nil {
		return nil, refused(err)
	}
	return nil, nil
}

func (h *HTTP) deleteTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	everywhere, err := whether(r.URL.Query(), "everywhere", false) // which parsed before
	if err != nil {
		return nil, err
	}
	return nil, notFound(h.broker.Change(broker.Change{Op: state.DeleteTopic, Topic: name, Everywhere: everywhere}))
}

func (h *HTTP) emptyTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	if !names.Valid(name) {
		return nil, httpapi.Bad("INVALID_TOPIC")
	}
	return nil, notFound(h.broker.Change(broker.Change{Op: state.EmptyTopic, Topic: name}))
}

func (h *HTTP) pauseTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeTopic(r, state.PauseTopic)
}

func (h *HTTP) unpauseTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeTopic(r, state.UnpauseTopic)
}

// changeTopic does something to an existing topic.
func (h *HTTP) changeTopic(r *http.Request, op state.Op) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	return nil, notFound(h.broker.Change(broker.Change{Op: op, Topic: name}))
}

// anyTopic is the topic parameter of a route that does not check the name.
func anyTopic(r *http.Request) (string, error) {
	q, err := query(r)
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
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query() // which parsed before
	if q.Has("from") || q.Has("until") || q.Has("then") {
		return h.createFrom(q)
	}
	tail, err := whether(q, "tail", false)
	if err != nil {
		return nil, err
	}
	err = h.broker.Change(broker.Change{Op: state.CreateChannel, Topic: topicName, Channel: name, Tail: tail})
	var takes *topic.TailError
	if errors.As(err, &takes) {
		return nil, &httpapi.Error{Status: http.StatusConflict, Code: "TAIL_REFUSED", Why: takes.Error()}
	}
	return nil, notFound(err)
}

func (h *HTTP) deleteChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, state.DeleteChannel)
}

func (h *HTTP) emptyChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, state.EmptyChannel)
}

func (h *HTTP) pauseChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, state.PauseChannel)
}

func (h *HTTP) unpauseChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.changeChannel(r, state.UnpauseChannel)
}

// changeChannel does something to an existing channel.
func (h *HTTP) changeChannel(r *http.Request, op state.Op) (any, error) {
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	return nil, notFound(h.broker.Change(broker.Change{Op: op, Topic: topicName, Channel: name}))
}

// channelParameters are the names of a topic and a channel.
func channelParameters(r *http.Request) (topicName, name string, err error) {
	q, err := query(r)
	if err != nil {
		return "", "", err
	}
	for _, p := range [...]struct{ key, missing, invalid string }{
		{"topic", "MISSING_ARG_TOPIC", "INVALID_ARG_TOPIC"},
		{"channel", "MISSING_ARG_CHANNEL", "INVALID_ARG_CHANNEL"},
	} {
		v, ok := q[p.key]
		if !ok {
			return "", "", httpapi.Bad(p.missing)
		}
		if !names.Valid(v[0]) {
			return "", "", httpapi.Bad(p.invalid)
		}
	}
	return q.Get("topic"), q.Get("channel"), nil
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
