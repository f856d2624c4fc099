package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"qmq/internal/archive"
	"qmq/internal/names"
	"qmq/internal/nodeclient"
	"qmq/internal/tcpclient"
)

// archiveCommand is q archive.
type archiveCommand struct {
	Topics []string `arg:"" optional:"" name:"topic" complete:"topic" help:"Topics to archive. Default: all, or those of --topic-pattern."`

	Pattern string        `name:"topic-pattern" placeholder:"REGEX" help:"Archive all topics whose name matches, also those that come later."`
	Refresh time.Duration `name:"topic-refresh" default:"1m" help:"How often to look for new topics and nodes."`
	Channel string        `default:"archive" help:"Channel to take messages from."`

	Dir            string        `short:"d" default:"." name:"output-dir" complete:"dir" help:"Directory of the files."`
	WorkDir        string        `name:"work-dir" placeholder:"DIR" complete:"dir" help:"Directory of files that are being written, on the same file system, which is tried at the start. Default: that of --output-dir. Their names end in .q-part."`
	FilenameFormat string        `name:"filename-format" default:"<TOPIC>.<HOST><REV>.<DATETIME>.jsonl" help:"Names of files, with <TOPIC>, <HOST>, <PID>, <DATETIME> and <REV>, a number that makes a name which nothing has; / makes directories."`
	DateTime       string        `name:"datetime-format" default:"%Y-%m-%d_%H" help:"Format of <DATETIME>, as strftime has it. A new file begins when it changes."`
	Host           string        `name:"host-identifier" placeholder:"NAME" help:"What stands for <HOST>; <HOSTNAME> and <SHORT_HOST> in it are replaced. Default: the name of this machine up to its first dot."`
	RotateSize     int64         `name:"rotate-size" placeholder:"BYTES" help:"Begin a new file when one has so many bytes."`
	RotateInterval time.Duration `name:"rotate-interval" placeholder:"DURATION" help:"Begin a new file after this time."`
	Compress       string        `enum:"none,gzip,zstd" default:"none" help:"none, gzip or zstd; the end of the name tells."`
	Level          int           `name:"compression-level" placeholder:"N" help:"Level of the compression."`
	Format         string        `enum:"json,raw" default:"json" help:"json (an object a line, with all that is known of a message, from which q restore publishes exactly the same) or raw (the body and a newline: a body that has newlines becomes several)."`
	SyncInterval   time.Duration `name:"sync-interval" default:"2s" help:"How long a message may wait until it is on the disk and finished. Many are synced together before."`
	// nsq writes files under their final names and goes on with those whose name
	// has no revision, as nsq_to_file does.
	nsq bool `kong:"-"`

	JSON        bool `name:"json" help:"Print JSON: an object a line for each file that is complete, and at the end what was archived."`
	MaxInFlight int  `name:"max-in-flight" default:"10000" help:"Messages of a topic under way at a time. They are synced when nearly as many wait for it, or after --sync-interval."`

	reach
}

// Help has the promise and the examples.
func (*archiveCommand) Help() string {
	return `A message is finished when its file is synced to the disk, not before. Nothing that exists is written over. Several q archive may write into one directory. A file that a killed q has left (its name ends in .q-part, and its directory is one that --filename-format makes) is completed where it is at the start: what it ends with in the middle of a message was not finished, comes again, and is moved into a file that ends in .torn. Other files are never touched. When the disk is full, or a file cannot be written, what is not on the disk is given back and the command ends. SIGHUP syncs all files and begins new ones.

` + examples(
		"one topic, a file an hour", `q archive orders -d /var/archive`,
		"all topics of a cluster, compressed, in directories by day", `q archive -d /var/archive --lookupd=lookup1.example:4161 --compress=zstd --filename-format='<DATETIME>/<TOPIC>.<HOST><REV>.jsonl' --datetime-format=%Y-%m-%d`,
		"files of 100 MB at most", `q archive orders --rotate-size=100000000`,
		"publish it again", `q restore orders.*.jsonl`,
	)
}

