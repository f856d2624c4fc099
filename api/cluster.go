package api

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"

	"qmq/internal/httpapi"
)

// Cluster is the set of replicas that the node is a member of. Changes may be asked for
// at any member; errors are texts for people.
type Cluster interface {
	// View is what the member knows of its set, for JSON, and Views a list of that of
	// this member and of all that answer it.
	View() any
	Views() any
	// Move gives the leadership of a shard to a member, named by its address or id.
	Move(ctx context.Context, shard uint32, to string) error
	// Balance spreads leaderships over all members again.
	Balance(ctx context.Context) error
	// Add lets somebody join at an address, in the place of a member if one is named.
	Add(ctx context.Context, address, replaces string) error
	// Remove has a member leave.
	Remove(ctx context.Context, member string) error
	// Backup writes what this member has of all shards.
	Backup(w io.Writer) error
	// Adopt makes a topic that stays local, and that no member has, a replicated one.
	Adopt(ctx context.Context, topic string) error
}

// routesOfCluster are those of a member of a set.
func (h *HTTP) routesOfCluster(r *httpapi.Router) {
	if h.o.Cluster == nil {
		return
	}
	r.Handle("GET", "/cluster", h.viewCluster)
	r.Handle("GET", "/cluster/backup", func(http.ResponseWriter, *http.Request) (any, error) {
		return &httpapi.Stream{Write: func(w *bufio.Writer) error { return notDone(h.o.Cluster.Backup(w)) }}, nil
	})
	r.Handle("POST", "/cluster/move", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		q, err := httpapi.Query(r)
		if err != nil {
			return nil, err
		}
		shard, err := strconv.ParseUint(q.Get("shard"), 10, 32)
		if err != nil {
			return nil, &httpapi.Error{Status: http.StatusBadRequest, Code: "INVALID_ARG_SHARD", Why: "it is the number of a shard, as GET /cluster lists them"}
		}
		return nil, notDone(h.o.Cluster.Move(r.Context(), uint32(shard), q.Get("to")))
	})
	r.Handle("POST", "/cluster/balance", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return nil, notDone(h.o.Cluster.Balance(r.Context()))
	})
	r.Handle("POST", "/cluster/add", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		q, err := httpapi.Query(r)
		if err != nil {
			return nil, err
		}
		return nil, notDone(h.o.Cluster.Add(r.Context(), q.Get("address"), q.Get("replaces")))
	})
	r.Handle("POST", "/cluster/adopt", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return h.changeCluster(r, "topic", h.o.Cluster.Adopt)
	})
	r.Handle("POST", "/cluster/remove", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return h.changeCluster(r, "member", h.o.Cluster.Remove)
	})
}

func (h *HTTP) changeCluster(r *http.Request, parameter string, change func(context.Context, string) error) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	return nil, notDone(change(r.Context(), q.Get(parameter)))
}

// viewCluster is what this member knows of its set or, with members=all, a list of what
// all know that answer.
func (h *HTTP) viewCluster(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	switch q.Get("members") {
	case "":
		return h.o.Cluster.View(), nil
	case "all":
		return h.o.Cluster.Views(), nil
	}
	return nil, &httpapi.Error{Status: http.StatusBadRequest, Code: "INVALID_ARG_MEMBERS", Why: "it is all, or left out"}
}

// notDone is the answer for a change of the set that was refused.
func notDone(err error) error {
	if err == nil {
		return nil
	}
	return &httpapi.Error{Status: http.StatusConflict, Code: err.Error()}
}
