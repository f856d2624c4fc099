package admin

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"qmq/admin/cluster"
)

// alertNotice is what the webhook gets when a line of attention starts or ends.
// Chat programs that take Slack's webhooks show the text.
type alertNotice struct {
	Text    string `json:"text"`
	Event   string `json:"event"` // start or end
	ID      string `json:"id"`    // the same at the start and at the end
	Cluster string `json:"cluster"`
	Rule    string `json:"rule"`
	Level   string `json:"level"` // crit or warn
	Topic   string `json:"topic,omitempty"`
	Channel string `json:"channel,omitempty"`
	Node    string `json:"node,omitempty"`
	Lookupd string `json:"lookupd,omitempty"`
	Message string `json:"message"`
	Since   string `json:"since"` // RFC 3339, UTC
	Over    string `json:"over,omitempty"`
	Link    string `json:"link"`
}

// alertHook tells people of lines of attention who do not look at the page.
type alertHook struct {
	*poster
	cluster string
	page    string // URL of the page, with a slash at the end
}

func startAlertHook(o *Options) *alertHook {
	return &alertHook{startPoster(o, "alert", o.AlertWebhook), o.Cluster, strings.TrimSuffix(o.PageURL, "/") + "/"}
}

// tell reports lines that have started or ended.
func (h *alertHook) tell(news []cluster.Alert) {
	for i := range news {
		h.send(h.notice(&news[i]))
	}
}

func (h *alertHook) notice(l *cluster.Alert) alertNotice {
	n := alertNotice{
		Event: "start", ID: l.ID, Cluster: h.cluster, Rule: l.Rule, Level: string(l.Level), Topic: l.Topic, Channel: l.Channel, Node: l.Node,
		Lookupd: l.Lookupd, Message: spellTimes(l.Text), Since: utc(l.Since), Link: h.link(l),
	}
	level := map[string]string{"crit": "critical", "warn": "warning"}[n.Level]
	if l.Over != nil {
		n.Event, n.Over, level = "end", utc(*l.Over), "over"
	}
	where := l.Subject()
	if h.cluster != "" {
		where = h.cluster + ": " + where
	}
	n.Text = forSlack(fmt.Sprintf("[%s] %s: %s", level, where, n.Message)) + " " + n.Link
	return n
}

// link is the page of what a line is about.
func (h *alertHook) link(l *cluster.Alert) string {
	part := func(name string) string {
		if strings.Trim(name, ".") == "" {
			return "~" + name // as the page has it
		}
		return url.PathEscape(name)
	}
	switch {
	case l.Topic != "" && l.Channel != "":
		return h.page + "topics/" + part(l.Topic) + "/" + part(l.Channel)
	case l.Topic != "":
		return h.page + "topics/" + part(l.Topic)
	case l.Set != "":
		return h.page + "sets"
	case l.Node != "":
		return h.page + "nodes/" + part(l.Node)
	}
	return h.page + "nodes"
}

func utc(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// spellTimes writes the moments of a sentence out, which the page shows in the
// reader's time.
func spellTimes(text string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{t:")
		digits, after, closed := strings.Cut(rest, "}")
		var ms int64
		if _, err := fmt.Sscan(digits, &ms); !ok || !closed || err != nil {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(before)
		b.WriteString(utc(ms))
		text = after
	}
}

// forSlack keeps what nodes and clients say from being taken for mentions and
// links.
func forSlack(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
