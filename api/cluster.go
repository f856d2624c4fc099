package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"qmq/internal/httpapi"
)

// Cluster is the set of replicas that the node is a member of. Changes may be asked for
// at any member; errors are texts for people, and have a method Again that says true where
// the same may be asked for again.
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
	r.Handle("GET", "/cluster", httpapi.Knows(h.viewCluster, "members"))
	r.Handle("GET", "/cluster/backup", httpapi.Knows(func(http.ResponseWriter, *http.Request) (any, error) {
		return &httpapi.Stream{Write: func(w *bufio.Writer) error { return notDone(h.o.Cluster.Backup(w)) }}, nil
	}))
	r.Handle("POST", "/cluster/move", httpapi.Knows(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		q, err := query(r)
		if err != nil {
			return nil, err
		}
		shard, err := strconv.ParseUint(q.Get("shard"), 10, 32)
		if err != nil {
			return nil, httpapi.Allowed("INVALID_ARG_SHARD", "the number of a shard, as GET /cluster lists them")
		}
		if q.Get("to") == "" {
			return nil, httpapi.Allowed("MISSING_ARG_TO", "address or id of a member, as GET /cluster lists them")
		}
		return nil, notDone(h.o.Cluster.Move(r.Context(), uint32(shard), q.Get("to")))
	}, "shard", "to"))
	r.Handle("POST", "/cluster/balance", httpapi.Knows(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return nil, notDone(h.o.Cluster.Balance(r.Context()))
	}))
	r.Handle("POST", "/cluster/add", httpapi.Knows(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		q, err := query(r)
		if err != nil {
			return nil, err
		}
		return nil, notDone(h.o.Cluster.Add(r.Context(), q.Get("address"), q.Get("replaces")))
	}, "address", "replaces"))
	r.Handle("POST", "/cluster/adopt", changesCluster("topic", h.o.Cluster.Adopt))
	r.Handle("POST", "/cluster/remove", changesCluster("member", h.o.Cluster.Remove))
}

// changesCluster is a route that makes a change that takes one parameter.
func changesCluster(parameter string, change func(context.Context, string) error) httpapi.Handler {
	return httpapi.Knows(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		q, err := query(r)
		if err != nil {
			return nil, err
		}
		return nil, notDone(change(r.Context(), q.Get(parameter)))
	}, parameter)
}

// viewCluster is what this member knows of its set or, with members=all, a list of what
// all know that answer.
func (h *HTTP) viewCluster(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	switch q.Get("members") {
	case "":
		return h.o.Cluster.View(), nil
	case "all":
		return h.o.Cluster.Views(), nil
	}
	return nil, httpapi.Allowed("INVALID_ARG_MEMBERS", "all, or nothing")
}

// notDone is the answer for a change of the set that was refused.
func notDone(err error) error {
	if err == nil {
		return nil
	}
	if again := interface{ Again() bool }(nil); errors.As(err, &again) && again.Again() {
		return &httpapi.Error{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Why: err.Error(), Retry: 1}
	}
	return httpapi.Because(http.StatusConflict, "REFUSED", err.Error())
}
