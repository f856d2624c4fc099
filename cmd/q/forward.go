package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/balance"
	"qmq/internal/names"
	"qmq/internal/redact"
	"qmq/internal/tcpclient"
)

// forwardCommand is q forward.
type forwardCommand struct {
	Topics  []string `arg:"" name:"topic" complete:"topic" help:"Topics to forward."`
	Channel string   `default:"forward" help:"Channel to take messages from."`

	ToHTTP []string `name:"to-http" sep:"none" group:"to" placeholder:"URL" help:"URL that gets each message as the body of a POST; with %s, which stands for the message, it gets a GET. May be repeated."`
	ToQD   []string `name:"to-qd" group:"to" placeholder:"ADDRESS" help:"TCP address of a node (qd or nsqd) that messages are published to. May be repeated."`
	Weight []string `name:"weight" sep:"none" group:"to" placeholder:"DESTINATION=N" help:"Weight of a destination with --mode=weighted or hash. Default: 1."`

	Mode string `enum:"random,round-robin,weighted,hostpool,epsilon-greedy,hash" default:"hostpool" help:"Which destination gets a message: random, round-robin, weighted, hostpool (in turn, of those that work), epsilon-greedy (mostly the fastest), hash (equal keys the same one)."`
	Key  string `default:"body" placeholder:"WHAT" help:"With --mode=hash: body, or json:PATH for a field of JSON such as json:user.id."`

	Method         string            `enum:",GET,POST,PUT" default:"" help:"Method of requests. Default: POST, or GET for a URL with %s."`
	Header         map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Header of requests. May be repeated."`
	ContentType    string            `name:"content-type" empty:"yes" default:"application/octet-stream" help:"Content-Type of requests that have a body."`
	ConnectTimeout time.Duration     `name:"http-connect-timeout" default:"2s" help:"How long to wait for a connection of HTTP."`
	RequestTimeout time.Duration     `name:"http-request-timeout" default:"20s" help:"How long to wait for an answer of HTTP."`
	OnStatus       map[string]string `name:"on-status" placeholder:"STATUS=ACTION" help:"What becomes of a message after an answer with that status, such as 409 or 4xx: finish or requeue. Default: 2xx=finish and all others requeue."`
	Concurrency    int               `default:"100" help:"Requests of HTTP at a time."`

	DestinationTopic string            `name:"destination-topic" placeholder:"TOPIC" complete:"topic" help:"Topic to publish to. Default: the name it has here."`
	TopicMap         map[string]string `name:"topic-map" placeholder:"FROM=TO" help:"Topic that messages of a topic are published to. May be repeated."`

	RequireField string   `name:"require-json-field" placeholder:"FIELD" help:"Forward only JSON messages that have this field; others are finished."`
	RequireValue string   `name:"require-json-value" empty:"yes" placeholder:"VALUE" help:"And only those where it has this value."`
	Whitelist    []string `name:"whitelist-json-field" placeholder:"FIELD" help:"Forward JSON messages with these fields only. May be repeated."`
	Sample       float64  `placeholder:"PERCENT" help:"Forward only about so many in a hundred; the others are finished."`

	MaxInFlight  int           `name:"max-in-flight" default:"200" help:"Messages of a topic under way at a time."`
	RequeueDelay time.Duration `name:"requeue-delay" default:"1s" help:"How long a message that failed waits, times two for each attempt."`
	MaxDelay     time.Duration `name:"max-requeue-delay" default:"5m" help:"How long it waits at most."`
	// Of NSQ's utilities.
	nsq     bool                     `kong:"-"` // the delay grows by itself with each attempt, and no progress is shown
	most    uint16                   `kong:"-"` // attempts, after which a message is given up; 0: never
	toNodes func(*tcpclient.Options) `kong:"-"` // of connections to destinations; nil: as those to sources

	JSON    bool          `name:"json" help:"Say in JSON at the end what was forwarded."`
	Refresh time.Duration `default:"10s" help:"How often directories are asked for new nodes."`

	reach
}

