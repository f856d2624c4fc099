package channel

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmq/internal/dueheap"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata/*.txt")

// TestGoldenScripts runs each testdata/*.txt. A script is blocks apart by empty
// lines: commands, a line ----, and what they print followed by the state.
// See script.run for the commands.
func TestGoldenScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScript(t)
			var out []string
			for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				input, want, _ := strings.Cut(block, "\n----")
				got := s.block(input)
				if !*update && got != strings.TrimSpace(want) {
					t.Errorf("%s\n---- got\n%s\n---- want\n%s", input, got, strings.TrimSpace(want))
				}
				out = append(out, input+"\n----\n"+got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type script struct {
	t       *testing.T
	l       limits
	c       *core
	now     int64
	holders map[string]*scriptHolder
	voids   []seqset.Range
	delayed []message.Mark
	st      *state.Channel
}

type scriptHolder struct {
	holder
	batch []reservation
	end   uint64
}

func newScript(t *testing.T) *script {
	s := &script{t: t, holders: map[string]*scriptHolder{}}
	s.reset(1, 0)
	return s
}

func (s *script) reset(start uint64, limit int) {
	s.l = limits{waiting: limit, maxTimeout: 15e9, maxDelay: 3600e9, journalled: limit == 0}
	s.c = newCore(s.l, start)
	s.st = &state.Channel{Acked: seqset.New(start), Cursor: start}
}

// block runs the commands and returns what they print and the state.
func (s *script) block(input string) string {
	var out []string
	for _, line := range strings.Split(input, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		out = append(out, s.run(words)...)
		if !slices.Contains([]string{"join", "changes"}, words[0]) { // as the shell does
			if h := s.c.wakeNext(); h != nil {
				out = append(out, "wake "+s.name(h))
			}
		}
		if err := s.c.check(); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
	}
	return strings.Join(append(out, s.state()...), "\n")
}

// run runs one command:
//
//	new START [LIMIT]         at TIME                 advance FANOUT [SEQ@DUE…]
//	join WHO TIMEOUT          rdy WHO N               leave WHO
//	take WHO [LIMIT]          release WHO N (the last ones of the last take)
//	fin WHO SEQ…              req WHO SEQ DELAY       touch WHO SEQ
//	void FROM TO              empty                   pause, unpause
//	backoff, works            changes [full]          restart
func (s *script) run(words []string) []string {
	args := append(words[1:], make([]string, 3)...)
	switch words[0] {
	case "new":
		s.reset(number(args[0]), int(number(args[1])))
	case "at":
		s.now = nanos(args[0])
		s.c.expire(s.now)
	case "advance":
		s.advance(number(args[0]), words[2:])
	case "void":
		s.voids = append(s.voids, seqset.Range{From: number(args[0]), To: number(args[1])})
		s.c.void(number(args[0]), number(args[1]))
	case "empty":
		s.c.empty()
	case "pause", "unpause":
		s.c.paused = words[0] == "pause"
	case "backoff":
		s.c.backOff(s.now)
	case "works":
		s.c.readAgain()
	case "changes":
		return s.changes(args[0] == "full")
	case "restart":
		s.changes(false)
		s.c = restoreCore(s.l, s.now, s.st, s.c.fanOut, s.voids, s.delayed, 0)
		s.holders = map[string]*scriptHolder{}
	case "join":
		h := &scriptHolder{}
		s.holders[args[0]] = h
		s.c.join(&h.holder, nanos(args[1]))
	default:
		return s.runHolder(s.holders[args[0]], words)
	}
	return nil
}

// name is what a holder is called in the script.
func (s *script) name(h *holder) string {
	for who, x := range s.holders {
		if &x.holder == h {
			return who
		}
	}
	return "?"
}

func (s *script) runHolder(h *scriptHolder, words []string) (out []string) {
	args := append(words[2:], make([]string, 2)...)
	switch words[0] {
	case "rdy":
		s.c.setCredit(&h.holder, int64(number(args[0])), h.inFlight)
	case "leave":
		s.c.leave(&h.holder)
		delete(s.holders, words[1])
	case "take":
		limit := 256
		if args[0] != "" {
			limit = int(number(args[0]))
		}
		h.batch, h.end = s.c.reserve(&h.holder, s.now, limit, nil)
		line := words[1] + " takes"
		for _, b := range h.batch {
			line += fmt.Sprintf(" %d/%d", b.seq, b.attempts)
		}
		out = append(out, line)
	case "release":
		s.c.release(&h.holder, h.batch[len(h.batch)-int(number(args[0])):], h.end)
	case "fin":
		for _, arg := range words[2:] {
			out = appendError(out, arg, s.c.finish(&h.holder, number(arg)))
		}
	case "req":
		out = appendError(out, args[0], s.c.requeue(&h.holder, number(args[0]), s.now, nanos(args[1])))
	case "touch":
		out = appendError(out, args[0], s.c.touch(&h.holder, number(args[0]), s.now))
	default:
		s.t.Fatalf("unknown command %v", words)
	}
	return out
}

func appendError(out []string, seq string, err error) []string {
	if err != nil {
		out = append(out, seq+": "+err.Error())
	}
	return out
}

func (s *script) advance(fanOut uint64, words []string) {
	var delayed []message.Mark
	for _, w := range words {
		seq, due, _ := strings.Cut(w, "@")
		delayed = append(delayed, message.Mark{Seq: number(seq), DeliverAt: nanos(due) / 1e6})
	}
	s.delayed = append(s.delayed, delayed...)
	s.c.advance(s.now, fanOut, delayed, 0)
}

func (s *script) changes(full bool) []string {
	ch := s.c.takeChanges(full, 0).finish()
	applyChanges(s.st, ch)
	line := fmt.Sprintf("journal full=%v floor=%d cursor=%d acked=%v", ch.Full, ch.Floor, ch.Cursor, ch.Acked)
	for _, o := range ch.Open {
		line += fmt.Sprintf(" %d/%d", o.Seq, o.Attempts)
		if o.Due != 0 {
			line += "@" + time.Duration(o.Due*1e6).String()
		}
	}
	return []string{line}
}

// state prints the core.
func (s *script) state() []string {
	c := s.c
	line := fmt.Sprintf("floor=%d cursor=%d fan-out=%d depth=%d", c.floor(), c.cursor, c.fanOut, c.depth())
	if ranges := c.skip.All(); len(ranges) > 0 {
		line += fmt.Sprintf(" skip=%v", ranges)
	}
	if c.timedOut > 0 {
		line += fmt.Sprintf(" timeouts=%d", c.timedOut)
	}
	out := []string{line}
	if c.due.Len() > 0 {
		out = append(out, "due:"+stateOfDeferred(c.due))
	}
	if c.returned.Len() > 0 {
		line = "returned:"
		for i := range c.returned.Len() {
			line += fmt.Sprintf(" %d/%d", c.returned.At(i).seq, c.returned.At(i).attempts)
		}
		out = append(out, line)
	}
	if c.deferred.Len() > 0 {
		out = append(out, "deferred:"+stateOfDeferred(&c.deferred))
	}
	return append(out, s.stateOfHolders()...)
}

func stateOfDeferred(h *dueheap.Heap) (line string) {
	for i := range h.InOrder() {
		line += fmt.Sprintf(" %d/%d@%v", i.Seq, i.Attempts, time.Duration(i.Due*1e6))
	}
	return line
}

func (s *script) stateOfHolders() (out []string) {
	for who, h := range s.holders {
		line := fmt.Sprintf("%s: rdy=%d", who, h.rdy)
		s.c.flight.each(func(_ uint32, seq uint64, e *entry) {
			if e.owner == h.index {
				line += fmt.Sprintf(" %d/%d until %v", seq, e.attempts, time.Duration(e.deadline))
			}
		})
		switch {
		case h.queued:
			line += " idle"
		case h.parked:
			line += " parked"
		case h.woken:
			line += " woken"
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func number(word string) uint64 {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil && word != "" {
		panic(err)
	}
	return n
}

func nanos(word string) int64 {
	d, err := time.ParseDuration(word)
	if err != nil {
		panic(err)
	}
	return int64(d)
}
