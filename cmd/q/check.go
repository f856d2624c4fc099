package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"qmq/broker"
	replicated "qmq/cluster"
	"qmq/daemon"
	"qmq/internal/vfs"
)

// checkCommand is q check.
type checkCommand struct {
	DataPath string `arg:"" name:"data-path" complete:"dir" help:"Data directory of a qd that does not run."`
	JSON     bool   `name:"json" help:"Write what was found as one line of JSON."`

	Repair      bool     `help:"Do what a start of qd does to mend the directory, serve nobody, and check it again."`
	Adopt       []string `placeholder:"DIRECTORY[=TOPIC]" help:"With --repair: have the directory of a topic that the journal does not know be a topic again, of another name if one is given; all: all such directories. May be repeated."`
	Acknowledge bool     `help:"With --repair: note that what is left was seen, so that neither this nor the node tells of it any more."`
}

// Help says what the exit code means, and has the examples.
func (*checkCommand) Help() string {
	return `Every record of every topic is read and verified, and so are the indexes, metadata.json, and what a start reads of the journal; then it is looked at whether they agree. Of a member of a replicated set the raft log, the checkpoints of its shards and the logs of its replicated topics are read too, as far as the checkpoints have them: what is behind that is applied again from the raft log. What is damaged there the other members may have, and each finding says what the node will do. Nothing is changed without --repair. A directory that a qd has in use is refused. It takes about a second for each 1 GB or 10 million messages.

--repair removes nothing that is damaged or unknown: the bytes of damaged records are kept in files of their own, indexes and metadata.json that are wrong get names that end in .aside, and what the journal lost is made again as far as anything tells of it. Messages that are lost stay so. The directory of a member of a replicated set is refused. A signal ends it when it is through.

Exit codes: 0, nothing is amiss, or nothing that was not acknowledged at the node; 1, something is; 2, the directory could not be checked.

` + examples(
		"look at the data of a node that was stopped", `q check /var/lib/qd`,
		"mend it, and have what no journal knows be topics again", `q check --repair --adopt=all /var/lib/qd`,
		"what is damaged, for a script", `q check --json /var/lib/qd | jq '.findings[]'`,
	)
}

// uncheckedError keeps a directory from being checked.
type uncheckedError struct{ error }

func (e *uncheckedError) Unwrap() error { return e.error }

// Run checks a data directory, and mends it if it is told to.
func (k *checkCommand) Run(c console) error {
	if !k.Repair && (len(k.Adopt) > 0 || k.Acknowledge) {
		return &uncheckedError{errors.New("--adopt and --acknowledge change something: they need --repair")}
	}
	ctx, stop := c.untilSignal()
	defer stop()
	if k.Repair {
		return k.repair(c)
	}
	type result struct {
		*broker.Checked
		err error
	}
	results := make(chan result, 1)
	go func() {
		checked, err := broker.Check(broker.CheckOptions{FS: vfs.OS, DataPath: k.DataPath, BootID: daemon.BootID(), Set: replicated.Check})
		results <- result{checked, err}
	}()
	select {
	case <-ctx.Done():
		return &interrupted{"nothing was changed"} // the rest of it ends with the process
	case r := <-results:
		if r.err != nil {
			return &uncheckedError{explainReading(k.DataPath, r.err)}
		}
		return k.tell(c.out, r.Checked)
	}
}

// explainReading says why a data directory cannot be read, and what to do.
func explainReading(dir string, err error) error {
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%s is in use: stop the qd that runs on it first", dir)
	case errors.Is(err, broker.ErrNoData):
		return err
	case errors.Is(err, broker.ErrMember):
		return fmt.Errorf("%s is not repaired: %w", dir, err)
	default:
		return fmt.Errorf("%s cannot be read: %w", dir, err)
	}
}

// tell writes what was found. Its error is what is amiss.
func (k *checkCommand) tell(w io.Writer, checked *broker.Checked) error {
	var err error
	if k.JSON {
		err = printJSON(w, checked)
	} else {
		err = printCheck(w, checked)
	}
	if err != nil {
		return &uncheckedError{err}
	}
	if n := checked.Amiss(); n > 0 {
		return fmt.Errorf("%s: %s", k.DataPath, plural(int64(n), "finding"))
	}
	return nil
}

// printCheck writes a line for each topic, and then the findings.
func printCheck(out io.Writer, checked *broker.Checked) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	type topic struct {
		shard uint32
		name  string
	}
	amiss := make(map[topic]int)
	for _, f := range checked.Findings {
		if !f.Acknowledged {
			amiss[topic{f.Shard, f.Topic}]++
		}
	}
	ofSet := slices.ContainsFunc(checked.Topics, func(t broker.CheckedTopic) bool { return t.Shard > 0 })
	shard := func(text string) string {
		if !ofSet {
			return ""
		}
		return text + "\t"
	}
	if len(checked.Topics) > 0 {
		fmt.Fprintln(w, shard("SHARD")+"TOPIC\tCHANNELS\tSEGMENTS\tMESSAGES\tBYTES\t")
	} else {
		fmt.Fprintln(w, "no topics")
	}
	for _, t := range checked.Topics {
		verdict, of := "ok", "-"
		if n := amiss[topic{t.Shard, t.Name}]; n > 0 {
			verdict = plural(int64(n), "finding")
		}
		if t.Shard > 0 {
			of = fmt.Sprint(t.Shard)
		}
		fmt.Fprintf(w, "%s%s\t%d\t%d\t%d\t%d\t%s\n", shard(of), t.Name, len(t.Channels), t.Segments, t.Messages, t.Bytes, verdict)
	}
	if checked.Entries > 0 {
		fmt.Fprintf(w, "\nbehind the checkpoints the set's log has %s, which a start applies again: what came with them is not counted here\n", plural(int64(checked.Entries), "entry"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range checked.Findings {
		if _, err := fmt.Fprintln(out, "\n"+findingText(&f)); err != nil {
			return err
		}
	}
	if len(checked.Findings) > 0 {
		return nil
	}
	_, err := fmt.Fprintln(out, "\nnothing is amiss")
	return err
}

// findingText is a finding over three lines: what it is about, what was found,
// and where.
func findingText(f *broker.CheckedFinding) string {
	text, lost := string(f.Kind), " lost"
	if f.Shard > 0 {
		text += fmt.Sprintf(", shard %d", f.Shard)
		lost += " here"
	}
	if f.Topic != "" {
		text += ", topic " + f.Topic
	}
	if f.Channel != "" {
		text += ", channel " + f.Channel
	}
	switch {
	case f.From+1 == f.To:
		text += fmt.Sprintf(", number %d", f.From)
	case f.From < f.To:
		text += fmt.Sprintf(", numbers %d to %d", f.From, f.To-1)
	}
	if f.Messages > 0 {
		text += ", " + plural(int64(f.Messages), "message") + lost
	}
	if f.Acknowledged {
		text += " (acknowledged)"
	}
	return text + "\n  " + f.Text + "\n  " + f.Path
}