// Run archives until a signal comes or a file cannot be written.
func (a *archiveCommand) Run(c console) error {
	o, err := a.options()
	if err != nil {
		return err
	}
	cl, err := a.open()
	if err != nil {
		return err
	}
	defer cl.close()
	progress := newBar(c.err)
	if a.nsq {
		progress = &bar{out: c.err} // which shows none
	}
	w := &archiving{
		cluster: cl, tcp: cl.tcp(userAgent()), files: o, format: a.Format, channel: a.Channel, topics: a.Topics, pattern: a.Pattern,
		refresh: a.Refresh, syncInterval: a.SyncInterval, inFlight: a.MaxInFlight, log: slog.New(slog.NewTextHandler(progress, nil)),
	}
	if a.JSON {
		w.done.to = c.out
	}
	start := time.Now()
	err = w.watched(c, progress)
	return errors.Join(err, a.say(c, &w.done, time.Since(start)))
}

// say tells a terminal, or with --json a program, what was archived.
func (a *archiveCommand) say(c console, done *archiveTally, took time.Duration) error {
	n, files := done.messages.Load(), done.files.Load()
	if a.JSON {
		return printJSON(c.out, map[string]any{"messages": n, "bytes": done.bytes.Load(), "files": files, "seconds": took.Seconds()})
	}
	if isTerminal(c.out) && !a.nsq {
		fmt.Fprintf(c.out, "%s archived in %s\n", plural(n, "message"), plural(files, "file"))
	}
	return nil
}

// options are those of files.
func (a *archiveCommand) options() (archive.Options, error) {
	compression, err := archive.ParseCompression(a.Compress)
	if err != nil {
		return archive.Options{}, err
	}
	o := archive.Options{
		Naming: archive.Naming{Format: a.FilenameFormat, DateTime: a.DateTime, Host: hostIdentifier(a.Host), PID: os.Getpid()},
		Dir:    a.Dir, WorkDir: a.WorkDir, Compression: compression, Level: a.Level,
		RotateSize: a.RotateSize, RotateInterval: a.RotateInterval,
	}
	for _, topic := range a.Topics {
		if !names.Valid(topic) {
			return o, noTopicBeside(topic)
		}
	}
	switch {
	case !names.Valid(a.Channel):
		return o, fmt.Errorf("channel %q: %s", a.Channel, names.Rule)
	case names.IsEphemeral(a.Channel):
		return o, errors.New("an ephemeral channel loses messages while nobody reads it: --channel names a durable one")
	case a.MaxInFlight < 1 || a.SyncInterval <= 0:
		return o, errors.New("--max-in-flight is 1 at least, and --sync-interval more than 0")
	}
	if a.nsq {
		o.InPlace = true
		if o.Append = o.Compression == archive.None && a.RotateSize == 0 && a.RotateInterval == 0 && (a.WorkDir == "" || a.WorkDir == a.Dir); o.Append {
			o.Format = strings.ReplaceAll(o.Format, "<REV>", "")
		}
	}
	return o, o.Naming.Check(o.Append)
}

// hostIdentifier is what stands for <HOST>.
func hostIdentifier(format string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	short, _, _ := strings.Cut(host, ".")
	if format == "" {
		return short
	}
	return strings.NewReplacer("<SHORT_HOST>", short, "<HOSTNAME>", host).Replace(format)
}

// archiving is an archive at work.
type archiving struct {
	cluster      *cluster
	tcp          tcpclient.Options
	files        archive.Options
	format       string
	channel      string
	topics       []string // fixed; empty: those that match pattern
	pattern      string
	refresh      time.Duration
	syncInterval time.Duration
	inFlight     int
	log          *slog.Logger
	done         archiveTally

	archives map[string]*topicArchive
	running  sync.WaitGroup
	failed   chan error // of a topic; one is enough
}

// watched is run with its progress on a terminal.
func (a *archiving) watched(c console, progress *bar) error {
	progress.count("archived")
	stop := progress.during(a.done.messages.Load)
	defer progress.end()
	defer stop()
	return a.run(c)
}

