package cluster

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"qmq/admin/words"
)

// Level is how bad something is.
type Level string

const (
	levelOK   Level = "ok"
	LevelWarn Level = "warn"
	LevelCrit Level = "crit"
)

// Alert is something that needs attention, or needed it today.
type Alert struct {
	ID        string    `json:"id"`
	Level     Level     `json:"level"`
	Icon      string    `json:"icon"`
	Rule      string    `json:"rule"`
	Topic     string    `json:"topic"`
	Channel   string    `json:"channel"`
	Node      string    `json:"node"`
	Name      string    `json:"name"`
	Lookupd   string    `json:"lookupd"`
	Set       string    `json:"set,omitempty"` // of replicas: its id, none while there is none
	Since     int64     `json:"since"`
	Over      *int64    `json:"over"`
	Text      string    `json:"text"`
	Value     Figure    `json:"value"`
	Unit      string    `json:"unit"`
	ValueText string    `json:"value_text"`
	Spark     Figures   `json:"spark"`
	affected  float64   // messages, for the order
	since     time.Time // the same as Since
	over      time.Time
	past      string // the text once it is over; {d} is how long it lasted
}

// alertInput is what a rule sees at one moment: that its line should start, go on or
// end, and what it says.
type alertInput struct {
	alert  Alert // its ID says of what
	starts bool  // bad enough for a new line
	ends   bool  // good enough for the end of one
	after  time.Duration
	// since is when the trouble itself began; zero: now.
	since time.Time
	// past is what is said of it when it is over; {d} is how long it lasted.
	past string
}

// Limits of what is shown as over.
const (
	maxOver = 50
	overAge = 24 * time.Hour
)

// alerts are the lines that are open and those that are over. Time is passed
// in. It is not for concurrent use.
type alerts struct {
	open  []*Alert
	past  []*Alert // newest first
	known map[string]*Alert
	good  map[string]time.Time // since when an open line's trouble has been over
	began time.Time            // when the newest line started
	news  []Alert              // lines that started or ended since they were last taken
}

func newAlerts() alerts {
	return alerts{known: make(map[string]*Alert), good: make(map[string]time.Time)}
}

// step takes what the rules see at now. A line whose subject is not among the
// inputs any more is over. The order changes only when a line starts or ends.
func (w *alerts) step(now time.Time, inputs []alertInput) {
	changed := false
	seen := make(map[string]bool)
	for i := range inputs {
		s := &inputs[i]
		seen[s.alert.ID] = true
		if l := w.known[s.alert.ID]; l != nil {
			changed = w.goOn(now, l, s) || changed
		} else if s.starts {
			w.start(now, s)
			changed = true
		}
	}
	for id, l := range w.known {
		if !seen[id] {
			w.end(now, l)
			changed = true
		}
	}
	w.past = slices.DeleteFunc(w.past, func(l *Alert) bool { return now.Sub(l.over) > overAge })
	if changed {
		slices.SortStableFunc(w.open, worse)
	}
}

// worse puts the level first, then the messages affected, then the age.
func worse(a, b *Alert) int {
	return cmp.Or(
		cmp.Compare(rank(b.Level), rank(a.Level)),
		cmp.Compare(b.affected, a.affected),
		a.since.Compare(b.since),
		cmp.Compare(a.ID, b.ID),
	)
}

func rank(l Level) int { return slices.Index([]Level{levelOK, LevelWarn, LevelCrit}, l) }

func (w *alerts) start(now time.Time, s *alertInput) {
	l := s.alert
	l.since, l.past = now, s.past
	if !s.since.IsZero() {
		l.since = s.since
	}
	l.Since = l.since.UnixMilli()
	w.known[l.ID] = &l
	w.open = append(w.open, &l)
	w.began = now
	w.tell(l)
}

// goOn tells whether the line has ended.
func (w *alerts) goOn(now time.Time, l *Alert, s *alertInput) (ended bool) {
	if s.ends {
		since, ok := w.good[l.ID]
		if !ok {
			since = now
			w.good[l.ID] = now
		}
		if now.Sub(since) >= s.after {
			w.end(now, l)
			return true
		}
	} else {
		delete(w.good, l.ID)
	}
	fresh := s.alert
	l.affected, l.Name = fresh.affected, fresh.Name
	if s.ends {
		return false // what the rule says now is not why there is a line
	}
	l.Level, l.Icon, l.Text, l.Value, l.Unit, l.ValueText = fresh.Level, fresh.Icon, fresh.Text, fresh.Value, fresh.Unit, fresh.ValueText
	if s.past != "" {
		l.past = s.past
	}
	return false
}

func (w *alerts) end(now time.Time, l *Alert) {
	delete(w.known, l.ID)
	delete(w.good, l.ID)
	w.open = slices.DeleteFunc(w.open, func(o *Alert) bool { return o == l })
	over := now.UnixMilli()
	l.over, l.Over = now, &over
	if l.past != "" {
		l.Text = strings.ReplaceAll(l.past, "{d}", words.Duration(now.Sub(l.since)))
	}
	w.past = slices.Insert(w.past, 0, l)
	w.tell(*l)
	if len(w.past) > maxOver {
		w.past = w.past[:maxOver]
	}
}

// about are the open lines that satisfy a condition.
func (w *alerts) about(is func(*Alert) bool) (lines []*Alert) {
	for _, l := range w.open {
		if is(l) {
			lines = append(lines, l)
		}
	}
	return lines
}

// OpenAlerts are copies of the lines that are open, the worst first.
func (c *Cluster) OpenAlerts() (list []Alert) {
	for _, l := range c.alerts.open {
		list = append(list, *l)
	}
	return list
}

// maxNews are kept of lines that nobody takes.
const maxNews = 1000

func (w *alerts) tell(l Alert) {
	if len(w.news) < maxNews {
		w.news = append(w.news, l)
	}
}

// TakeAlerts returns the lines that have started, and those that have ended, since
// the last call.
func (c *Cluster) TakeAlerts() []Alert {
	news := c.alerts.news
	c.alerts.news = nil
	return news
}
