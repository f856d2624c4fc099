package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"qmq/settings"
)

// Reference is docs/configuration.md: all options of the three daemons, from the
// declarations by which command lines and files are read.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceIntroduction)
	for _, d := range []struct {
		name, about string
		declare     func(hostname string) []section
	}{
		{"qd", "The node. Names, types and defaults are nsqd's where nsqd has the option.", new(QD).declare},
		{"qlookupd", "The directory. Names, types and defaults are nsqlookupd's where nsqlookupd has the option.", new(QLookupd).declare},
		{"qadmin", "The page. Names, types and defaults are nsqadmin's where nsqadmin has the option.", new(QAdmin).declare},
	} {
		fmt.Fprintf(&b, "\n## %s\n%s\n", d.name, d.about)
		// What differs between two hosts has its default from the host's name.
		elsewhere := tableOf(d.declare("another.example"))
		for _, s := range d.declare("host.example") {
			fmt.Fprintf(&b, "\n### %s: %s\n| flag | key | value | default | |\n|---|---|---|---|---|\n", d.name, s.title)
			for _, o := range slices.SortedFunc(slices.Values(s.options), func(a, b *option) int { return cmp.Compare(a.name, b.name) }) {
				o.reference(&b, elsewhere.named(o.name).typing().def)
			}
		}
	}
	b.WriteString(settingsIntroduction)
	settingsRows(&b, "Topics", settings.OfTopics())
	settingsRows(&b, "Channels", settings.OfChannels())
	return b.String()
}

const settingsIntroduction = `
## Settings of topics and channels
In the file of qd, tables set them for names that fit a pattern; the longest literal prefix wins, and what is set at run time beats the file ([settings.md](settings.md))
(` + "`GET` and `PUT /topic/config?topic=…`, `/channel/config?topic=…&channel=…`, JSON; `null` resets one" + `). Of a replicated topic they are the same on all members.
` + "```toml" + `
[topic."orders*"]
max_bytes = "10GiB"
overflow = "reject"

[channel."orders*/billing"]
max_attempts = 10
dead_letter_topic = "orders-dead"
` + "```" + `
`

// settingsRows is a table of settings.
func settingsRows(b *strings.Builder, of string, list []settings.Setting) {
	fmt.Fprintf(b, "\n### %s\n| key | value | |\n|---|---|---|\n", of)
	for _, s := range list {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.Name, inCell(s.Allowed), inCell(meanings[s.Name]))
	}
}

// meanings of settings, in a line each.
var meanings = map[string]string{
	"max_bytes":          "bytes that some channel, or the fan-out, has not finished",
	"max_messages":       "messages that some channel, or the fan-out, has not finished",
	"overflow":           "what is done at these two: the publish is refused, or the oldest messages are dropped in all channels; one in flight is spared until its delivery ends",
	"max_age":            "age at which a message expires, from its publish, or from when it was due",
	"sync":               "when a publish is OK'd: on the disk, or in the kernel; as `--sync-every` for one topic",
	"retention_time":     "how long messages that all channels have finished are kept, for replay",
	"retention_bytes":    "bytes of messages that all channels have finished and that are kept, for replay",
	"key_from":           "where the body of a message says its key, if the publisher does not: a JSON pointer",
	"dedup_from":         "where the body of a message says its id, if the publisher does not: a JSON pointer, or all of the body is it",
	"dedup_window":       "how long after a message came another one with its id is a double: OK'd and not stored",
	"dedup_max_ids":      "ids that are known, 40 bytes of memory each; the oldest goes where there are more; not more than an eighth of the node's memory holds",
	"max_channels":       "channels, beyond which none is created; instead of `--max-channels`",
	"msg_timeout":        "time that consumers have for a message which asked for no other; not below `--msg-timeout`",
	"max_attempts":       "deliveries after which a message goes to the dead-letter topic",
	"dead_letter_topic":  "where those messages go; needed with `max_attempts`",
	"max_in_flight":      "messages that are in flight to all consumers of the channel on a node",
	"rate":               "deliveries per second of the channel on a node",
	"ordered":            "whether the messages of each key, or all of the channel, are delivered one after the other, in the order of their publishes; not with `prioritised`",
	"after_max_attempts": "what becomes of a message after `max_attempts` where messages are `ordered`: it goes to the dead-letter topic, or it stays and what comes after it waits",
	"prioritised":        "whether messages of a higher priority are delivered before others that wait",
}

const referenceIntroduction = `# Configuration

All options of the daemons, generated from the declarations by which they are read (` + "`q reference configuration`" + `); ` + "`qd --help`" + ` says the same.
The options of ` + "`q`" + ` are in [q.md](q.md).

- A flag is written ` + "`--name=value`" + ` or ` + "`-name value`" + `; that of a switch only with ` + "`=`" + `, and alone it means true.
- ` + "`--config=FILE`" + ` reads a TOML file with the keys below at its top. The command line comes before the file, the file before the default.
  [deploy/config](../deploy/config) has a file to begin with for each daemon.
- All mistakes are told at once, with what is allowed, and stop the start. An unknown key is a warning that names the nearest one, with
  ` + "`--strict-config`" + ` a mistake; so is always one that is nearest to an option that keeps somebody out (*door*), and an empty value of one of these.
- A duration is written ` + "`250ms`" + `, ` + "`30s`" + ` or ` + "`1h30m`" + `; a number in the file counts milliseconds. A list is a repeated flag, or an array in the file.
- ` + "`GET /config/KEY`" + ` tells a value while the daemon runs, without secrets in URLs; ` + "`PUT /config/KEY`" + ` changes one that is *changeable*, until the restart.
- Options *without effect* are accepted for the sake of scripts that have them, and reported once.
`

// reference is the option's row. Elsewhere is its default on another host.
func (o *option) reference(b *strings.Builder, elsewhere string) {
	t := o.typing()
	value := t.word
	if t.word == "word" || t.word == "bool-like" {
		value = t.expects
	} else if t.unit != "" && t.unit != t.word {
		value += ", " + t.unit
	}
	for _, allowed := range t.allowed {
		value += "; " + allowed
	}
	if t.repeats {
		value += "; repeatable"
	}
	def := ""
	switch {
	case t.def != elsewhere:
		def = "by the host name"
	case t.def != "" && t.def != `""`:
		def = "`" + t.def + "`"
	}
	key := ""
	if o.key != "" {
		key = "`" + o.key + "`"
	}
	fmt.Fprintf(b, "| `--%s` | %s | %s | %s | %s%s |\n", o.name, key, inCell(value), def, o.marks(), inCell(o.help))
}

// marks are what is special about the option.
func (o *option) marks() string {
	var marks []string
	if o.door {
		marks = append(marks, "*door*")
	}
	if o.live {
		marks = append(marks, "*changeable*")
	}
	if len(marks) == 0 {
		return ""
	}
	return strings.Join(marks, ", ") + ": "
}

// inCell is a text as it stands in a cell of a table.
func inCell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(text)
}