// run archives until a signal comes or something fails.
func (a *archiving) run(c console) error {
	pattern, err := regexp.Compile(a.pattern)
	if err != nil {
		return fmt.Errorf("--topic-pattern: %w", err)
	}
	if err := archive.CheckPlace(a.files); err != nil {
		return err
	}
	if err := a.takeOver(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	hangup, ignore := onHangup()
	defer ignore()
	a.archives, a.failed = make(map[string]*topicArchive), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		a.running.Wait()
	}()
	if err := a.discover(ctx, pattern); err != nil {
		return err
	}
	look := time.NewTicker(max(a.refresh, time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.end(cancel)
		case err := <-a.failed:
			a.failed <- err
			return a.end(cancel)
		case <-hangup:
			for _, t := range a.archives {
				t.rotate()
			}
		case <-look.C:
			if err := a.discover(ctx, pattern); err != nil && ctx.Err() == nil {
				a.log.Warn("topics are not known", "error", err)
			}
		}
	}
}

// end waits until all topics have stopped, and returns what went wrong.
func (a *archiving) end(cancel func()) error {
	cancel()
	a.running.Wait()
	select {
	case err := <-a.failed:
		return err
	default:
		return nil
	}
}

// takeOver completes what a process has left that was killed.
func (a *archiving) takeOver() error {
	found, err := archive.Recover(a.files)
	for _, r := range found {
		if r.Left != nil {
			a.log.Warn("a file that was not completed cannot be by this user", "error", r.Left)
			continue
		}
		a.log.Info("a file that was not completed is", "file", r.Path, "messages", r.Lines)
		if r.Torn != "" {
			a.log.Warn("it ended in the middle of a message, which was not finished and comes again; that end is kept", "file", r.Torn)
		}
	}
	if err != nil {
		return fmt.Errorf("a file that was not completed cannot be: %w", err)
	}
	return nil
}

// discover begins to archive topics that are not yet archived.
func (a *archiving) discover(ctx context.Context, pattern *regexp.Regexp) error {
	topics := a.topics
	if len(topics) == 0 {
		all, err := a.cluster.topics(ctx)
		if err != nil {
			return err
		}
		for _, topic := range all {
			if pattern.MatchString(topic) && !names.IsEphemeral(topic) {
				topics = append(topics, topic)
			}
		}
	}
	for _, topic := range topics {
		if a.archives[topic] != nil {
			continue
		}
		w, err := archive.NewWriter(topic, a.files)
		if err != nil {
			return err
		}
		t := &topicArchive{topic: topic, writer: w, raw: a.format == "raw", done: &a.done}
		a.archives[topic] = t
		a.running.Go(func() {
			if err := a.topic(ctx, t); err != nil {
				select {
				case a.failed <- err:
				default:
				}
			}
		})
	}
	return nil
}

// topics are all topics that there are, sorted.
func (c *cluster) topics(ctx context.Context) ([]string, error) {
	if len(c.lookupds) > 0 {
		list, err := c.lookup.Topics(ctx, c.lookupds)
		if len(list) > 0 {
			err = nil // some directory has answered
		}
		return list, err
	}
	s, err := c.oneSnapshot(ctx, nodeclient.Wanted{})
	if err != nil {
		return nil, err
	}
	var list []string
	for _, f := range s.figures("topic") {
		list = append(list, f.Topic)
	}
	return list, nil
}

// topic archives one topic until ctx is done or a file cannot be written.
func (a *archiving) topic(ctx context.Context, t *topicArchive) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.fail = cancel
	o := tcpclient.ConsumerOptions{
		Options: a.tcp, Topic: t.topic, Channel: a.channel, MaxInFlight: a.inFlight,
		Nodes:    func(ctx context.Context) ([]string, error) { return a.cluster.tcpNodes(ctx, t.topic) },
		Handle:   t.take,
		Stopping: t.stop,
		Logger:   a.log,
	}
	if len(a.cluster.lookupds) > 0 {
		o.Refresh, o.Follow = min(a.refresh, time.Minute), a.cluster.follow(t.topic)
	}
	ticking := make(chan struct{})
	go func() {
		defer close(ticking)
		t.keepSyncing(ctx, a.syncInterval)
	}()
	err := tcpclient.NewConsumer(o).Run(ctx)
	cancel()
	<-ticking
	return errors.Join(err, t.finish())
}
