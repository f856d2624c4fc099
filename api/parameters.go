package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"qmq/internal/httpapi"
)

// ofNSQ are the parameters that NSQ knows. Of one that comes again the first counts, as it
// does there; id may be a list, and is looked at where it must not. Of any other that is read
// here it would be a guess which one was meant.
var ofNSQ = []string{"topic", "channel", "defer", "binary", "format", "include_clients", "include_mem", "id"}

// beyondNSQ are all others that are read here.
var beyondNSQ = []string{
	"address", "all", "contains", "dedup_id", "directory", "everywhere", "finish", "from", "ids", "include_config", "key", "lease",
	"limit", "max", "members", "order", "priority", "receipt", "remote_address", "replaces", "replicated", "shard", "since", "state", "tail",
	"then", "to", "ttl", "until", "wait",
}

// query are the parameters of a request, none of which is ambiguous.
func query(r *http.Request) (url.Values, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	for name, values := range q {
		if len(values) > 1 && slices.Contains(beyondNSQ, name) {
			return nil, &httpapi.Error{Status: http.StatusBadRequest, Code: "REPEATED_PARAMETER", More: map[string]any{"parameter": name, "allowed": "one value"}}
		}
	}
	return q, nil
}

// whether reads a parameter beyond NSQ's that says yes or no; otherwise is what counts where it
// is not given. Any other word would be taken for one of the two, and mostly for the wrong one.
func whether(q url.Values, name string, otherwise bool) (bool, error) {
	switch v, is := q[name]; {
	case !is:
		return otherwise, nil
	case v[0] == "true" || v[0] == "1":
		return true, nil
	case v[0] == "false" || v[0] == "0":
		return false, nil
	}
	return false, httpapi.Allowed("INVALID_ARG_"+strings.ToUpper(name), "true or false")
}

// The parameters of the routes that publish, and those that only the other one has.
var (
	pubParameters  = publishParameters{[]string{"topic", "defer", "ttl", "key", "priority", "dedup_id", "ids"}, []string{"binary"}}
	mpubParameters = publishParameters{[]string{"topic", "binary", "ttl", "key", "priority", "ids"}, []string{"defer", "dedup_id"}}
)

type publishParameters struct{ known, elsewhere []string }

// refuseMistyped refuses a publish with a parameter that was meant to matter and would not.
// Others that are unknown are ignored, as NSQ does.
func (p *publishParameters) refuseMistyped(r *http.Request, q url.Values) error {
	if len(q) == 1 { // it is the topic
		return nil
	}
	return httpapi.RefuseMistyped(r, q, p.known, p.elsewhere)
}
