package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"qmq/internal/apiclient"
	"qmq/internal/names"
	"qmq/internal/nodeclient"
)

// topicsCommand is q topics.
type topicsCommand struct {
	List    topicsList   `cmd:"" default:"withargs" help:"List topics."`
	Create  topicCreate  `cmd:"" help:"Make a topic."`
	Pause   topicPause   `cmd:"" help:"Have messages wait in a topic: its channels get nothing more."`
	Unpause topicUnpause `cmd:"" help:"Undo pause."`
	Config  topicConfig  `cmd:"" help:"Show the settings of a topic, or set some."`
	Empty   topicEmpty   `cmd:"" help:"Drop what waits in a topic. What its channels have stays."`
	Delete  topicDelete  `cmd:"" help:"Delete a topic with its channels and all messages."`
}

// channelsCommand is q channels.
type channelsCommand struct {
	List    channelsList   `cmd:"" default:"withargs" help:"List channels."`
	Create  channelCreate  `cmd:"" help:"Make a channel."`
	Pause   channelPause   `cmd:"" help:"Deliver nothing more; the channel goes on filling."`
	Unpause channelUnpause `cmd:"" help:"Undo pause."`
	Rewind  channelRewind  `cmd:"" help:"Deliver everything again from a place in the log on."`
	Config  channelConfig  `cmd:"" help:"Show the settings of a channel, or set some."`
	Empty   channelEmpty   `cmd:"" help:"Drop what waits, is in flight or is deferred in a channel."`
	Delete  channelDelete  `cmd:"" help:"Delete a channel with its messages; its consumers are disconnected."`
}

// nodesCommand is q nodes.
type nodesCommand struct {
	List nodesList `cmd:"" default:"withargs" help:"List nodes."`
}

// clientsCommand is q clients.
type clientsCommand struct {
	List clientsList `cmd:"" default:"withargs" help:"List who consumes."`
}

// listing is what commands have that list something.
type listing struct {
	JSON bool `name:"json" help:"Print JSON, an object a line."`
	reach
}

// list prints figures, an object a line or as a table.
func (l *listing) list(c console, by string, w nodeclient.Wanted) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := l.open()
	if err != nil {
		return err
	}
	defer cl.close()
	s, err := cl.oneSnapshot(ctx, w)
	if err != nil {
		return err
	}
	if err := s.missing(w.Topic, w.Channel); err != nil {
		return err
	}
	figures := s.figures(by)
	if !l.JSON {
		printFigures(c.out, by, figures, false)
		return nil
	}
	for _, f := range figures {
		if err := printJSON(c.out, f); err != nil {
			return err
		}
	}
	return nil
}

// topicsList is q topics list.
type topicsList struct {
	Topic string `arg:"" optional:"" complete:"topic" help:"Only this one."`
	listing
}

// Run lists topics.
func (l *topicsList) Run(c console) error {
	if l.Topic != "" && !names.Valid(l.Topic) {
		return noTopic(l.Topic)
	}
	return l.list(c, "topic", nodeclient.Wanted{Topic: l.Topic})
}

// channelsList is q channels list.
type channelsList struct {
	Topic   string `arg:"" optional:"" type:"topic-and-channel" complete:"topic" help:"Only those of this topic; or TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" complete:"channel" help:"Only this channel of it."`
	listing
}

// Run lists channels.
func (l *channelsList) Run(c console) error {
	return l.list(c, "channel", nodeclient.Wanted{Topic: l.Topic, Channel: l.Channel})
}

// clientsList is q clients list.
type clientsList struct {
	Topic   string `arg:"" optional:"" type:"topic-and-channel" complete:"topic" help:"Only those of this topic; or TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" complete:"channel" help:"Only those of this channel of it."`
	listing
}

// Run lists who consumes.
func (l *clientsList) Run(c console) error {
	return l.list(c, "client", nodeclient.Wanted{Topic: l.Topic, Channel: l.Channel, Clients: true})
}

// change is what commands have that change something on nodes.
type change struct {
	JSON bool `name:"json" help:"Say in JSON what was done."`
	reach
}

// changed is what was done, as JSON says it.
type changed struct {
	Topic       string   `json:"topic"`
	Channel     string   `json:"channel,omitempty"`
	Done        string   `json:"done"`
	Nodes       []string `json:"nodes"` // on which
	Directories bool     `json:"directories,omitempty"`
}

// on is a change of a topic or, if channel is not empty, of a channel.
type on struct{ kind, verb, topic, channel string }

func topicChange(verb, topic string) on { return on{"topic", verb, topic, ""} }

func channelChange(verb, topic, channel string) on { return on{"channel", verb, topic, channel} }

func (o on) String() string {
	if o.channel == "" {
		return "topic " + o.topic
	}
	return fmt.Sprintf("channel %s of topic %s", o.channel, o.topic)
}

