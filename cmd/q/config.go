package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"qmq/internal/apiclient"
	"qmq/internal/nearest"
	"qmq/internal/nodeclient"
	qsettings "qmq/settings"
)

// topicConfig is q topics config.
type topicConfig struct {
	Topic    string   `arg:"" complete:"topic" help:"Its name."`
	Settings []string `arg:"" optional:"" name:"setting=value" complete:"topic-setting" help:"What to set, such as max_age=24h or max_bytes=10GiB; with nothing behind the = a setting is reset."`
	configuring
}

// Help has the settings and examples.
func (*topicConfig) Help() string {
	return settingsHelp(qsettings.OfTopics()) + examples(
		"what is in force on each node", `q topics config orders`,
		"keep a day of messages that nobody takes, and 10 GiB at most", `q topics config orders max_age=24h max_bytes=10GiB overflow=drop-oldest`,
		"take a setting back", `q topics config orders max_age=`,
	)
}

// Run shows or sets settings of a topic.
func (t *topicConfig) Run(c console) error {
	return t.run(c, topicChange("config", t.Topic), t.Settings, qsettings.OfTopics())
}

// channelConfig is q channels config.
type channelConfig struct {
	Topic    string   `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel  string   `arg:"" complete:"channel" help:"Its name."`
	Settings []string `arg:"" optional:"" name:"setting=value" complete:"channel-setting" help:"What to set, such as max_in_flight=100; with nothing behind the = a setting is reset."`
	configuring
}

// Help has the settings and examples.
func (*channelConfig) Help() string {
	return settingsHelp(qsettings.OfChannels()) + examples(
		"what is in force on each node", `q channels config orders billing`,
		"give a message up after 10 deliveries", `q channels config orders billing max_attempts=10 dead_letter_topic=orders.dead`,
	)
}

// Run shows or sets settings of a channel.
func (t *channelConfig) Run(c console) error {
	return t.run(c, channelChange("config", t.Topic, t.Channel), t.Settings, qsettings.OfChannels())
}

func settingsHelp(list []qsettings.Setting) string {
	var b strings.Builder
	b.WriteString("What is set holds from then on, over restarts too, until it is reset: then it is again what patterns of the node's TOML file say, or the default. The settings, and what each may be:\n\n")
	for _, s := range list {
		fmt.Fprintf(&b, "  %s  %s\n", s.Name, s.Allowed)
	}
	return b.String() + "\n"
}

// configuring is what commands have that show and set settings.
type configuring struct {
	JSON bool `name:"json" help:"Print JSON, an object a node."`
	reach
}

// nodeConfig is what a node says of settings, as JSON prints it.
type nodeConfig struct {
	Node string `json:"node"`
	nodeclient.Config
}

func (r *configuring) run(c console, what on, pairs []string, list []qsettings.Setting) error {
	if err := what.check(); err != nil {
		return err
	}
	change, err := changeOf(pairs, list)
	if err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := r.open()
	if err != nil {
		return err
	}
	defer cl.close()
	found, err := cl.configure(ctx, what, change)
	if len(found) == 0 {
		return err
	}
	return errors.Join(err, r.print(c, found, list))
}

// changeOf makes the JSON object that sets what pairs of a key and a value say; nil where
// there is none.
func changeOf(pairs []string, list []qsettings.Setting) ([]byte, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	change := make(map[string]any)
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		known := slices.ContainsFunc(list, func(s qsettings.Setting) bool { return s.Name == key })
		switch {
		case !ok:
			return nil, fmt.Errorf("%q sets nothing: it must be SETTING=VALUE", pair)
		case !known:
			return nil, noSetting(key, settingNames(list))
		case value == "":
			change[key] = nil
		case json.Valid([]byte(value)):
			change[key] = json.RawMessage(value)
		default:
			change[key] = value
		}
	}
	return json.Marshal(change)
}

// noSetting refuses a setting that there is not, with the one that was meant or with all there are.
func noSetting(key string, names []string) error {
	if name, ok := nearest.Word(key, names); ok {
		return fmt.Errorf("there is no setting %s, did you mean %q?", key, name)
	}
	return fmt.Errorf("there is no setting %s, only %s", key, strings.Join(names, ", "))
}

func settingNames(list []qsettings.Setting) (names []string) {
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}

// configure asks all nodes that have the topic what is in force, after a change if there
// is one. A node that does not have it any more is content; if none has it, it is not
// there.
func (c *cluster) configure(ctx context.Context, o on, change []byte) (found []nodeConfig, err error) {
	nodes, err := c.httpNodes(ctx, o.topic)
	if err != nil {
		return nil, err
	}
	var failed byNode
	for _, n := range nodes {
		is, err := c.nodes.Configure(ctx, n.HTTP, o.kind, o.topic, o.channel, change)
		switch {
		case err == nil:
			is.Settings = nil // which q knows
			found = append(found, nodeConfig{n.Name, *is})
		case !apiclient.IsStatus(err, 404):
			failed.add(n.Name, whyNotSet(err))
		}
	}
	if len(found) == 0 && len(failed) == 0 {
		return nil, fmt.Errorf("there is no %s", o)
	}
	return found, failed.join()
}

// byNode is what went wrong, with the nodes that say so.
type byNode []nodeFailure

type nodeFailure struct {
	nodes []string
	err   error
}

func (b *byNode) add(name string, err error) {
	for i, f := range *b {
		if f.err.Error() == err.Error() {
			(*b)[i].nodes = append(f.nodes, name)
			return
		}
	}
	*b = append(*b, nodeFailure{[]string{name}, err})
}

// join is all of it as one error, nil where there is none: what several nodes say is said
// once.
func (b byNode) join() error {
	var errs []error
	for _, f := range b {
		errs = append(errs, fmt.Errorf("%s: %w", strings.Join(f.nodes, ", "), f.err))
	}
	return errors.Join(errs...)
}

// whyNotSet is what a node says of settings that it refuses.
func whyNotSet(err error) error {
	if code, why, _ := apiclient.Refusal(err); code == "INVALID_CONFIG" {
		return errors.New(why)
	}
	return refusalOf(err)
}

// print prints what is in force, a table for all nodes that say the same.
func (r *configuring) print(c console, found []nodeConfig, list []qsettings.Setting) error {
	if r.JSON {
		for _, f := range found {
			if err := printJSON(c.out, f); err != nil {
				return err
			}
		}
		return nil
	}
	for len(found) > 0 {
		first := found[0]
		same := func(f nodeConfig) bool { return f.String() == first.String() }
		var names []string
		for _, f := range found {
			if same(f) {
				names = append(names, f.Node)
			}
		}
		found = slices.DeleteFunc(found, same)
		fmt.Fprintf(c.out, "On %s:\n", strings.Join(names, ", "))
		var rows [][]any
		for _, s := range list {
			value, ok := first.Config.Config[s.Name]
			if !ok {
				continue // it does not apply here
			}
			origin := "default"
			if _, set := first.Set[s.Name]; set {
				origin = "set"
			} else if pattern, is := first.Patterns[s.Name]; is {
				origin = "pattern " + pattern
			}
			rows = append(rows, []any{s.Name, string(value), origin})
		}
		printTable(c.out, []string{"setting", "value", "from"}, rows)
	}
	return nil
}
