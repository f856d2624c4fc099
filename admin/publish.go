package admin

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"qmq/admin/words"
	"qmq/internal/names"
)

// Limits of what is published by hand.
const (
	maxMessage   = 1 << 20 // bytes of one message
	maxMany      = 10_000  // messages at a time
	maxManyBytes = 4 << 20 // of them, in all
)

// publishOrder is what somebody wants to publish.
type publishOrder struct {
	Topic   string `json:"topic"`
	Node    string `json:"node"`
	Body    string `json:"body"`
	Binary  []byte `json:"body_base64"` // instead of body
	Lines   bool   `json:"lines"`       // each line is a message; empty lines are none
	DeferMS int64  `json:"defer_ms"`
}

// bodies are the messages that it is about.
func (o *publishOrder) bodies() (list [][]byte) {
	text := o.Binary
	if len(text) == 0 {
		text = []byte(o.Body)
	}
	if !o.Lines {
		return [][]byte{text}
	}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) > 0 {
			list = append(list, line)
		}
	}
	return list
}

func (o *publishOrder) valid(list [][]byte) error {
	sum := 0
	for _, body := range list {
		if len(body) > maxMessage {
			return badRequest("A message is longer than 1 MiB.")
		}
		sum += len(body)
	}
	switch {
	case !names.Valid(o.Topic):
		return badRequest("%q is no valid name of a topic.", words.Shorten(o.Topic))
	case sum == 0:
		return badRequest("The message is empty.")
	case len(list) > maxMany || sum > maxManyBytes:
		return badRequest("At most %s messages and 4 MiB at a time.", words.Number(maxMany))
	case o.DeferMS < 0 || o.DeferMS > maxDeferMS:
		return badRequest("The delay must be between 0 and %d ms.", int64(maxDeferMS))
	case o.Lines && o.DeferMS > 0:
		return badRequest("Many messages at a time cannot be deferred.")
	}
	return nil
}

// publish publishes one message, or many.
func (s *Server) publish(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o publishOrder
	if err := readPageBody(r, 8*maxMessage, &o); err != nil {
		return nil, err
	}
	list := o.bodies()
	if err := o.valid(list); err != nil {
		return nil, err
	}
	to, err := s.nodeCalled(r, o.Node)
	if err != nil {
		return nil, err
	}
	start, sum := time.Now(), 0
	for _, body := range list {
		sum += len(body)
	}
	e := s.entryOf(r, "publish")
	said := fmt.Sprintf("%s, %s B", words.ShortName(to.Name), words.Number(int64(sum)))
	if o.Lines {
		e.Action, said = "publish_many", fmt.Sprintf("%s, %s, %s B", words.ShortName(to.Name), words.Count(int64(len(list)), "message"), words.Number(int64(sum)))
		err = s.up.nodes.PublishMany(r.Context(), to.Address, o.Topic, list)
	} else {
		err = s.up.nodes.Publish(r.Context(), to.Address, o.Topic, time.Duration(o.DeferMS)*time.Millisecond, list[0])
	}
	why := ""
	if err != nil {
		why = reason(err)
		said = fmt.Sprintf("%s: %s", words.ShortName(to.Name), why)
	}
	e.Topic, e.Node, e.Name, e.Result, e.OK = o.Topic, to.ID, to.Name, said, err == nil
	s.activity.add(e)
	return map[string]any{"ok": err == nil, "node": to.ID, "name": to.Name, "messages": len(list), "bytes": sum, "error": why, "ms": time.Since(start).Milliseconds()}, nil
}
