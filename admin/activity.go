package admin

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/admin/words"
)

// maxEntries is how much of what people did is remembered.
const maxEntries = 1000

// entry is something that somebody did.
type entry struct {
	ID   int64  `json:"id"`
	At   int64  `json:"at"`
	User string `json:"user"`
	// Unverified says that the user is what a request claimed, unchecked.
	Unverified bool     `json:"unverified,omitempty"`
	Action     string   `json:"action"`
	Text       string   `json:"text"`
	Topic      string   `json:"topic"`
	Channel    string   `json:"channel"`
	Node       string   `json:"node"`
	Name       string   `json:"name"` // of the node
	Result     string   `json:"result"`
	OK         bool     `json:"ok"`
	Level      string   `json:"level"` // "", warn, harm
	Change     bool     `json:"change"`
	From       string   `json:"from"`
	Results    []result `json:"results"`
}

// actions are the actions with what they are called when they are done.
var actions = map[string]string{
	"create_topic": "created topic", "delete_topic": "deleted topic", "empty_topic": "emptied topic", "pause_topic": "paused topic", "unpause_topic": "unpaused topic",
	"create_channel": "created channel", "delete_channel": "deleted channel", "empty_channel": "emptied channel", "pause_channel": "paused channel", "unpause_channel": "unpaused channel",
	acknowledgeDamage: "acknowledged damage", rewindChannel: "rewound channel", configureTopic: "changed settings", configureChannel: "changed settings",
	moveLeader: "moved leader", balanceLeaders: "balanced leaders", addMember: "let a member join", removeMember: "removed a member",
	"tombstone_topic_producer": "tombstoned node", "publish": "published 1 message", "peek": "peeked at messages",
	"requeue_message": "requeued message", "finish_message": "finished message", "republish_message": "republished message", "download": "downloaded message",
	"publish_many": "published messages", "tail": "watched", "close_client": "closed connection", "move_backlog": "moved messages", "put_back": "put back dead letters",
	"bulk_pause": "paused many", "bulk_unpause": "unpaused many", "bulk_empty": "emptied many", "bulk_delete": "deleted many",
	"login": "signed in", "logout": "signed out", "login_failed": "failed to sign in", "config": "changed option",
}

// harmful are the actions that lose messages.
var harmful = []string{"finish_message", "bulk_empty", "bulk_delete", "delete_topic", "empty_topic", "delete_channel", "empty_channel"}

// activity is what people did, the newest last. Its methods may be called
// concurrently.
type activity struct {
	log   *slog.Logger
	began time.Time

	mu      sync.Mutex // guards what follows
	entries []entry
	last    int64
	version int64 // grows with every change
}

// add remembers and logs an entry and returns its id.
func (a *activity) add(e entry) int64 {
	e.Text = cmp.Or(actions[e.Action], e.Action)
	for _, text := range []*string{&e.User, &e.Topic, &e.Channel, &e.Node, &e.Result} {
		*text = words.Shorten(*text) // it comes from requests
	}
	if e.Results == nil {
		e.Results = []result{}
	}
	e.At = cmp.Or(e.At, time.Now().UnixMilli())
	switch {
	case !e.OK:
		e.Level = "warn"
	case slices.Contains(harmful, e.Action):
		e.Level = "harm"
	}
	e.Change = !slices.Contains([]string{"peek", "tail", "download", "login", "logout", "login_failed"}, e.Action)
	a.mu.Lock()
	a.last++
	a.version++
	e.ID = a.last
	if len(a.entries) == maxEntries {
		a.entries = slices.Delete(a.entries, 0, maxEntries/10)
	}
	a.entries = append(a.entries, e)
	a.mu.Unlock()
	log := a.log
	if e.Unverified {
		log = log.With(slog.Bool("user_verified", false))
	}
	log.Info("activity", slog.String("user", e.User), slog.String("from", e.From), slog.String("action", e.Action),
		slog.String("topic", e.Topic), slog.String("channel", e.Channel), slog.String("node", e.Node), slog.String("result", e.Result))
	return e.ID
}

// newest tells whether anything was added or amended since: then it is another
// number.
func (a *activity) newest() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}

// amend puts what became of an entry's order later into it.
func (a *activity) amend(id int64, said string, results []result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.entries {
		if e := &a.entries[i]; e.ID == id {
			e.Result, e.Results, e.OK = words.Shorten(said), results, allOK(results)
			if e.Level = ""; !e.OK {
				e.Level = "warn"
			}
			a.version++
			a.log.Info("activity, later", slog.String("action", e.Action), slog.String("topic", e.Topic), slog.String("channel", e.Channel), slog.String("result", e.Result))
		}
	}
}

// entry is that of an id, if it is remembered.
func (a *activity) entry(id int64) (e entry, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.entries {
		if e.ID == id {
			return e, true
		}
	}
	return e, false
}

// list is a copy, the newest first.
func (a *activity) list() []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := append([]entry{}, a.entries...)
	slices.Reverse(list)
	return list
}

// pausedBy is who paused a topic or channel last; "" if that is not remembered,
// or was undone, so that somebody else must have paused it in another way.
func (a *activity) pausedBy(p cluster.Pair) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range slices.Backward(a.entries) {
		if e.Topic != p.Topic || e.Channel != p.Channel {
			continue
		}
		switch e.Action {
		case "pause_topic", "pause_channel":
			return e.User
		case "unpause_topic", "unpause_channel":
			return ""
		}
	}
	return ""
}
