package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/internal/redact"
	"qmq/internal/tcpclient"
	"qmq/internal/version"
)

// utility is one of NSQ's, as which q may be started: it takes that one's flags
// and does what it does.
type utility struct {
	// flags declares the flags; run is what then happens.
	flags func(*nsqFlags) (run func(console) error)
}

// utilities are NSQ's, by name.
var utilities = map[string]utility{
	"nsq_tail":    {nsqTail},
	"nsq_stat":    {nsqStat},
	"nsq_to_file": {nsqToFile},
	"nsq_to_http": {nsqToHTTP},
	"nsq_to_nsq":  {nsqToNSQ},
	"to_nsq":      {toNSQ},
}

// nsqFlags are the flags of a utility, which its name stands before.
type nsqFlags struct {
	*flag.FlagSet
	name string
}

// runAs runs q under the name of a utility. The last value tells whether the name
// is one.
func runAs(name string, args []string, c console) (exit int, is bool) {
	name = strings.TrimSuffix(filepath.Base(name), ".exe")
	u, ok := utilities[name]
	if !ok {
		return 0, false
	}
	f := &nsqFlags{flag.NewFlagSet(name, flag.ContinueOnError), name}
	f.SetOutput(c.err)
	say := f.Bool("version", false, "print version")
	run := u.flags(f)
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, true
	case err != nil:
		return exitUsage, true // the flags have said so
	case *say:
		fmt.Fprintf(c.out, "%s v%s\n", name, version.Number)
		return exitOK, true
	}
	if err := run(c); err != nil {
		fmt.Fprintf(c.err, "%s: %s\n", name, redact.Text(err.Error()))
		return exitFailed, true
	}
	return exitOK, true
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds a value.
func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

func (f *nsqFlags) list(name, help string) *list {
	l := new(list)
	f.Var(l, name, help+" (may be given multiple times)")
	return l
}

// sources are where a utility consumes.
type sources struct {
	nsqd, lookupd *list
	config        *nsq.Config
	inFlight      *int
	f             *nsqFlags
}

func (f *nsqFlags) sources() *sources {
	s := &sources{
		nsqd:     f.list("nsqd-tcp-address", "TCP address of a node"),
		lookupd:  f.list("lookupd-http-address", "HTTP address of a directory"),
		inFlight: f.Int("max-in-flight", 200, "messages under way at a time"),
		config:   nsq.NewConfig(), f: f,
	}
	f.Var(&nsq.ConfigFlag{Config: s.config}, "consumer-opt", "option of the consumer, as go-nsq names it (may be given multiple times)")
	return s
}

// reach is how the sources are reached.
func (s *sources) reach() (reach, error) {
	switch {
	case len(*s.nsqd)+len(*s.lookupd) == 0:
		return reach{}, errors.New("--nsqd-tcp-address or --lookupd-http-address required")
	case len(*s.nsqd) > 0 && len(*s.lookupd) > 0:
		return reach{}, errors.New("use --nsqd-tcp-address or --lookupd-http-address not both")
	}
	if err := s.config.Validate(); err != nil {
		return reach{}, err
	}
	return reach{Addr: *s.nsqd, Lookupd: *s.lookupd, Timeout: 5 * time.Second, adjust: s.f.adjust(s.config)}, nil
}

// adjust gives connections what a configuration of go-nsq says.
func (f *nsqFlags) adjust(config *nsq.Config) func(*tcpclient.Options) {
	return func(o *tcpclient.Options) {
		o.UserAgent = f.name + "/" + version.Number
		if config.UserAgent != "" {
			o.UserAgent = config.UserAgent
		}
		if config.ClientID != "" {
			o.ClientID = config.ClientID
		}
		if config.Hostname != "" {
			o.Hostname = config.Hostname
		}
		if config.TlsV1 {
			o.TLS = config.TlsConfig
			if o.TLS == nil {
				o.TLS = new(tls.Config) // verified by the roots of the system, as go-nsq does
			}
		}
		o.Snappy, o.Secret = config.Snappy, config.AuthSecret
		if config.Deflate {
			o.Deflate = config.DeflateLevel
		}
		o.DialTimeout = max(config.DialTimeout, 5*time.Second)
		o.HeartbeatInterval, o.MsgTimeout, o.SampleRate = config.HeartbeatInterval, config.MsgTimeout, int(config.SampleRate)
		o.OutputBufferSize, o.OutputBufferTimeout = int(config.OutputBufferSize), config.OutputBufferTimeout
	}
}

// refresh is how often directories are asked.
func (s *sources) refresh() time.Duration { return s.config.LookupdPollInterval }