// Help has the promise and the examples.
func (*forwardCommand) Help() string {
	return `A message is finished when its destination has taken it: the status says so, or the node has OK'd it. What fails is given back, with a delay that grows, and is never given up here; a channel with max_attempts gives it up to its dead-letter topic. Nodes get headers too, with key, priority and dedup id; a node that takes none, as nsqd, and web hooks get bodies alone, which is said once. When every destination fails, fewer and fewer messages are tried until one works again.

` + examples(
		"to a web hook", `q forward orders --to-http=https://hooks.example/orders --header=Authorization='Bearer ...'`,
		"to another cluster, under another name", `q forward orders --lookupd=a:4161 --to-qd=b:4150 --topic-map=orders=orders-copy`,
		"each user's messages to the same server", `q forward clicks --to-http=http://a:8080/ --to-http=http://b:8080/ --mode=hash --key=json:user.id`,
		"what a client of the server got wrong is not tried again", `q forward orders --to-http=http://a:8080/ --on-status='4xx=finish;429=requeue'`,
	)
}

// Run forwards until a signal comes.
func (f *forwardCommand) Run(c console) error {
	f2, err := f.forwarding()
	if err != nil {
		return err
	}
	cl, err := f.open()
	if err != nil {
		return err
	}
	defer cl.close()
	progress := newBar(c.err)
	if f.nsq {
		progress = &bar{out: c.err} // which shows none
	}
	log := slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f2.cluster, f2.tcp, f2.log = cl, cl.tcp(userAgent()), log
	f2.send = f.sender(cl, log)
	defer f2.send.close()
	start := time.Now()
	err = f2.watched(c, progress)
	return errors.Join(err, f.say(c, &f2.done, time.Since(start)))
}

// forwarded counts what became of messages. Any goroutine may add to it.
type forwarded struct {
	messages, filtered, givenBack, givenUp atomic.Int64
	by                                     []atomic.Int64 // messages, by destination
}

// say tells a terminal, or with --json a program, what was forwarded.
func (f *forwardCommand) say(c console, done *forwarded, took time.Duration) error {
	n, back := done.messages.Load(), done.givenBack.Load()
	if f.JSON {
		by := make(map[string]int64)
		for i, name := range slices.Concat(f.ToHTTP, f.ToQD) {
			by[redact.Text(name)] += done.by[i].Load()
		}
		return printJSON(c.out, map[string]any{
			"messages": n, "filtered": done.filtered.Load(), "given_back": back, "given_up": done.givenUp.Load(),
			"destinations": by, "seconds": took.Seconds(),
		})
	}
	if isTerminal(c.out) && !f.nsq {
		fmt.Fprintf(c.out, "%s forwarded, %d given back\n", plural(n, "message"), back)
	}
	return nil
}

// forwarding is what the flags say, but for the connections.
func (f *forwardCommand) forwarding() (*forwarding, error) {
	for _, topic := range f.Topics {
		if !names.Valid(topic) {
			return nil, noTopicBeside(topic)
		}
	}
	if !names.Valid(f.Channel) {
		return nil, fmt.Errorf("channel %q: %s", f.Channel, names.Rule)
	}
	if (len(f.ToHTTP) == 0) == (len(f.ToQD) == 0) {
		return nil, errors.New("either --to-http or --to-qd says where messages go")
	}
	if f.MaxInFlight < 1 || f.Concurrency < 1 || f.RequeueDelay <= 0 || f.Sample < 0 || f.Sample > 100 {
		return nil, errors.New("--max-in-flight and --concurrency are 1 at least, --requeue-delay more than 0, --sample 0 to 100")
	}
	if f.RequireValue != "" && f.RequireField == "" {
		return nil, errors.New("--require-json-value needs --require-json-field")
	}
	key, err := parseKey(f.Key)
	if err != nil {
		return nil, err
	}
	destinations, err := f.destinations()
	if err != nil {
		return nil, err
	}
	pool, err := balance.New(balance.Mode(f.Mode), destinations)
	if err != nil {
		return nil, err
	}
	if _, err := f.statuses(); err != nil {
		return nil, err
	}
	return &forwarding{
		topics: f.Topics, channel: f.Channel, inFlight: f.MaxInFlight, refresh: f.Refresh, pool: pool, key: key, keyed: f.Mode == string(balance.Hash),
		filter: filter{field: f.RequireField, value: f.RequireValue, keep: f.Whitelist, sample: f.Sample},
		delay:  f.delay, most: f.most,
		target: f.target,
		done:   forwarded{by: make([]atomic.Int64, len(destinations))},
	}, nil
}

