package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"qmq/broker"
	"qmq/daemon"
	"qmq/internal/vfs"
	"qmq/message"
)

// dumpCommand is q dump.
type dumpCommand struct {
	DataPath string   `arg:"" name:"data-path" complete:"dir" help:"Data directory of a qd that does not run, or the directory of one topic in it, DATA_PATH/topics/…, which is read without the journal."`
	Topics   []string `arg:"" optional:"" name:"topic" help:"Only these topics."`

	Channel string `placeholder:"CHANNEL" help:"Only what this channel has not finished."`
	From    uint64 `placeholder:"SEQ" help:"Only from this number on."`
	To      uint64 `placeholder:"SEQ" help:"Only up to this number."`
	Limit   int    `short:"n" placeholder:"N" help:"Stop after so many messages."`
}

// Help says what a line holds and what the exit code means, and has the examples.
func (*dumpCommand) Help() string {
	return `Prints each message that is in the logs of a data directory, an object a line: topic, seq (its number in the topic), time (of the publish), size, batch (of an MPUB: first, middle, last or only), attributes (deliver_at of a deferred one; nsqd_id, the id that an imported one had there; others by their number, in base64), channels (those that have not finished it), and body, or body_base64 where it is no text. Messages that every channel has finished are there until their segment is given back. q pub --json-lines and q restore read these lines.

Nothing is changed. A directory that a qd has in use is refused. What is damaged is passed over and told on the standard error.

Exit codes: 0, all that was asked for is printed; 1, something of it is damaged or missing; 2, the directory could not be read.

` + examples(
		"all messages of a node that was stopped", `q dump /var/lib/qd`,
		"what billing has not finished, published to another node", `q dump /var/lib/qd orders --channel=billing | q pub orders --json-lines --addr=other.example:4150`,
		"one message", `q dump /var/lib/qd orders --from=1234 -n 1`,
		"a directory that no journal knows", `q dump /var/lib/qd/topics/orders-00000000000000a1`,
	)
}

// dumped is a line of q dump.
type dumped struct {
	Topic      string                `json:"topic"`
	Seq        uint64                `json:"seq"`
	Time       string                `json:"time"`
	Size       int                   `json:"size"`
	Batch      string                `json:"batch,omitempty"`
	Headers    []message.ShownHeader `json:"headers,omitempty"` // also key and priority
	Attributes map[string]string     `json:"attributes,omitempty"`
	Channels   []string              `json:"channels,omitempty"`
	Body       *string               `json:"body,omitempty"`
	Base64     []byte                `json:"body_base64,omitempty"`
}

func dumpedOf(d *broker.Dumped) dumped {
	line := dumped{
		Topic: d.Topic, Seq: d.Seq, Time: stamp(d.Timestamp), Size: len(d.Body),
		Batch: partOfBatch(d.Flags), Headers: d.ShownDescription(), Attributes: attributesOf(d.Attrs), Channels: d.Channels,
	}
	if utf8.Valid(d.Body) {
		text := string(d.Body)
		line.Body = &text
	} else {
		line.Base64 = d.Body
	}
	return line
}

// partOfBatch says which part of an MPUB a message was; empty: it was none.
func partOfBatch(flags message.Flags) string {
	first, last := flags&message.FlagBatchFirst != 0, flags&message.FlagBatchLast != 0
	switch {
	case first && last:
		return "only"
	case first:
		return "first"
	case last:
		return "last"
	case flags&message.FlagBatch != 0:
		return "middle"
	}
	return ""
}

// attributesOf are the attributes of a message by name, or number where this q
// knows no name.
func attributesOf(attrs []byte) map[string]string {
	if len(attrs) == 0 {
		return nil
	}
	list := make(map[string]string)
	for tag, value := range message.Attrs(attrs) {
		v := message.View{Attrs: message.AppendAttr(nil, tag, value)}
		if at, ok := v.DeliverAt(); ok {
			list["deliver_at"] = stamp(at * int64(time.Millisecond))
			continue
		}
		if id, ok := v.NSQID(); ok {
			list["nsqd_id"] = fmt.Sprintf("%016x", id)
			continue
		}
		if id, ok := v.DedupID(); ok {
			list["dedup_id"] = hex.EncodeToString(id[:])
			continue
		}
		if tag == message.AttrHeaders || tag == message.AttrKey || tag == message.AttrPriority {
			continue // they are among the headers
		}
		text, _ := json.Marshal(value)
		list[fmt.Sprint(tag)] = string(text[1 : len(text)-1])
	}
	return list
}

// errEnough ends a dump that was to stop after so many messages.
var errEnough = errors.New("enough")

// Run prints messages.
func (d *dumpCommand) Run(c console) error {
	if d.To > 0 && d.To < d.From || d.Limit < 0 {
		return errors.New("--to is --from at least, and --limit cannot be negative")
	}
	ctx, stop := c.untilSignal()
	defer stop()
	out := bufio.NewWriterSize(c.out, 64<<10)
	findings, err := d.print(ctx, out)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	for i := range findings {
		fmt.Fprintln(c.err, findingText(&findings[i]))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &interrupted{"nothing was changed"}
	case err != nil:
		return &uncheckedError{explainReading(d.DataPath, err)}
	case len(findings) > 0:
		return fmt.Errorf("%s: %s", d.DataPath, plural(int64(len(findings)), "finding"))
	}
	return nil
}

func (d *dumpCommand) print(ctx context.Context, out *bufio.Writer) ([]broker.CheckedFinding, error) {
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	o := broker.DumpOptions{
		CheckOptions: broker.CheckOptions{FS: vfs.OS, DataPath: d.DataPath, BootID: daemon.BootID()},
		Topics:       d.Topics, Channel: d.Channel, From: d.From,
	}
	if d.To > 0 {
		o.To = d.To + 1
	}
	printed := 0
	findings, err := broker.Dump(o, func(m *broker.Dumped) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := lines.Encode(dumpedOf(m)); err != nil {
			return err
		}
		if printed++; printed == d.Limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return findings, err
}
