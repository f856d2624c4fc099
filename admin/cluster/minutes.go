package cluster

import "qmq/admin/words"

// Subject is something of which there is history: its kind, and its names.
type Subject []string

// Minute is what a subject was in a minute: the means of its rows.
type Minute struct {
	Subject Subject
	Values  []float32
}

// SubjectOf is what a view is about, and the names of the rows of its history; nil if it
// has none.
func (c *Cluster) SubjectOf(v View) (Subject, []string) {
	h, names := c.historyOf(v)
	if h == nil {
		return nil, nil
	}
	switch v.Kind {
	case "topic":
		return Subject{v.Kind, v.Topic}, names
	case "channel":
		return Subject{v.Kind, v.Topic, v.Channel}, names
	case "node":
		return Subject{v.Kind, v.Node}, names
	}
	return Subject{v.Kind}, names
}

// Minutes are all subjects in the minute (since 1970) that is given, which is over and not
// older than an hour.
func (c *Cluster) Minutes(minute int64) (list []Minute) {
	add := func(h history, subject ...string) {
		values := make([]float32, len(h))
		known := false
		for i := range h {
			v := h[i].coarse.mean(coarseSlots, (minute+1)*sparkStep/coarseStep-1, sparkStep/coarseStep)
			values[i] = float32(v)
			known = known || v.known()
		}
		if known {
			list = append(list, Minute{subject, values})
		}
	}
	add(c.history, "cluster")
	add(c.counter, "counter")
	for _, n := range c.order {
		add(n.history, "node", n.id)
	}
	for _, name := range words.Sorted(c.topics) {
		t := c.topics[name]
		add(t.history, "topic", name)
		for channel, ch := range t.channels {
			add(ch.history, "channel", name, channel)
		}
	}
	return list
}

// PastView makes a view of minutes that were kept: rows by their names, each value of step
// minutes; end is the last minute.
func (c *Cluster) PastView(v View, end int64, step int, names []string, rows [][]float32) *HistoryView {
	n := 0
	answer := &HistoryView{StepMS: int64(step) * 60_000, Series: make(map[string]Figures, len(names))}
	for i, name := range names {
		n = len(rows[i]) / step
		line := make(Figures, n)
		for j := range line {
			line[j] = meanOf(rows[i][j*step : (j+1)*step])
		}
		answer.Series[name] = line
	}
	answer.N = n
	from := end + 1 - int64(n*step)
	answer.From = from * 60_000
	answer.Marks = c.marksOf(v, c.began)
	return answer
}

// meanOf is that of the values that are known.
func meanOf(values []float32) Figure {
	sum, known := 0.0, 0
	for _, v := range values {
		if v == v {
			sum, known = sum+float64(v), known+1
		}
	}
	if known == 0 {
		return unknown
	}
	return Figure(sum / float64(known))
}
