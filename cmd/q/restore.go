package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"qmq/internal/archive"
	"qmq/internal/names"
	"qmq/internal/tcpclient"
)

// restoreCommand is q restore.
type restoreCommand struct {
	Files []string `arg:"" type:"existingfile" help:"Files that q archive or nsq_to_file has written, in the order in which they are published."`

	Topic    string        `placeholder:"TOPIC" help:"Topic to publish to. Default: the one each message came from, which only files of --format=json know."`
	Format   string        `enum:"auto,json,raw" default:"auto" help:"What a line is: json (an object, as q archive writes them), raw (a body). auto takes files whose name has .jsonl for json."`
	Rate     float64       `placeholder:"N" help:"Messages a second at most."`
	Batch    int           `default:"1000" help:"Messages of one command at most."`
	To       string        `enum:"round-robin,all" default:"round-robin" help:"Where there are several nodes: round-robin or all."`
	StateDir string        `name:"state-dir" placeholder:"DIR" help:"Where to note how far a file is restored. Default: beside the file."`
	Again    bool          `help:"Begin at the beginning of files that were restored in part."`
	SaveEach time.Duration `hidden:"" default:"1s"`

	reach
}

// Help has the promise and the examples.
func (*restoreCommand) Help() string {
	return `What was OK'd is noted beside each file (FILE.restoring), so that the same command goes on where one was interrupted; with the file it is removed at the end. After an interruption by a signal nothing is published twice; after a kill, or a lost connection, at most what was OK'd in the second before.

` + examples(
		"publish an archive again", `q restore /var/archive/orders.*.jsonl.zst`,
		"under another name, 1000 a second", `q restore orders.*.jsonl --topic=orders-replayed --rate=1000`,
		"lines of nsq_to_file", `q restore /tmp/orders.host.2024-05-01_10.log --topic=orders`,
	)
}

// progressNote is what FILE.restoring holds.
type progressNote struct {
	Lines int64  `json:"lines"` // that were OK'd
	Topic string `json:"topic"` // of --topic
	Nodes string `json:"nodes"` // that were published to
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
	torn       []string
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
	w := &restoring{r: r, cluster: cl, nodes: nodes, publishers: make(map[string]*publisher), bar: newBar(c.err)}
	defer w.close()
	for _, file := range r.Files {
		if err := w.file(ctx, file); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &interrupted{fmt.Sprintf("%s published; the same command goes on from there", plural(w.messages, "message"))}
		}
	}
	w.bar.end()
	fmt.Fprintf(c.out, "%s of %s published\n", plural(w.messages, "message"), plural(int64(len(r.Files)), "file"))
	for _, file := range w.torn {
		fmt.Fprintf(c.err, "q: %s ends in the middle of a message; what was before it is published\n", file)
	}
	return nil
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

// file publishes one file, from where an interrupted restore of it has stopped.
func (w *restoring) file(ctx context.Context, file string) error {
	in, err := archive.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	note, err := w.begin(file)
	if err != nil {
		return err
	}
	w.bar.begin(filepath.Base(file), in.Size())
	var lines int64
	for saved := time.Now(); ; {
		if ctx.Err() != nil {
			return w.save(file, note)
		}
		batches, n, end, err := w.read(in, file, lines, &note)
		if err != nil {
			return errors.Join(err, w.save(file, note))
		}
		for _, b := range batches { // all of them, or it is not known how far it is
			if err := w.publish(b); err != nil {
				return errors.Join(fmt.Errorf("%s, up to line %d: %w", file, lines+n, err), w.save(file, note))
			}
			w.messages += int64(len(b.messages))
		}
		lines += n
		note.Lines = max(note.Lines, lines)
		w.bar.at(in.Position())
		if end {
			return w.done(file)
		}
		if time.Since(saved) >= w.r.SaveEach {
			saved = time.Now()
			if err := w.save(file, note); err != nil {
				return err
			}
		}
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

// read reads the next lines as batches, for each topic one, and leaves out those
// that were published before.
func (w *restoring) read(in *archive.Reader, file string, from int64, note *progressNote) (list []topicBatch, lines int64, end bool, err error) {
	at, bytes := make(map[string]int), 0
	for lines < int64(w.r.most()) && bytes < readAtOnce {
		line, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list, lines, true, nil
		}
		if errors.Is(err, archive.ErrTorn) {
			w.torn = append(w.torn, file)
			return list, lines, true, nil
		}
		if err != nil {
			return list, lines, false, err
		}
		lines++
		if from+lines <= note.Lines || len(line) == 0 {
			continue
		}
		topic, body, err := w.message(file, line)
		if err != nil {
			return list, lines, false, fmt.Errorf("%s: line %d: %w", file, from+lines, err)
		}
		i, ok := at[topic]
		if !ok || list[i].bytes+len(body) > tcpclient.MaxBatch {
			i = len(list)
			at[topic] = i
			list = append(list, topicBatch{topic, batch{from: from + lines}})
		}
		list[i].messages = append(list[i].messages, outgoing{body: body})
		list[i].bytes += len(body)
		bytes += len(body)
	}
	return list, lines, false, nil
}

// message is what a line says and where it goes.
func (w *restoring) message(file string, line []byte) (topic string, body []byte, err error) {
	topic = w.r.Topic
	if !w.r.records(file) {
		return topic, append([]byte(nil), line...), nil
	}
	if topic == "" {
		var r struct{ Topic string }
		if json.Unmarshal(line, &r); r.Topic == "" {
			return "", nil, errors.New("it names no topic; --topic does")
		}
		topic = r.Topic
	}
	body, _, err = parseRecord(line)
	return topic, body, err
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

// notePath is where it is noted how far a file is restored.
func (w *restoring) notePath(file string) string {
	if w.r.StateDir != "" {
		return filepath.Join(w.r.StateDir, filepath.Base(file)+".restoring")
	}
	return file + ".restoring"
}

// begin is how far a file was restored before. It makes sure that this can be
// noted.
func (w *restoring) begin(file string) (progressNote, error) {
	fresh := progressNote{Topic: w.r.Topic, Nodes: strings.Join(w.nodes, ",")}
	text, err := os.ReadFile(w.notePath(file))
	if errors.Is(err, fs.ErrNotExist) || w.r.Again {
		if err := w.save(file, fresh); err != nil {
			return fresh, fmt.Errorf("how far the restore is cannot be noted (--state-dir says where): %w", err)
		}
		return fresh, nil
	}
	if err != nil {
		return fresh, err
	}
	var note progressNote
	if err := json.Unmarshal(text, &note); err != nil {
		return fresh, fmt.Errorf("%s: %w; --again begins at the beginning", w.notePath(file), err)
	}
	if note.Topic != fresh.Topic || note.Nodes != fresh.Nodes {
		return fresh, fmt.Errorf("%s was restored in part to other nodes or another topic (%s %s); --again begins at the beginning", file, note.Nodes, note.Topic)
	}
	return note, nil
}

// save notes how far a file is restored.
func (w *restoring) save(file string, note progressNote) error {
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	path := w.notePath(file)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o666); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// done forgets about a file that is restored.
func (w *restoring) done(file string) error {
	err := os.Remove(w.notePath(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
