package api

import (
	"qmq/internal/histogram"
	"qmq/internal/metrics"
)

// topicCap decides which topics have series of their own: as many as there is room for, by
// name, and whoever has them keeps them for as long as it is there. So no counter goes to
// and fro between a topic and the sum of the rest. It belongs to one goroutine at a time.
type topicCap struct {
	most int
	own  map[string]bool // by name: whether it has series of its own

	// Of the rest: what was told last, and what has to be added to the sum so that no
	// counter goes back when a topic is deleted.
	last, base restSums
}

// choose decides about the topics that are there.
func (c *topicCap) choose(list []named) {
	own, room := make(map[string]bool, len(list)), c.most
	for _, t := range list {
		if has, known := c.own[t.name]; known {
			own[t.name] = has
			if has {
				room--
			}
		}
	}
	for _, t := range list {
		if _, known := own[t.name]; known {
			continue
		}
		own[t.name] = room > 0 && t.name != otherTopics
		if own[t.name] {
			room--
		}
	}
	c.own = own
}

// restSums are the sums of all figures of the rest.
type restSums struct {
	topics, channels [32]float64 // as topicFamilies and channelFamilies
	handedOut, done  histogram.Snapshot
}

// rest is the sum of the topics without series of their own.
type rest struct {
	any  bool
	sums restSums
}

func newRest() *rest { return new(rest) }

func (r *rest) add(t *TopicFigures) {
	r.any = true
	for i := range topicFamilies {
		if v, ok := topicFamilies[i].of(t); ok {
			r.sums.topics[i] += v
		}
	}
	for i := range t.Channels {
		ch := &t.Channels[i]
		for j := range channelFamilies {
			r.sums.channels[j] += channelFamilies[j].value(ch)
		}
		if ch.handedOut != nil {
			ch.handedOut.AddTo(&r.sums.handedOut)
			ch.done.AddTo(&r.sums.done)
		}
	}
}

// addRest adds the sum of the rest, if there is any or was.
func (c *topicCap) addRest(p *metrics.Page, r *rest) {
	if !r.any && c.last.topics == [32]float64{} {
		return
	}
	labels, both := metrics.LabelsOf("topic", otherTopics), metrics.LabelsOf("channel", otherTopics, "topic", otherTopics)
	for i := range topicFamilies {
		p.Add(topicFamilies[i].Family, onward(topicFamilies[i].Kind, r.sums.topics[i], &c.last.topics[i], &c.base.topics[i]), labels)
	}
	for i := range channelFamilies {
		p.Add(channelFamilies[i].Family, onward(channelFamilies[i].Kind, r.sums.channels[i], &c.last.channels[i], &c.base.channels[i]), both)
	}
	for _, each := range []struct {
		family          *metrics.Family
		now, last, base *histogram.Snapshot
	}{{handedOutSeconds, &r.sums.handedOut, &c.last.handedOut, &c.base.handedOut}, {doneSeconds, &r.sums.done, &c.last.done, &c.base.done}} {
		if each.now.Count+each.base.Count+each.last.Count > 0 {
			s := onwardAges(each.now, each.last, each.base)
			p.AddHistogram(each.family, &s, both)
		}
	}
}

// onward is the sum that is told: of a counter, one that never goes back. What a deleted
// topic had counted stays; what others counted since the last look is lost then.
func onward(kind metrics.Kind, now float64, last, base *float64) float64 {
	if kind == metrics.Counter && now < *last {
		*base += *last - now
	}
	*last = now
	if kind == metrics.Counter {
		return now + *base
	}
	return now
}

// onwardAges is onward for all buckets of a histogram.
func onwardAges(now, last, base *histogram.Snapshot) (s histogram.Snapshot) {
	for i, n := range now.Counts {
		if before := last.Counts[i]; n < before {
			base.Counts[i] += before - n
		}
		s.Counts[i] = n + base.Counts[i]
		s.Count += s.Counts[i]
	}
	if now.Sum < last.Sum {
		base.Sum += last.Sum - now.Sum
	}
	s.Sum = now.Sum + base.Sum
	*last = *now
	return s
}
