package admin

import (
	"fmt"
	"net/http"
	"slices"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/apiclient"
)

// nodeOptions are the options of a node that the page shows, by their TOML keys. Only those
// that may change while it runs can be changed there; nsqd knows some of them.
var nodeOptions = []shownOption{
	{"log_level", true}, {"nsqlookupd_tcp_addresses", true}, {"broadcast_address", false}, {"data_path", false},
	{"mem_queue_size", false}, {"max_msg_size", false}, {"max_body_size", false}, {"msg_timeout", false}, {"max_msg_timeout", false},
	{"max_req_timeout", false}, {"max_rdy_count", false}, {"sync_every", false}, {"sync_timeout", false}, {"max_bytes_per_file", false},
	{"min_free_bytes", false}, {"min_free_percent", false}, {"tls_required", false}, {"max_topics", false}, {"max_channels_per_topic", false},
}

type shownOption struct {
	key        string
	changeable bool
}

type nodeOption struct {
	Key        string `json:"key"`
	Value      string `json:"value"` // as JSON, or text as it is
	Changeable bool   `json:"changeable"`
}

// nodeSettings is GET settings?node=: how a node is set up, as far as it tells.
func (s *Server) nodeSettings(_ http.ResponseWriter, r *http.Request) (any, error) {
	to, err := s.nodeCalled(r, r.URL.Query().Get("node"))
	if err != nil {
		return nil, err
	}
	options, problem := []nodeOption{}, ""
	for _, o := range nodeOptions {
		value, err := s.up.nodes.Option(r.Context(), to.Address, o.key)
		switch {
		case err == nil:
			options = append(options, nodeOption{o.key, value, o.changeable})
		case apiclient.IsStatus(err, http.StatusBadRequest): // it has no such option
		default:
			problem = clientProblem(to, err)
		}
		if problem != "" {
			break
		}
	}
	return map[string]any{"options": options, "error": problem}, nil
}

// setNodeOption changes an option of a node.
func (s *Server) setNodeOption(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o struct {
		Node  string `json:"node"`
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	if err := readPageBody(r, maxOrder, &o); err != nil {
		return nil, err
	}
	if !slices.Contains(nodeOptions, shownOption{o.Key, true}) {
		return nil, badRequest("The option %q cannot be changed while a node runs.", words.Shorten(o.Key))
	}
	to, err := s.nodeCalled(r, o.Node)
	if err != nil {
		return nil, err
	}
	err = s.up.nodes.SetOption(r.Context(), to.Address, o.Key, []byte(o.Value))
	why := clientProblem(to, err)
	said := o.Key + " to " + o.Value
	if why != "" {
		said += ": " + why
	}
	e := s.entryOf(r, "config")
	e.Node, e.Name, e.Result, e.OK = to.ID, to.Name, said, err == nil
	s.activity.add(e)
	return map[string]any{"ok": err == nil, "error": why}, nil
}

// clientProblem is why a node did not do what it was asked for; empty if it did.
func clientProblem(to cluster.Target, err error) string {
	switch {
	case err == nil:
		return ""
	case apiclient.IsStatus(err, http.StatusNotFound) && to.Kind != "qd":
		return fmt.Sprintf("%s %s has no such ability", to.Kind, to.Version)
	case apiclient.IsStatus(err, http.StatusNotFound):
		return "there is none any more"
	case apiclient.IsStatus(err, http.StatusForbidden):
		return "the node does not let qadmin: its HTTP API is closed to it"
	}
	return reason(err)
}
