package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"qmq/internal/names"
	"qmq/internal/tcpclient"
)

// restoreCommand is q restore.
type restoreCommand struct {
	Files []string `arg:"" type:"existingfile" help:"Files that q archive or nsq_to_file has written, in the order in which they are published."`

	Topic    string        `placeholder:"TOPIC" complete:"topic" help:"Topic to publish to. Default: the one each message came from, which only files of --format=json know."`
	Format   string        `enum:"auto,json,raw" default:"auto" help:"What a line is: json (an object, as q archive writes them), raw (a body). auto takes files whose name has .jsonl for json."`
	Rate     float64       `placeholder:"N" help:"Messages a second at most."`
	Batch    int           `default:"1000" help:"Messages of one command at most."`
	To       string        `enum:"round-robin,all" default:"round-robin" help:"Where there are several nodes: round-robin or all."`
	StateDir string        `name:"state-dir" placeholder:"DIR" complete:"dir" help:"Where to note how far a file is restored. Default: beside the file."`
	Again    bool          `help:"Begin at the beginning of files that were restored in part."`
	JSON     bool          `name:"json" help:"Say in JSON what was published, and where files break."`
	SaveEach time.Duration `hidden:"" default:"1s"`

	reach
}

// Help has the promise and the examples.
func (*restoreCommand) Help() string {
	return `What was OK'd is noted beside each file (FILE.restoring; in --state-dir its name has a number for the file's whole path), so that the same command goes on where one was interrupted, and publishes no file twice; when all files are published, the notes are removed. After an interruption by a signal nothing is published twice; after a kill, or a lost connection, at most what was OK'd in the second before. A file whose beginning is not what was published is another one, and is published from its beginning.

Where a file breaks, what is before that is published, and so are the other files; then the exit code is 1, and the notes stay. A last line that is a whole object is published also if it is not ended.

` + examples(
		"publish an archive again", `q restore /var/archive/orders.*.jsonl.zst`,
		"under another name, 1000 a second", `q restore orders.*.jsonl --topic=orders-replayed --rate=1000`,
		"lines of nsq_to_file", `q restore /tmp/orders.host.2024-05-01_10.log --topic=orders`,
	)
}

// restoring is a restore at work.
type restoring struct {
	r       *restoreCommand
	cluster *cluster
	nodes   []string
	bar     *bar
	// by topic; all of them share nothing but the nodes.
	publishers map[string]*publisher
	messages   int64
	files      []fileRestored
	errors     io.Writer
}

// fileRestored is what became of a file, as JSON says it.
type fileRestored struct {
	File     string `json:"file"`
	Lines    int64  `json:"lines"`    // that are published, also before
	Messages int64  `json:"messages"` // published now
	Breaks   string `json:"breaks,omitempty"`
}

// Run publishes the files.
func (r *restoreCommand) Run(c console) error {
	if r.Topic != "" && !names.Valid(r.Topic) {
		return fmt.Errorf("topic %q: %s", r.Topic, names.Rule)
	}
	for _, file := range r.Files {
		if !r.records(file) && r.Topic == "" {
			return fmt.Errorf("%s: the lines of this file are bodies: --topic says where they go (--format=json: they are objects)", file)
		}
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := r.open()
	if err != nil {
		return err
	}
	defer cl.close()
	nodes, err := cl.tcpNodes(ctx, r.Topic)
	if err == nil && len(nodes) == 0 {
		nodes, err = cl.tcpNodes(ctx, "")
	}
	if err == nil && len(nodes) == 0 {
		err = errors.New("the directories know no node")
	}
	if err != nil {
		return err
	}
	progress := newBar(c.err)
	w := &restoring{r: r, cluster: cl, nodes: nodes, publishers: make(map[string]*publisher), bar: progress, errors: progress}
	defer w.close()
	release, err := w.claim()
	defer release()
	if err != nil {
		return err
	}
	start := time.Now()
	err = w.all(ctx)
	w.bar.end()
	if told := w.tell(c, err, time.Since(start)); err == nil {
		err = told
	}
	if err != nil {
		return err
	}
	if broken := w.broken(); len(broken) > 0 {
		return fmt.Errorf("%s; --again publishes all of it once more", strings.Join(broken, "; "))
	}
	return w.forget()
}

// all publishes all files, until a signal comes.
func (w *restoring) all(ctx context.Context) error {
	for _, file := range w.r.Files {
		w.files = append(w.files, fileRestored{File: file})
		if err := w.file(ctx, file); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &interrupted{fmt.Sprintf("%s published; the same command goes on from there", plural(w.messages, "message"))}
		}
	}
	return nil
}

// tell says what was published; without --json only where all that is there was.
func (w *restoring) tell(c console, err error, took time.Duration) error {
	if w.r.JSON {
		return printJSON(c.out, map[string]any{"messages": w.messages, "files": w.files, "seconds": took.Seconds()})
	}
	if err != nil {
		return nil
	}
	_, err = fmt.Fprintf(c.out, "%s of %s published\n", plural(w.messages, "message"), plural(int64(len(w.files)), "file"))
	return err
}

