package api

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"qmq/broker"
	"qmq/internal/httpapi"
	"qmq/internal/names"
)

// damageStats is what was found amiss on the disk and not acknowledged.
type damageStats struct {
	Messages     uint64             `json:"messages"`
	JournalBytes int64              `json:"journal_bytes"`
	Last         uint64             `json:"last"`
	Findings     []broker.Finding   `json:"findings"`
	Older        []broker.DamageSum `json:"older,omitempty"`
}

// statsOfDamage is nil when nothing is amiss.
func statsOfDamage(d *broker.Damage) *damageStats {
	if d.None() {
		return nil
	}
	return &damageStats{
		Messages: d.Messages, JournalBytes: d.JournalBytes, Last: d.Last, Findings: d.Findings, Older: d.Older,
	}
}

// writeDamage lays the findings out for people.
func writeDamage(w *bufio.Writer, d *damageStats) {
	fmt.Fprintf(w, "Damage: %d messages lost, %d bytes of the journal unreadable\n", d.Messages, d.JournalBytes)
	for _, f := range d.Findings {
		fmt.Fprintf(w, "   [%s] %s %s\n", f.Kind, where(&f), f.Text)
	}
	for _, s := range d.Older {
		fmt.Fprintf(w, "   [%s] and %d older, %d messages\n", s.Kind, s.Findings, s.Messages)
	}
}

// where names what a finding is about.
func where(f *broker.Finding) string {
	name := f.Topic
	if f.Channel != "" {
		name += "/" + f.Channel
	}
	if f.Path != "" {
		name = strings.TrimSpace(name + " " + f.Path)
	}
	return name + ":"
}

// acknowledgeDamage is POST /damage/ack: what was found, up to the number until
// if there is one, is taken out of /stats. The answer says what that was.
func (h *HTTP) acknowledgeDamage(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	until, err := numberParameter(q, "until", math.MaxUint64, "INVALID_UNTIL")
	if err != nil {
		return nil, err
	}
	d, err := h.broker.AcknowledgeDamage(until)
	if err != nil {
		return nil, refused(err)
	}
	acknowledged := statsOfDamage(&d)
	if acknowledged == nil {
		acknowledged = &damageStats{Last: d.Last, Findings: []broker.Finding{}}
	}
	return struct {
		Acknowledged *damageStats `json:"acknowledged"`
	}{acknowledged}, nil
}

func numberParameter(q url.Values, key string, missing uint64, code string) (uint64, error) {
	v, ok := q[key]
	if !ok {
		return missing, nil
	}
	n, err := strconv.ParseUint(v[0], 10, 64)
	if err != nil {
		return 0, httpapi.Allowed(code, "a whole number")
	}
	return n, nil
}

// adoptTopic is POST /topic/adopt: a directory that is kept because its topic is
// unknown is served again, under its own name or the one that is given.
func (h *HTTP) adoptTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	directory := q.Get("directory")
	if directory == "" {
		return nil, httpapi.Allowed("MISSING_ARG_DIRECTORY", "a directory that /stats lists as unknown")
	}
	name := q.Get("topic")
	if name != "" && (!names.Valid(name) || names.IsEphemeral(name)) {
		return nil, httpapi.Allowed("INVALID_TOPIC", names.Rule+"; here it may not")
	}
	t, err := h.broker.Adopt(directory, name)
	var foreign *broker.ForeignError
	switch {
	case errors.Is(err, broker.ErrNoDirectory):
		return nil, &httpapi.Error{Status: http.StatusNotFound, Code: "DIRECTORY_NOT_FOUND"}
	case errors.Is(err, broker.ErrTopicExists):
		return nil, &httpapi.Error{Status: http.StatusConflict, Code: "TOPIC_EXISTS"}
	case errors.As(err, &foreign):
		return nil, httpapi.Because(http.StatusConflict, "FOREIGN_SEGMENTS", foreign.Error())
	case err != nil:
		return nil, refused(err)
	}
	return struct {
		Topic string `json:"topic"`
		Depth int64  `json:"depth"`
	}{t.Name(), t.Stats().Depth}, nil
}
