package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/apiclient"
	"qmq/internal/names"
)

// messageOrder is what somebody wants to be done with one message of a channel.
type messageOrder struct {
	Action  string `json:"action"` // requeue, finish or republish
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	Node    string `json:"node"`
	ID      string `json:"id"`
	To      string `json:"to"`     // of republish: the topic
	Finish  bool   `json:"finish"` // of republish: finish it here then
}

var messageActions = []string{"requeue", "finish", "republish"}

func (o *messageOrder) valid() error {
	switch {
	case !slices.Contains(messageActions, o.Action):
		return badRequest("The action must be one of %s.", listOf(messageActions))
	case !names.Valid(o.Topic) || !names.Valid(o.Channel):
		return badRequest("%q is no channel.", words.Shorten(o.Topic+" / "+o.Channel))
	case o.Action == "republish" && !names.Valid(o.To):
		return badRequest("%q is no valid name of a topic.", words.Shorten(o.To))
	case o.ID == "":
		return badRequest("The id of the message is missing.")
	}
	return nil
}

// actOnMessage does something to one message, at the node that showed it.
func (s *Server) actOnMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o messageOrder
	if err := readPageBody(r, maxOrder, &o); err != nil {
		return nil, err
	}
	if err := o.valid(); err != nil {
		return nil, err
	}
	if o.Action == "republish" { // its body is read for whoever asks
		if err := s.mayPeek(r); err != nil {
			return nil, err
		}
	} else {
		o.To, o.Finish = "", false
	}
	to, err := s.nodeCalled(r, o.Node)
	if err != nil {
		return nil, err
	}
	err = s.up.nodes.Act(r.Context(), to.Address, o.Action, o.Topic, o.Channel, o.ID, o.To, o.Finish)
	why := messageProblem(to, err)
	said := words.ShortName(to.Name) + ", " + o.ID
	if o.To != "" {
		said += " to " + o.To
	}
	if why != "" {
		said += ": " + why
	}
	e := s.entryOf(r, o.Action+"_message")
	e.Topic, e.Channel, e.Node, e.Name, e.Result, e.OK = o.Topic, o.Channel, to.ID, to.Name, said, err == nil
	s.activity.add(e)
	s.collector.poke()
	return map[string]any{"ok": err == nil, "node": to.ID, "name": to.Name, "error": why}, nil
}

// messageProblem is why a node did not do it; empty if it did.
func messageProblem(to cluster.Target, err error) string {
	switch {
	case err == nil:
		return ""
	case apiclient.IsStatus(err, http.StatusNotFound) && to.Kind != "qd":
		return fmt.Sprintf("%s %s cannot act on single messages", to.Kind, to.Version)
	case apiclient.IsStatus(err, http.StatusNotFound):
		return "the channel does not hold this message any more"
	}
	return reason(err)
}

// download is GET download?topic=&node=&id=: the whole body of a message.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	body, err := s.bodyOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "application/octet-stream")
	head.Set("Content-Disposition", `attachment; filename="`+nameOfFile(r.URL.Query().Get("id"))+`.bin"`)
	head.Set("Content-Length", strconv.Itoa(len(body)))
	head.Set("Cache-Control", "no-store")
	w.Write(body)
}

// nameOfFile keeps what an id may consist of.
func nameOfFile(id string) string {
	name := []byte("message-")
	for i := range min(len(id), 16) {
		if c := id[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			name = append(name, c)
		}
	}
	return string(name)
}

func (s *Server) bodyOf(r *http.Request) ([]byte, error) {
	if err := s.mayPeek(r); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	to, err := s.nodeCalled(r, q.Get("node"))
	if err != nil {
		return nil, err
	}
	body, err := s.up.nodes.Body(r.Context(), to.Address, q.Get("topic"), q.Get("id"))
	if err != nil {
		f := &failure{Status: http.StatusBadGateway, Code: "NO_ANSWER", Text: words.Capital(messageProblem(to, err)) + "."}
		if apiclient.IsStatus(err, http.StatusNotFound) {
			f.Status, f.Code, f.Text = http.StatusNotFound, "NOT_FOUND", "The message is not in the log any more."
		}
		return nil, f
	}
	e := s.entryOf(r, "download")
	e.Topic, e.Node, e.Name, e.Result, e.OK = q.Get("topic"), to.ID, to.Name, fmt.Sprintf("%s, %s B", words.Shorten(q.Get("id")), words.Number(int64(len(body)))), true
	s.activity.add(e)
	return body, nil
}
