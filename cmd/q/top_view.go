package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"qmq/internal/nodeclient"
)

// topView is what q top shows, and what keys change of it. It knows neither a
// terminal nor a clock, and belongs to one goroutine.
type topView struct {
	at     place
	above  []place // where one came from, the outermost first
	top    place   // where one began
	rising bool    // smallest first

	typing  bool // keys go into the filter
	frozen  bool // what comes is not shown
	helping bool // the keys are explained

	before, now *snapshot
	failed      error                        // why the last snapshot is not to be had
	history     map[string]map[string][]rate // of what came in, by kind and key of a figure
	list        []*figure                    // what is shown, sorted

	chosen string // key of the figure that keys are about
	first  int    // index in list of the first one on the screen
	width  int
	height int
}

// place is where one is in a cluster: what there is a line for, of what, sorted by
// a column.
type place struct {
	by, topic, channel string
	sort               string // head of a column
	filter             string // what names have to hold
}

// Kinds of lines, by their keys.
var topKinds = map[string]string{"c": "channel", "t": "topic", "n": "node", "l": "client"}

const (
	trendHead   = "TREND"
	trendLength = 16 // snapshots
	topHead     = 3  // lines before the list
	topFoot     = 1  // lines behind it
)

func newTopView(at place) *topView {
	return &topView{at: at, top: at, history: make(map[string]map[string][]rate), width: 80, height: 24}
}

// wanted is what is asked of nodes: all that one can look into, and clients, of
// which there may be many, only where they are looked at.
func (v *topView) wanted() nodeclient.Wanted {
	if v.at.by == "client" {
		return nodeclient.Wanted{Topic: v.at.topic, Channel: v.at.channel, Clients: true}
	}
	return nodeclient.Wanted{Topic: v.top.topic, Channel: v.top.channel}
}

// take shows a snapshot. An error says why there is none, and leaves the one before
// on the screen.
func (v *topView) take(s *snapshot, err error) {
	if v.failed = err; err != nil || v.frozen {
		return
	}
	v.before, v.now = v.now, s
	v.refresh()
	v.remember()
}

// remember adds to the trends, and forgets those of what is gone.
func (v *topView) remember() {
	kinds := []string{"topic", "channel", "node"}
	if v.at.by == "client" {
		kinds = []string{"client"}
	}
	for _, by := range kinds {
		kept := make(map[string][]rate)
		for _, f := range v.figures(by) {
			trend := append(v.history[by][f.key()], f.In)
			kept[f.key()] = trend[max(0, len(trend)-trendLength):]
		}
		v.history[by] = kept
	}
}

// figures are all of a kind that the last snapshot has, with rates.
func (v *topView) figures(by string) []*figure {
	if v.now == nil {
		return nil
	}
	list := v.now.figures(by)
	if v.before != nil {
		fillRates(v.before.figures(by), list, v.now.at.Sub(v.before.at))
	}
	return list
}

// hides tells whether a figure is not of this place, or is filtered out.
func (p *place) hides(f *figure) bool {
	if p.topic != "" && f.Topic != p.topic || p.channel != "" && f.Channel != p.channel {
		return true
	}
	names := strings.Join([]string{f.Topic, f.Channel, f.Node, f.Client, f.Agent}, " ")
	return !strings.Contains(strings.ToLower(names), strings.ToLower(p.filter))
}

// refresh finds out anew what is shown.
func (v *topView) refresh() {
	v.list = slices.DeleteFunc(v.figures(v.at.by), v.at.hides)
	by := v.sorting()
	slices.SortStableFunc(v.list, func(a, b *figure) int {
		order := compareCells(by.of(a), by.of(b))
		if isNumber(by.of(a)) != v.rising { // the largest number first, and names in their order
			order = -order
		}
		return order
	})
	v.scroll()
}

// sorting is the column that the list is sorted by.
func (v *topView) sorting() column {
	columns := columnsOf(v.at.by, true)
	if i := slices.IndexFunc(columns, func(c column) bool { return c.head == v.at.sort }); i >= 0 {
		return columns[i]
	}
	return columns[0]
}

// index is that of the chosen figure in the list; that of the first one if there
// is no such figure any more.
func (v *topView) index() int {
	return max(0, slices.IndexFunc(v.list, func(f *figure) bool { return f.key() == v.chosen }))
}

// room is how many figures the screen holds.
func (v *topView) room() int { return max(1, v.height-topHead-topFoot) }

// scroll has the chosen figure be on the screen.
func (v *topView) scroll() {
	i := v.index()
	v.first = min(v.first, max(0, len(v.list)-v.room()), i)
	v.first = max(v.first, i-v.room()+1)
}

func (v *topView) resize(width, height int) {
	v.width, v.height = width, height
	v.scroll()
}

// move chooses the figure so many lines below.
func (v *topView) move(by int) {
	if len(v.list) == 0 {
		return
	}
	v.chosen = v.list[min(max(0, v.index()+by), len(v.list)-1)].key()
	v.scroll()
}

// enter goes to a place, from the one where one is.
func (v *topView) enter(to place) {
	v.above = append(v.above, v.at)
	v.moveTo(to)
}

// moveTo goes to a place in the place of the one where one is.
func (v *topView) moveTo(to place) {
	v.at, v.chosen, v.first = to, "", 0
	if to.by == "client" {
		v.list = nil // the nodes were not asked for them
		return
	}
	v.refresh()
}

