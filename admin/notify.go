package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
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

// maxNotices wait for a slow endpoint; more are dropped, with a line in the
// log.
const maxNotices = 1000

// notifier reports actions to the endpoint, one at a time, without retry. Its
// goroutine ends with stop.
type notifier struct {
	endpoint string
	via      string
	client   *http.Client
	log      *slog.Logger
	notices  chan notice
	ctx      context.Context
	cancel   context.CancelFunc
	ended    chan struct{}
}

func startNotifier(o *Options, client *http.Client) *notifier {
	n := &notifier{endpoint: o.NotificationEndpoint, via: o.Hostname, client: client, log: o.Logger, notices: make(chan notice, maxNotices), ended: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	go n.run()
	return n
}

func (n *notifier) run() {
	defer close(n.ended)
	for {
		select {
		case <-n.ctx.Done():
			return
		case told := <-n.notices:
			n.send(told)
		}
	}
}

func (n *notifier) send(told notice) {
	if err := n.post(told); err != nil {
		n.log.Error("action not reported", slog.String("action", told.Action), slog.String("endpoint", n.endpoint), slog.String("error", reason(err)))
	}
}

func (n *notifier) post(told notice) error {
	body, err := json.Marshal(told)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(n.ctx, http.MethodPost, n.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := n.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("got response %s", answer.Status)
	}
	return nil
}

func (n *notifier) stop() {
	n.cancel()
	<-n.ended
	n.client.CloseIdleConnections()
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
	select {
	case n.notices <- told:
	default:
		n.log.Error("action not reported: the endpoint is too slow", slog.String("action", action), slog.String("endpoint", n.endpoint))
	}
}

// notifyClient makes the requests to the endpoint.
func notifyClient(o *Options) *http.Client {
	dialer := &net.Dialer{Timeout: o.ConnectTimeout}
	return &http.Client{
		Timeout:   o.RequestTimeout,
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: o.TLS},
	}
}
