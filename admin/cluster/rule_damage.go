package cluster

import (
	"fmt"
	"strings"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
)

// ruleDamage is the name of the rule. It is about what a node has lost, not about
// how it is: in spite of the line, the node runs.
const ruleDamage = "damage"

// damageInput: a node found something amiss on its disk that nobody acknowledged.
func (c *Cluster) damageInput(n *node) alertInput {
	l := nodeAlert(ruleDamage, LevelCrit, n)
	damaged := n.damage != nil
	if damaged {
		l.Text = damageText(n.damage)
		switch {
		case n.damage.Messages > 0:
			l.Value, l.Unit = Figure(n.damage.Messages), "lost"
		case len(n.damage.Findings) > 0 && countKind(n.damage, "unopenable") == 0:
			l.Level, l.Icon = LevelWarn, string(LevelWarn)
		}
	}
	return alertInput{alert: l, starts: damaged, ends: !damaged, past: "Acknowledged: " + lowered(l.Text)}
}

// damageText sums up what a node found.
func damageText(d *nodeclient.Damage) string {
	var says []string
	if d.Messages > 0 {
		says = append(says, fmt.Sprintf("lost %s to damage on disk", words.Count(d.Messages, "message")))
	}
	for _, k := range []struct{ kind, one, many string }{
		{"unopenable", "a topic cannot be opened", "topics cannot be opened"},
		{"unknown_directory", "the directory of an unknown topic is kept", "directories of unknown topics are kept"},
		{"reconstructed", "a topic or channel was reconstructed", "topics or channels were reconstructed"},
		{"journal", "a part of its journal is lost", "parts of its journal are lost"},
		{"foreign", "a file that is no segment is kept", "files that are no segments are kept"},
		{"header", "the header of a segment is damaged", "headers of segments are damaged"},
		{"misplaced", "a segment has the name of another", "segments have the names of others"},
	} {
		switch n := countKind(d, k.kind); {
		case n == 0 || k.kind == "journal" && d.JournalBytes > 0:
		case n == 1:
			says = append(says, k.one+subjectOf(d, k.kind))
		default:
			says = append(says, fmt.Sprintf("%d %s", n, k.many))
		}
	}
	switch {
	case d.JournalBytes > 0 && d.Messages == 0:
		says = append(says, fmt.Sprintf("could not read %s of its journal; messages may be delivered again", words.Count(d.JournalBytes, "byte")))
	case len(says) == 0:
		says = append(says, "found something amiss on its disk")
	}
	return words.Capital(strings.Join(says, "; "))
}

// countKind counts findings of a kind.
func countKind(d *nodeclient.Damage, kind string) (n int64) {
	for _, f := range d.Findings {
		if f.Kind == kind {
			n++
		}
	}
	for _, s := range d.Older {
		if s.Kind == kind {
			n += s.Findings
		}
	}
	return n
}

// subjectOf names what the only finding of a kind is about.
func subjectOf(d *nodeclient.Damage, kind string) string {
	for _, f := range d.Findings {
		if f.Kind == kind && f.Topic != "" {
			return " (" + Pair{f.Topic, f.Channel}.String() + ")"
		}
	}
	return ""
}

// lowered goes on with a sentence.
func lowered(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToLower(text[:1]) + text[1:]
}
