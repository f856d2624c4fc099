package admin

import (
	"net/http"
	"net/url"
	"time"

	"qmq/admin/cluster"
)

// notice is what the notification endpoint gets, as nsqadmin sends it.
type notice struct {
	Action    string `json:"action"`
	Topic     string `json:"topic"`
	Channel   string `json:"channel,omitempty"`
	Node      string `json:"node,omitempty"`
	Timestamp int64  `json:"timestamp"` // s since 1970
	User      string `json:"user,omitempty"`
	RemoteIP  string `json:"remote_ip"` // with port
	UserAgent string `json:"user_agent"`
	URL       string `json:"url"`
	Via       string `json:"via"` // this host
}

// notifier reports actions to the endpoint as nsqadmin does.
type notifier struct {
	*poster
	via string
}

func startNotifier(o *Options) *notifier {
	return &notifier{startPoster(o, "action", o.NotificationEndpoint), o.Hostname}
}

// tell reports an action that a request asked for.
func (n *notifier) tell(r *http.Request, action string, p cluster.Pair, node string) {
	if n.endpoint == "" {
		return
	}
	user, _, _ := r.BasicAuth()
	u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	if r.TLS != nil || r.Header.Get("X-Scheme") == "https" {
		u.Scheme = "https"
	}
	told := notice{
		Action: action, Topic: p.Topic, Channel: p.Channel, Node: node, Timestamp: time.Now().Unix(),
		User: user, RemoteIP: r.RemoteAddr, UserAgent: r.UserAgent(), URL: u.String(), Via: n.via,
	}
	n.send(told)
}
