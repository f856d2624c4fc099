package main

import (
	"cmp"
	"strings"
	"time"
)

// column is one of a table of figures.
type column struct {
	head string
	// spare says how well one does without it where there is no room: the highest
	// goes first, 0 never.
	spare int
	of    func(*figure) any
}

// columnsOf are the columns of figures of a kind, with rates or without.
func columnsOf(by string, rates bool) []column {
	topic := column{"TOPIC", 0, func(f *figure) any { return f.Topic }}
	channel := column{"CHANNEL", 0, func(f *figure) any { return f.Channel }}
	node := column{"NODE", 0, func(f *figure) any { return f.Node }}
	state := column{"STATE", 4, func(f *figure) any { return state(f) }}
	clients := column{"CLIENTS", 2, func(f *figure) any { return f.Clients }}
	depth := column{"DEPTH", 0, func(f *figure) any { return f.Depth }}
	disk := column{"DISK", 8, func(f *figure) any { return f.Disk }}
	inFlight := column{"IN-FLIGHT", 1, func(f *figure) any { return f.InFlight }}
	requeued := column{"REQUEUED", 5, func(f *figure) any { return f.Requeued }}
	messages := column{"MESSAGES", 3, func(f *figure) any { return f.Messages }}
	var list []column
	switch by {
	case "topic":
		list = []column{topic, state,
			{"NODES", 5, func(f *figure) any { return f.Nodes }},
			{"CHANNELS", 3, func(f *figure) any { return f.Channels }},
			clients, depth, disk, messages}
	case "client":
		list = []column{topic, channel,
			{"CLIENT", 0, func(f *figure) any { return f.Client }},
			{"AGENT", 6, func(f *figure) any { return f.Agent }},
			node,
			{"READY", 3, func(f *figure) any { return f.Ready }},
			inFlight,
			{"FINISHED", 2, func(f *figure) any { return f.Finished }},
			requeued, messages,
			{"CONNECTED", 7, func(f *figure) any { return since(f.connected) }}}
	default:
		list = []column{topic, channel, state, clients, depth, disk, inFlight,
			{"DEFERRED", 6, func(f *figure) any { return f.Deferred }},
			requeued,
			{"TIMED-OUT", 7, func(f *figure) any { return f.TimedOut }},
			messages}
		if by == "node" {
			list = append([]column{node}, list...)
		}
	}
	if rates {
		list = append(list,
			column{"IN/S", 0, func(f *figure) any { return f.In }},
			column{"OUT/S", 0, func(f *figure) any { return f.Out }})
	}
	return list
}

// age is how long ago something was, to the second.
type age time.Duration

// since is how long ago a time in seconds since 1970 was.
func since(seconds int64) age { return age(time.Since(time.Unix(seconds, 0)).Round(time.Second)) }

func (a age) String() string { return time.Duration(a).String() }

// compareCells compares two values of a column.
func compareCells(a, b any) int {
	x, numeric := number(a)
	if !numeric {
		return strings.Compare(a.(string), b.(string))
	}
	y, _ := number(b)
	return cmp.Compare(x, y)
}

// number is the value of a cell that is a number.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case rate:
		return float64(v), true
	case age:
		return float64(v), true
	}
	return 0, false
}