// title sums up what the nodes say.
func (v *topView) title() string {
	if v.now == nil {
		return "q top: asking the nodes"
	}
	var depth int64
	in, out := rate(-1), rate(-1)
	if v.before != nil {
		in, out = 0, 0
	}
	topics := v.figures("topic")
	for _, f := range topics {
		in, depth = in+max(0, f.In), depth+f.Depth
	}
	for _, f := range v.figures("channel") {
		out, depth = out+max(0, f.Out), depth+f.Depth
	}
	name := "q top"
	if v.frozen {
		name += " (stands still)"
	}
	return fmt.Sprintf("%s  %s  %s  %s wait  in %v/s  out %v/s  %s", name, plural(int64(len(v.now.nodes)), "node"), plural(int64(len(topics)), "topic"),
		plural(depth, "message"), in, out, v.now.at.Format(time.TimeOnly))
}

// where says what the lines are and how they were chosen, or what is wrong.
func (v *topView) where() (line string, wrong bool) {
	if err := v.failure(); err != nil {
		return printable(err.Error()), true
	}
	line = v.at.by + "s"
	if v.at.by == "node" {
		line = "topics and channels by node"
	}
	if v.at.topic != "" {
		line += " of " + strings.TrimSuffix(v.at.topic+"/"+v.at.channel, "/")
	}
	line += ", by " + v.sorting().head
	if v.rising {
		line += " turned round"
	}
	switch {
	case v.typing:
		line += ", with " + v.at.filter + "_"
	case v.at.filter != "":
		line += ", with " + v.at.filter
	}
	if len(v.list) > v.room() {
		line += fmt.Sprintf(", %d to %d of %d", v.first+1, min(v.first+v.room(), len(v.list)), len(v.list))
	}
	return line, false
}

// failure is what keeps figures from being whole.
func (v *topView) failure() error {
	if v.failed != nil || v.now == nil {
		return v.failed
	}
	return v.now.failed()
}

// topLine is a line of the screen.
type topLine struct {
	text string
	look look
}

// look is how a line looks.
type look int

const (
	plain look = iota
	heading
	dimmed
	marked // the chosen one
	alarming
)

// lines are those of the screen, which they fill.
func (v *topView) lines() []topLine {
	if v.helping {
		return v.fit(topHelp())
	}
	where, wrong := v.where()
	lines := []topLine{{v.title(), plain}, {where, dimmed}}
	if wrong {
		lines[1].look = alarming
	}
	shown := v.list[v.first:min(len(v.list), v.first+v.room())]
	header, rows := v.table(shown)
	lines = append(lines, topLine{header, heading})
	for i, row := range rows {
		l := topLine{row, plain}
		if v.first+i == v.index() {
			l.look = marked
		}
		lines = append(lines, l)
	}
	for len(lines) < v.height-topFoot {
		lines = append(lines, topLine{})
	}
	return v.fit(append(lines, topLine{"q quit  ? keys  t topics  c channels  n nodes  l clients  < > sort  r turn  / filter  Enter in  Esc out  Space stop", dimmed}))
}

// fit cuts lines to the screen.
func (v *topView) fit(lines []topLine) []topLine {
	lines = lines[:min(len(lines), max(1, v.height))]
	for i := range lines {
		lines[i].text = strings.TrimRight(text.Trim(lines[i].text, v.width), " ")
	}
	return lines
}

// table sets figures out, in as many columns as there is room for.
func (v *topView) table(list []*figure) (header string, rows []string) {
	columns := append(columnsOf(v.at.by, true), column{trendHead, 5, func(f *figure) any {
		return sparkline(v.history[v.at.by][f.key()])
	}})
	cells, widths := layOut(columns, list)
	for {
		total, most := -2, 0
		for i := range columns {
			if total += widths[i] + 2; columns[i].spare > columns[most].spare {
				most = i
			}
		}
		if total <= v.width || columns[most].spare == 0 {
			break
		}
		columns, widths = slices.Delete(columns, most, most+1), slices.Delete(widths, most, most+1)
		for i := range cells {
			cells[i] = slices.Delete(cells[i], most, most+1)
		}
	}
	for i, row := range cells {
		var b strings.Builder
		for j, cell := range row {
			align := text.AlignLeft
			if len(list) > 0 && isNumber(columns[j].of(list[0])) {
				align = text.AlignRight
			}
			b.WriteString(align.Apply(cell, widths[j]) + "  ")
		}
		if i == 0 {
			header = b.String()
			continue
		}
		rows = append(rows, b.String())
	}
	return header, rows
}

// layOut are the texts of a table, its heads first, and the widths of its columns.
func layOut(columns []column, list []*figure) (cells [][]string, widths []int) {
	cells = make([][]string, 1+len(list))
	for _, c := range columns {
		width := len(c.head)
		cells[0] = append(cells[0], c.head)
		for i, f := range list {
			cell := printable(fmt.Sprint(c.of(f)))
			cells[i+1] = append(cells[i+1], cell)
			width = max(width, text.StringWidth(cell))
		}
		widths = append(widths, width)
	}
	return cells, widths
}

// sparkline draws rates as bars, the highest of them full; a dot where one is not
// known.
func sparkline(trend []rate) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := slices.Max(append([]rate{0}, trend...))
	var b strings.Builder
	for range trendLength - len(trend) {
		b.WriteByte(' ')
	}
	for _, r := range trend {
		switch {
		case r < 0:
			b.WriteRune('·')
		case r == 0:
			b.WriteRune(bars[0])
		default:
			b.WriteRune(bars[int(r/highest*rate(len(bars)-1))])
		}
	}
	return b.String()
}