func (o on) check() error {
	if !names.Valid(o.topic) {
		return noTopic(o.topic)
	}
	if o.kind == "channel" && !names.Valid(o.channel) {
		return fmt.Errorf("channel %q: %s", o.channel, names.Rule)
	}
	return nil
}

// act opens the cluster and does something with it, on nodes by name. What was done
// is said also where some of it failed.
func (r *change) act(c console, what on, do func(context.Context, *cluster) (nodes []string, err error)) error {
	if err := what.check(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := r.open()
	if err != nil {
		return err
	}
	defer cl.close()
	nodes, err := do(ctx, cl)
	if err != nil && len(nodes) == 0 {
		return err
	}
	told := changed{what.topic, what.channel, past[what.verb], nodes, len(cl.lookupds) > 0 && (what.verb == "create" || what.verb == "delete")}
	return errors.Join(err, r.tell(c, told, fmt.Sprintf("%s: %s on %s", what, told.Done, told.where())))
}

// tell says what was done, in JSON or as a line.
func (r *change) tell(c console, what changed, line string) error {
	if what.Nodes == nil {
		what.Nodes = []string{} // none, in JSON too
	}
	if r.JSON {
		return printJSON(c.out, what)
	}
	_, err := fmt.Fprintln(c.out, line)
	return err
}

func (c *changed) where() string {
	if len(c.Nodes) == 0 {
		return "the directories"
	}
	return plural(int64(len(c.Nodes)), "node")
}

var past = map[string]string{"create": "created", "pause": "paused", "unpause": "unpaused", "empty": "emptied", "delete": "deleted", "rewind": "rewound"}

// everywhere makes a change on all nodes that have the topic. A node that does
// not have it any more is content; if none has it, it is not there.
func (c *cluster) everywhere(ctx context.Context, o on) ([]string, error) {
	nodes, err := c.httpNodes(ctx, o.topic)
	if err != nil {
		return nil, err
	}
	return c.onNodes(ctx, nodes, o)
}

func (c *cluster) onNodes(ctx context.Context, nodes []node, o on) (done []string, err error) {
	var errs []error
	for _, n := range nodes {
		err := c.nodes.Change(ctx, n.HTTP, o.kind, o.verb, o.topic, o.channel)
		switch {
		case err == nil:
			done = append(done, n.Name)
		case !apiclient.IsStatus(err, 404):
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, refusalOf(err)))
		}
	}
	if len(done) == 0 && len(errs) == 0 {
		return nil, fmt.Errorf("there is no %s", o)
	}
	return done, errors.Join(errs...)
}

// topicCreate is q topics create.
type topicCreate struct {
	Topic string `arg:"" help:"Its name."`
	change
}

// Run makes a topic known to the directories, which makes it on a node with the
// first publish there; without directories, on the nodes.
func (t *topicCreate) Run(c console) error {
	o := topicChange("create", t.Topic)
	return t.act(c, o, func(ctx context.Context, cl *cluster) ([]string, error) {
		if len(cl.lookupds) > 0 {
			return nil, cl.lookup.CreateTopic(ctx, cl.lookupds, o.topic)
		}
		return cl.everywhere(ctx, o)
	})
}

// channelCreate is q channels create.
type channelCreate struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel string `arg:"" help:"Its name."`
	between
	Leaves bool `help:"With --until: delete it once it has had everything and has no consumers."`
	change
}

// Run makes a channel known to the directories and makes it on the nodes that
// have the topic.
func (t *channelCreate) Run(c console) error {
	o := channelChange("create", t.Topic, t.Channel)
	if t.given() {
		return t.replay(c, o, func(ctx context.Context, cl *cluster, address string) (nodeclient.Replay, error) {
			return cl.nodes.CreateBetween(ctx, address, t.Topic, t.Channel, string(t.From), string(t.Until), t.Leaves)
		})
	}
	return t.act(c, o, func(ctx context.Context, cl *cluster) ([]string, error) {
		nodes, err := cl.httpNodes(ctx, o.topic)
		if err != nil {
			return nil, err
		}
		if len(cl.lookupds) > 0 {
			if err := cl.lookup.CreateChannel(ctx, cl.lookupds, o.topic, o.channel); err != nil || len(nodes) == 0 {
				return nil, err
			}
		}
		return cl.onNodes(ctx, nodes, o)
	})
}

// topicPause is q topics pause.
type topicPause struct {
	Topic string `arg:"" complete:"topic" help:"Its name."`
	change
}

// Run pauses a topic.
func (t *topicPause) Run(c console) error { return t.simply(c, topicChange("pause", t.Topic)) }

// topicUnpause is q topics unpause.
type topicUnpause struct {
	Topic string `arg:"" complete:"topic" help:"Its name."`
	change
}

// Run unpauses a topic.
func (t *topicUnpause) Run(c console) error { return t.simply(c, topicChange("unpause", t.Topic)) }

