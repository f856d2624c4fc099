package api

import (
	"errors"
	"net/http"
	"net/url"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/internal/names"
	"qmq/message"
)

// What people do to one message of a channel. The routes are for administrators:
//
//	POST /message/requeue     it is delivered as soon as it can be, wherever it is
//	POST /message/finish      it is acknowledged, wherever it is
//	POST /message/republish   its body is published to the topic to=; with finish=true the
//	                          message is finished once that is OK'd
//
//	topic, channel   of existing ones
//	id               16 hexadecimal characters, as peek shows it
//
// A replicated topic's message is where its leader is; any member may be asked. Errors:
// those of /channel/peek for the names; 400 MISSING_ARG_ID, INVALID_ARG_ID, INVALID_ARG_TO, INVALID_ARG_FINISH;
// 404 MESSAGE_NOT_FOUND when the channel does not hold it; of a republish those of /pub.

var errMessageNotFound = &httpapi.Error{Status: http.StatusNotFound, Code: "MESSAGE_NOT_FOUND"}

func (h *HTTP) requeueMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	c, id, err := h.messageParameters(r)
	if err != nil {
		return nil, err
	}
	return nil, messageError(c.Requeue(id))
}

func (h *HTTP) finishMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	c, id, err := h.messageParameters(r)
	if err != nil {
		return nil, err
	}
	return nil, messageError(c.Finish(id))
}

func (h *HTTP) republishMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	c, id, err := h.messageParameters(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query() // which parsed before
	to := q.Get("to")
	if !names.Valid(to) {
		return nil, httpapi.Allowed("INVALID_ARG_TO", "a topic: "+names.Rule)
	}
	finish, err := whether(q, "finish", false)
	if err != nil {
		return nil, err
	}
	now := h.broker.Clock().Wall()
	var published any
	err = c.Message(id, func(v message.View) error {
		t, err := h.broker.Publisher(to)
		if err != nil {
			return refused(err)
		}
		published, err = h.publish(t, false, func(b *stampedBatch) {
			m := v.Description()
			m.Timestamp = now
			b.Add(m, v.Body)
		})
		return err
	})
	if err == nil && finish {
		err = c.Finish(id)
		if errors.Is(err, channel.ErrNoMessage) {
			err = nil // somebody else has finished it meanwhile
		}
	}
	return published, messageError(err)
}

// messageParameters are a channel and the id of one of its messages.
func (h *HTTP) messageParameters(r *http.Request) (c broker.Messages, id message.ID, err error) {
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, id, err
	}
	if id, err = idParameter(r.URL.Query()); err != nil { // which parsed before
		return nil, id, err
	}
	if c, err = h.broker.Channel(topicName, name); err != nil {
		return nil, id, notFound(err)
	}
	return c, id, nil
}

// idRule is what ids of messages are.
const idRule = "16 hexadecimal characters"

func idParameter(q url.Values) (id message.ID, err error) {
	v, ok := q["id"]
	if !ok {
		return id, httpapi.Allowed("MISSING_ARG_ID", idRule)
	}
	if len(v) > 1 {
		return id, httpapi.Allowed("INVALID_ARG_ID", "one id")
	}
	if id, err = idOf(v[0]); err != nil {
		return id, httpapi.Allowed("INVALID_ARG_ID", idRule)
	}
	return id, nil
}

// messageError is what a request about a message is answered.
func messageError(err error) error {
	var known *httpapi.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, channel.ErrNoMessage):
		return errMessageNotFound
	}
	return notFound(err)
}

// closeClient is POST /client/close?remote_address=: it ends a client's connection, or the
// leases of a request over HTTP that came from there. Its messages in flight are delivered
// again at once. Clients of NSQ connect again. The address
// is the one that /stats shows. Errors: 400 MISSING_ARG_REMOTE_ADDRESS; 404
// CLIENT_NOT_FOUND.
func (h *HTTP) closeClient(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	address := q.Get("remote_address")
	if address == "" {
		return nil, httpapi.Allowed("MISSING_ARG_REMOTE_ADDRESS", "the remote_address of a client, as /stats shows it")
	}
	session, leases := h.sessions.CloseClient(address), h.leases.CloseClient(address)
	if !session && !leases {
		return nil, &httpapi.Error{Status: http.StatusNotFound, Code: "CLIENT_NOT_FOUND"}
	}
	return nil, nil
}
