package main

import (
	"slices"
	"unicode/utf8"
)

// answer is what a key asks for beside another look.
type answer int

const (
	lookAgain answer = iota // the view is drawn again
	askNow                  // what is shown now is to be asked for
	quit
	suspend
)

// key is a key that was pressed: a character, or a name such as "Enter".
func (v *topView) key(name string) answer {
	if name == "Ctrl-C" {
		return quit
	}
	if name == "Ctrl-Z" {
		return suspend
	}
	if v.helping {
		v.helping = false
		return lookAgain
	}
	if v.typing {
		v.typeFilter(name)
		return lookAgain
	}
	if by, ok := topKinds[name]; ok {
		v.moveTo(place{by: by, topic: v.at.topic, channel: v.channelFor(by), sort: v.at.sort, filter: v.at.filter})
		return askNow
	}
	switch name {
	case "q":
		return quit
	case "?", "h":
		v.helping = true
	case "/":
		v.typing = true
	case "r":
		v.rising = !v.rising
		v.refresh()
	case "<", "Left":
		v.sortBeside(-1)
	case ">", "Right":
		v.sortBeside(1)
	case " ":
		if v.frozen = !v.frozen; !v.frozen {
			return askNow
		}
	case "Enter":
		return v.drillIn()
	case "Esc", "Backspace":
		return v.out()
	default:
		v.travel(name)
	}
	return lookAgain
}

// channelFor is the channel that lines of a kind are limited to: topics are those
// of all channels.
func (v *topView) channelFor(by string) string {
	if by == "topic" {
		return ""
	}
	return v.at.channel
}

// travel moves what is chosen.
func (v *topView) travel(name string) {
	page := max(1, v.room()-1)
	switch name {
	case "Up", "k":
		v.move(-1)
	case "Down", "j":
		v.move(1)
	case "PgUp":
		v.move(-page)
	case "PgDn":
		v.move(page)
	case "Home", "g":
		v.move(-len(v.list))
	case "End", "G":
		v.move(len(v.list))
	}
}

// typeFilter takes a key while the filter is typed.
func (v *topView) typeFilter(name string) {
	switch name {
	case "Enter":
		v.typing = false
	case "Esc":
		v.typing, v.at.filter = false, ""
	case "Backspace":
		_, last := utf8.DecodeLastRuneInString(v.at.filter)
		v.at.filter = v.at.filter[:len(v.at.filter)-last]
	default:
		if utf8.RuneCountInString(name) == 1 {
			v.at.filter += name
		}
	}
	v.refresh()
}

// sortBeside sorts by the column so many beside the one it is sorted by.
func (v *topView) sortBeside(by int) {
	columns := columnsOf(v.at.by, true)
	i := slices.IndexFunc(columns, func(c column) bool { return c.head == v.sorting().head })
	v.at.sort = columns[(i+by+len(columns))%len(columns)].head
	v.refresh()
}

// drillIn shows what the chosen figure is made of: a topic's channels, a channel's
// clients.
func (v *topView) drillIn() answer {
	if len(v.list) == 0 {
		return lookAgain
	}
	f := v.list[v.index()]
	switch {
	case v.at.by == "client":
		return lookAgain
	case f.Channel != "":
		v.enter(place{by: "client", topic: f.Topic, channel: f.Channel, sort: "IN-FLIGHT"})
	default:
		v.enter(place{by: "channel", topic: f.Topic, sort: v.at.sort})
	}
	return askNow
}

// out undoes the filter, or goes back to where one came from.
func (v *topView) out() answer {
	if v.at.filter != "" {
		v.at.filter = ""
		v.refresh()
		return lookAgain
	}
	if len(v.above) == 0 {
		return lookAgain
	}
	last := len(v.above) - 1
	to := v.above[last]
	v.above = v.above[:last]
	v.moveTo(to)
	return askNow
}

// topHelp explains the keys.
func topHelp() (lines []topLine) {
	for _, line := range []string{
		"Keys of q top",
		"",
		"t c n l          topics, channels, topics and channels by node, clients",
		"Up Down PgUp PgDn Home End   choose a line (also k j g G)",
		"Enter            look into it: a topic's channels, a channel's clients",
		"Esc              undo the filter, or go back",
		"< >              sort by another column (also Left and Right)",
		"r                turn the order round",
		"/                show only names that hold a text: type it, then Enter",
		"Space            stand still, and go on",
		"q, Ctrl-C        quit",
		"",
		"IN/S and OUT/S are messages a second that came and that are done with; TREND is how IN/S went.",
		"DEPTH of a topic are messages that wait for channels, of a channel those that wait for consumers.",
		"",
		"Any key goes back.",
	} {
		lines = append(lines, topLine{line, plain})
	}
	lines[0].look = heading
	return lines
}