// channelPause is q channels pause.
type channelPause struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel string `arg:"" complete:"channel" help:"Its name."`
	change
}

// Run pauses a channel.
func (t *channelPause) Run(c console) error {
	return t.simply(c, channelChange("pause", t.Topic, t.Channel))
}

// channelUnpause is q channels unpause.
type channelUnpause struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel string `arg:"" complete:"channel" help:"Its name."`
	change
}

// Run unpauses a channel.
func (t *channelUnpause) Run(c console) error {
	return t.simply(c, channelChange("unpause", t.Topic, t.Channel))
}

// simply makes a change that loses nothing.
func (r *change) simply(c console, o on) error {
	return r.act(c, o, func(ctx context.Context, cl *cluster) ([]string, error) { return cl.everywhere(ctx, o) })
}

// loss is what commands have that make messages go.
type loss struct {
	Yes bool `short:"y" help:"Do not ask."`
	change
}

// topicEmpty is q topics empty.
type topicEmpty struct {
	Topic string `arg:"" complete:"topic" help:"Its name."`
	loss
}

// Run empties a topic.
func (t *topicEmpty) Run(c console) error { return t.after(c, topicChange("empty", t.Topic)) }

// topicDelete is q topics delete.
type topicDelete struct {
	Topic string `arg:"" complete:"topic" help:"Its name."`
	loss
}

// Run deletes a topic.
func (t *topicDelete) Run(c console) error { return t.after(c, topicChange("delete", t.Topic)) }

// channelEmpty is q channels empty.
type channelEmpty struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel string `arg:"" complete:"channel" help:"Its name."`
	loss
}

// Run empties a channel.
func (t *channelEmpty) Run(c console) error {
	return t.after(c, channelChange("empty", t.Topic, t.Channel))
}

// channelDelete is q channels delete.
type channelDelete struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel string `arg:"" complete:"channel" help:"Its name."`
	loss
}

// Run deletes a channel.
func (t *channelDelete) Run(c console) error {
	return t.after(c, channelChange("delete", t.Topic, t.Channel))
}

// after makes a change that loses messages once somebody has seen how many.
func (l *loss) after(c console, o on) error {
	return l.act(c, o, func(ctx context.Context, cl *cluster) ([]string, error) {
		nodes, err := cl.httpNodes(ctx, o.topic)
		if err != nil {
			return nil, err
		}
		goes, err := cl.goes(ctx, nodes, o)
		if err != nil {
			return nil, err
		}
		if err := c.confirm(ctx, l.Yes, goes); err != nil {
			return nil, err
		}
		if o.verb == "delete" && len(cl.lookupds) > 0 {
			err = cl.forget(ctx, o)
		}
		if err != nil || len(nodes) == 0 {
			return nil, err
		}
		return cl.onNodes(ctx, nodes, o)
	})
}

// forget has the directories forget what is deleted, so that nobody looks for it
// or makes it again meanwhile.
func (c *cluster) forget(ctx context.Context, o on) error {
	if o.channel != "" {
		return c.lookup.DeleteChannel(ctx, c.lookupds, o.topic, o.channel)
	}
	return c.lookup.DeleteTopic(ctx, c.lookupds, o.topic)
}

// goes says what a change makes go.
func (c *cluster) goes(ctx context.Context, nodes []node, o on) (string, error) {
	var waiting, inChannels, channels, clients int64
	found := false
	for _, n := range nodes {
		stats, err := c.nodes.Stats(ctx, n.HTTP, nodeclient.Wanted{Topic: o.topic, Channel: o.channel}, new(nodeclient.Decoder))
		if err != nil {
			return "", fmt.Errorf("%s: %w", n.Name, err)
		}
		for _, t := range stats.Topics {
			found = found || o.channel == "" || len(t.Channels) > 0
			waiting += t.Depth
			channels = max(channels, int64(len(t.Channels)))
			for _, ch := range t.Channels {
				inChannels += ch.Depth + ch.InFlight + ch.Deferred
				clients += ch.ClientCount
			}
		}
	}
	switch {
	case !found && (len(c.lookupds) == 0 || o.verb != "delete"):
		return "", fmt.Errorf("there is no %s", o)
	case !found:
		return fmt.Sprintf("%s %s at the directories: no node has it", o.verb, o), nil
	}
	var parts []string
	if o.channel == "" {
		parts = append(parts, plural(waiting, "message")+" that wait for channels")
	}
	if o.channel == "" && o.verb == "delete" {
		parts = append(parts, plural(channels, "channel"))
	}
	if o.channel != "" || o.verb == "delete" {
		parts = append(parts, plural(inChannels, "message")+" in channels", "which "+plural(clients, "client")+" read")
	}
	return fmt.Sprintf("%s %s on %s: %s", o.verb, o, plural(int64(len(nodes)), "node"), strings.Join(parts, ", ")), nil
}