// broken says which files are, and where.
func (w *restoring) broken() (list []string) {
	for _, f := range w.files {
		if f.Breaks != "" {
			list = append(list, fmt.Sprintf("%s breaks after line %d: %s (%s of it published now)", f.File, f.Lines, f.Breaks, plural(f.Messages, "message")))
		}
	}
	return list
}

// records tells whether the lines of a file are objects.
func (r *restoreCommand) records(file string) bool {
	if r.Format == "auto" {
		return strings.Contains(filepath.Base(file), ".jsonl")
	}
	return r.Format == "json"
}

func (w *restoring) close() {
	w.bar.end()
	for _, p := range w.publishers {
		p.close()
	}
}

// file publishes one file, from where an interrupted restore of it has stopped,
// to its end or to where it breaks.
func (w *restoring) file(ctx context.Context, file string) error {
	note, err := w.begin(file)
	if err != nil {
		return err
	}
	in, note, err := w.resume(ctx, file, note)
	if err != nil {
		w.broke(in, err)
		return nil
	}
	defer in.Close()
	w.bar.begin(filepath.Base(file), in.Size())
	done := &w.files[len(w.files)-1]
	for saved := time.Now(); ctx.Err() == nil; {
		batches, end := w.read(in)
		for _, b := range batches { // all of them, or it is not known how far it is
			if err := w.publish(b); err != nil {
				return errors.Join(fmt.Errorf("%s, up to line %d: %w", file, in.lines, err), w.save(file, note))
			}
			w.messages += int64(len(b.messages))
			done.Messages += int64(len(b.messages))
		}
		done.Lines = in.lines
		note.Lines, note.Sum = in.lines, in.sum
		w.bar.at(in.Position())
		if end != nil {
			if !errors.Is(end, io.EOF) {
				w.broke(in, end)
			}
			break
		}
		if time.Since(saved) >= w.r.SaveEach {
			saved = time.Now()
			if err := w.save(file, note); err != nil {
				return err
			}
		}
	}
	return w.save(file, note)
}

// broke notes where the file breaks; in may be nil, if that is at its beginning.
func (w *restoring) broke(in *archiveLines, err error) {
	f := &w.files[len(w.files)-1]
	f.Breaks = err.Error()
	if in != nil {
		f.Lines = in.lines
	}
}

// topicBatch is a batch for one topic.
type topicBatch struct {
	topic string
	batch
}

// readAtOnce is how many bytes of bodies are read before they are published.
const readAtOnce = 8 << 20

// most is how many lines are read before they are published.
func (r *restoreCommand) most() int {
	most := max(1, r.Batch)
	if r.Rate > 0 {
		most = min(most, max(1, int(r.Rate/20)))
	}
	return most
}

// read reads the next lines as batches, for each topic one. The end is io.EOF, or
// why nothing more can be read; what was read before is good.
func (w *restoring) read(in *archiveLines) (list []topicBatch, end error) {
	at, bytes, from := make(map[string]int), 0, in.lines
	for in.lines-from < int64(w.r.most()) && bytes < readAtOnce {
		line, err := in.next()
		if err != nil {
			return list, err
		}
		if len(line) == 0 {
			in.taken(line)
			continue
		}
		topic, m, err := w.message(in, line)
		if err != nil {
			return list, fmt.Errorf("line %d: %w", in.lines+1, err)
		}
		in.taken(line)
		i, ok := at[topic]
		if !ok || list[i].bytes+len(m.body) > tcpclient.MaxBatch {
			i = len(list)
			at[topic] = i
			list = append(list, topicBatch{topic, batch{from: in.lines}})
		}
		list[i].messages = append(list[i].messages, m)
		list[i].bytes += len(m.body)
		bytes += len(m.body)
	}
	return list, nil
}

// message is what a line says and where it goes.
func (w *restoring) message(in *archiveLines, line []byte) (topic string, m outgoing, err error) {
	topic = w.r.Topic
	if !in.records {
		return topic, outgoing{body: append([]byte(nil), line...)}, nil
	}
	if topic == "" {
		var r struct{ Topic string }
		if err := json.Unmarshal(line, &r); err == nil && r.Topic == "" {
			return "", m, errors.New("it names no topic; --topic does")
		}
		topic = r.Topic
	}
	m, err = parseRecord(line)
	m.delay = 0 // it was over when the message was archived
	return topic, m, err
}

// publish publishes a batch and waits for the answer.
func (w *restoring) publish(b topicBatch) error {
	ctx := context.Background()
	p := w.publishers[b.topic]
	if p == nil {
		p = &publisher{topic: b.topic, all: w.r.To == "all", rate: w.r.Rate, start: time.Now()}
		for _, at := range w.nodes {
			p.producers = append(p.producers, tcpclient.NewProducer(at, w.cluster.tcp(userAgent())))
		}
		if err := p.connect(ctx); err != nil {
			return err
		}
		w.publishers[b.topic] = p
	}
	p.pace(ctx)
	if err := p.send(b.batch); err != nil {
		return err
	}
	return p.awaitAnswers(0)
}