// nsqTail is nsq_tail.
func nsqTail(f *nsqFlags) func(console) error {
	s := f.sources()
	topics := f.list("topic", "topic to show")
	channel := f.String("channel", "", "channel to take messages from (default: a temporary one)")
	n := f.Int("n", 0, "messages to show (will wait if starved)")
	printTopic := f.Bool("print-topic", false, "print the topic before each message")
	return func(c console) error {
		if len(*topics) == 0 {
			return errors.New("--topic required")
		}
		r, err := s.reach()
		if err != nil {
			return err
		}
		cl, err := r.open()
		if err != nil {
			return err
		}
		defer cl.close()
		if *channel == "" {
			*channel = ownChannel()
		}
		ctx, stop := c.untilSignal()
		defer stop()
		w := watch{
			cluster: cl, topics: *topics, channel: *channel, inFlight: *s.inFlight, refresh: s.refresh(), log: logTo(c.err),
			show: &shower{printer: newPrinter(printing{Format: "raw"}, c.out), count: *n, topic: *printTopic},
		}
		return w.run(ctx)
	}
}

// nsqToFile is nsq_to_file.
func nsqToFile(f *nsqFlags) func(console) error {
	s := f.sources()
	topics := f.list("topic", "topic to archive")
	a := archiveCommand{Format: "raw", Compress: "none", nsq: true}
	f.StringVar(&a.Pattern, "topic-pattern", "", "archive only topics that match this regular expression")
	f.DurationVar(&a.Refresh, "topic-refresh", time.Minute, "how often to look for new topics")
	f.StringVar(&a.Channel, "channel", "nsq_to_file", "channel to take messages from")
	f.StringVar(&a.Dir, "output-dir", "/tmp", "directory of the files")
	f.StringVar(&a.WorkDir, "work-dir", "", "directory of files that are being written (default: output-dir)")
	f.StringVar(&a.DateTime, "datetime-format", "%Y-%m-%d_%H", "format of <DATETIME>, as strftime has it")
	f.StringVar(&a.FilenameFormat, "filename-format", "<TOPIC>.<HOST><REV>.<DATETIME>.log", "names of files")
	f.StringVar(&a.Host, "host-identifier", "", "what stands for <HOST>; <SHORT_HOST> and <HOSTNAME> are replaced")
	gzip := f.Bool("gzip", false, "compress with gzip")
	f.IntVar(&a.Level, "gzip-level", 6, "level of gzip")
	f.Bool("skip-empty-files", false, "no file is begun before there is a message, with and without this")
	f.Int64Var(&a.RotateSize, "rotate-size", 0, "begin a new file when one has so many bytes")
	f.DurationVar(&a.RotateInterval, "rotate-interval", 0, "begin a new file after this time")
	f.DurationVar(&a.SyncInterval, "sync-interval", 30*time.Second, "how long a message may wait until it is synced")
	connect := f.Duration("http-client-connect-timeout", 2*time.Second, "timeout for HTTP connect")
	request := f.Duration("http-client-request-timeout", 5*time.Second, "timeout for HTTP request")
	f.String("log-level", "info", "has no effect")
	f.String("log-prefix", "[nsq_to_file] ", "has no effect")
	return func(c console) (err error) {
		if f.NArg() > 0 {
			return fmt.Errorf("unknown arguments: %s", strings.Join(f.Args(), " "))
		}
		if a.reach, err = s.reach(); err != nil {
			return err
		}
		a.Timeout = max(*connect, *request)
		a.Topics, a.MaxInFlight = *topics, *s.inFlight
		if len(a.Topics) == 0 && len(*s.lookupd) == 0 {
			return errors.New("--topic required, where nodes are named")
		}
		if *gzip {
			a.Compress = "gzip"
		}
		return a.Run(c)
	}
}

// toNSQ is to_nsq.
func toNSQ(f *nsqFlags) func(console) error {
	p := pubCommand{Batch: 1000, To: "all", Quiet: true}
	f.StringVar(&p.Topic, "topic", "", "topic to publish to")
	f.StringVar(&p.Delimiter, "delimiter", "\n", "character that separates messages of the input")
	nodes := f.list("nsqd-tcp-address", "TCP address of a node")
	rate := f.Int64("rate", 0, "messages a second at most")
	config := nsq.NewConfig()
	f.Var(&nsq.ConfigFlag{Config: config}, "producer-opt", "option of the producer, as go-nsq names it (may be given multiple times)")
	return func(c console) error {
		switch {
		case p.Topic == "":
			return errors.New("--topic required")
		case len(p.Delimiter) != 1:
			return errors.New("--delimiter must be a single byte")
		case len(*nodes) == 0:
			return errors.New("--nsqd-tcp-address required")
		}
		p.Rate = float64(*rate)
		p.reach = reach{Addr: *nodes, Timeout: 5 * time.Second, adjust: f.adjust(config)}
		err := p.Run(c)
		var signalled *interrupted
		if errors.As(err, &signalled) {
			return nil // the utility ends well then
		}
		return err
	}
}
