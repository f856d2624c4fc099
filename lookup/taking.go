package lookup

import (
	"strings"
	"unicode/utf8"
)

// Takes is which of its clients' publishes a node takes: all, some (not those to
// some topics, or to new ones) or none. Empty: the node does not say, as NSQ's.
type Takes string

// What a node says.
const (
	TakesAll  Takes = "all"
	TakesSome Takes = "some"
	TakesNone Takes = "none"
)

// Taking is what a node says of publishes. It is part of its introduction, and
// follows a PING in its line whenever there is something new:
//
//	PING none this node is being drained
//
// Stock directories ignore both.
type Taking struct {
	Takes Takes  `json:"takes"`
	Why   string `json:"why,omitempty"` // why it does not take all, for people
}

// maxWhy is how long a reason may be in bytes.
const maxWhy = 300

// parseTaking reads what follows a PING; ok is false if that is none.
func parseTaking(rest string) (t Taking, ok bool) {
	takes, why, _ := strings.Cut(rest, " ")
	t = Taking{Takes(takes), why}
	return t, t.isValid()
}

func (t *Taking) isValid() bool {
	switch t.Takes {
	case TakesAll, TakesSome, TakesNone:
		return len(t.Why) <= maxWhy && utf8.ValidString(t.Why)
	}
	return false
}

// line is what follows a PING; nothing if the node does not say.
func (t *Taking) line() []byte {
	if t.Takes == "" {
		return nil
	}
	return []byte(strings.TrimSpace(string(t.Takes) + " " + t.Why))
}

// oneLine has a reason fit a line.
func oneLine(why string) string {
	why = strings.Join(strings.Fields(strings.ToValidUTF8(why, "?")), " ")
	for len(why) > maxWhy {
		_, size := utf8.DecodeLastRuneInString(why)
		why = why[:len(why)-size]
	}
	return why
}

// Tell has directories be told which publishes the node takes. It is called before
// Start. The function is called by goroutines of the announcer, under no lock.
func (a *Announcer) Tell(taking func() Taking) { a.taking = taking }

// TakingChanged says that the function that Tell was given may answer something
// else than before. It does not wait.
func (a *Announcer) TakingChanged() {
	for _, p := range a.current() {
		p.wake()
	}
}

// takingNow is what is said of publishes now.
func (a *Announcer) takingNow() Taking {
	if a.taking == nil {
		return Taking{}
	}
	t := a.taking()
	t.Why = oneLine(t.Why)
	return t
}