// delay is how long a message waits after so many attempts.
func (f *forwardCommand) delay(attempts int) time.Duration {
	attempts = max(attempts, 1)
	if f.nsq {
		return min(f.MaxDelay, f.RequeueDelay*time.Duration(attempts))
	}
	return min(f.MaxDelay, f.RequeueDelay<<min(attempts-1, 20))
}

// destinations are those of the pool, with their weights.
func (f *forwardCommand) destinations() (list []balance.Destination, err error) {
	for _, name := range slices.Concat(f.ToHTTP, f.ToQD) {
		list = append(list, balance.Destination{Name: name})
	}
	for _, at := range f.ToQD {
		if err := checkAddress(at, false); err != nil {
			return nil, err
		}
	}
	for _, at := range f.ToHTTP {
		if !strings.HasPrefix(at, "http://") && !strings.HasPrefix(at, "https://") || strings.Count(at, "%s") > 1 {
			return nil, fmt.Errorf("--to-http=%s is no URL of http or https, with %%s once at most", at)
		}
	}
	for _, text := range f.Weight {
		i := strings.LastIndexByte(text, '=')
		weight, err := strconv.ParseFloat(text[i+1:], 64)
		if i < 0 || err != nil || weight <= 0 {
			return nil, fmt.Errorf("--weight=%s is no DESTINATION=N, with N above 0", text)
		}
		at := slices.IndexFunc(list, func(d balance.Destination) bool { return d.Name == text[:i] })
		if at < 0 {
			return nil, fmt.Errorf("--weight: %s is no destination", text[:i])
		}
		list[at].Weight = weight
	}
	return list, nil
}

// target is the topic that messages of a topic are published to.
func (f *forwardCommand) target(topic string) string {
	if to, ok := f.TopicMap[topic]; ok {
		return to
	}
	if f.DestinationTopic != "" {
		return f.DestinationTopic
	}
	return topic
}

// statuses are what --on-status says, by status or class of it.
func (f *forwardCommand) statuses() (map[string]bool, error) {
	finish := map[string]bool{"2xx": true}
	for status, action := range f.OnStatus {
		known := len(status) == 3 && status[0] >= '1' && status[0] <= '5' && (status[1:] == "xx" || isDigits(status[1:]))
		if !known || action != "finish" && action != "requeue" {
			return nil, fmt.Errorf("--on-status=%s=%s: a status such as 409 or 4xx, and finish or requeue", status, action)
		}
		finish[status] = action == "finish"
	}
	return finish, nil
}

func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// sender makes what sends messages.
func (f *forwardCommand) sender(cl *cluster, log *slog.Logger) sender {
	if len(f.ToQD) > 0 {
		s := &nodeSender{log: log, plain: make([]sync.Once, len(f.ToQD))}
		for _, at := range f.ToQD {
			o := cl.tcp(userAgent())
			if f.toNodes != nil {
				o = tcpclient.Options{Hostname: o.Hostname, ClientID: o.ClientID}
				f.toNodes(&o)
			}
			s.producers = append(s.producers, tcpclient.NewProducer(at, o))
		}
		return s
	}
	finish, _ := f.statuses() // which were checked
	headers := make(http.Header)
	for name, value := range f.Header {
		headers.Set(name, value)
	}
	return newHTTPSender(f.ToHTTP, httpSending{
		method: f.Method, headers: headers, contentType: f.ContentType, finish: finish, tls: cl.tls,
		connect: f.ConnectTimeout, request: f.RequestTimeout, concurrency: f.Concurrency, log: log,
	})
}
