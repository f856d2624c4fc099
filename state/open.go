package state

import (
	"iter"
	"slices"
	"sort"

	"qmq/internal/seqset"
)

// Open is the open messages of a channel by number. It takes 24 bytes a message
// and a copy costs next to nothing: what is changed afterwards, in either, is
// copied page by page. The zero value is empty.
type Open struct {
	pages []openPage // ascending, none empty
	n     int
	owner *openOwner // of the pages that may be changed in place; nil owns none
}

// openPage is a run of messages, ascending.
type openPage struct {
	owner *openOwner
	list  []OpenMessage
}

// openOwner tells one Open from others; it has a size, so that two are never at
// one address.
type openOwner struct{ _ byte }

// openPageLen is how many messages a page holds at most.
const openPageLen = 256

// Len is how many messages there are.
func (o *Open) Len() int { return o.n }

// All lists the messages, ascending. They must not change meanwhile.
func (o *Open) All() iter.Seq[OpenMessage] {
	return func(yield func(OpenMessage) bool) {
		for i := range o.pages {
			for _, m := range o.pages[i].list {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// Get is the message with a number.
func (o *Open) Get(seq uint64) (m OpenMessage, ok bool) {
	i := o.page(seq)
	if i == len(o.pages) {
		return m, false
	}
	at, ok := o.pages[i].find(seq)
	if ok {
		m = o.pages[i].list[at]
	}
	return m, ok
}

// Put adds a message, or replaces the one with its number.
func (o *Open) Put(m OpenMessage) {
	i := o.page(m.Seq)
	if i == len(o.pages) {
		o.append(m)
		return
	}
	at, ok := o.pages[i].find(m.Seq)
	if !ok && len(o.pages[i].list) == openPageLen {
		i, at = o.split(i, at)
	}
	list := o.own(i)
	if ok {
		list[at] = m
		return
	}
	o.pages[i].list = slices.Insert(list, at, m)
	o.n++
}

// append adds a message behind all others.
func (o *Open) append(m OpenMessage) {
	last := len(o.pages) - 1
	if last < 0 || len(o.pages[last].list) == openPageLen {
		o.pages = append(o.pages, openPage{owner: o.self()})
		last++
	}
	o.pages[last].list = append(o.own(last), m)
	o.n++
}

// split makes two pages of a full one, and says where in them what was at a
// place, or would have been, is.
func (o *Open) split(i, at int) (page, place int) {
	const half = openPageLen / 2
	list := o.own(i)
	behind := openPage{owner: o.self(), list: append(make([]OpenMessage, 0, openPageLen), list[half:]...)}
	o.pages[i].list = list[:half]
	o.pages = slices.Insert(o.pages, i+1, behind)
	if at <= half {
		return i, at
	}
	return i + 1, at - half
}

// Remove removes the messages whose numbers are in r.
func (o *Open) Remove(r seqset.Range) {
	first := o.page(r.From)
	end := first // the pages from first on that go as a whole
	for i := first; i < len(o.pages) && o.pages[i].list[0].Seq < r.To; i++ {
		list := o.pages[i].list
		from, _ := o.pages[i].find(r.From)
		to, _ := o.pages[i].find(r.To)
		o.n -= to - from
		switch {
		case to-from == len(list):
			if end == first {
				first = i
			}
			end = i + 1
		case to > from:
			o.pages[i].list = slices.Delete(o.own(i), from, to)
		}
	}
	o.pages = slices.Delete(o.pages, first, max(first, end))
	o.join(first - 1)
	o.join(first)
	if o.n == 0 {
		o.pages = nil
	}
}

// join makes one page of the i-th and the next one if they are half empty
// together.
func (o *Open) join(i int) {
	if i < 0 || i+1 >= len(o.pages) {
		return
	}
	next := o.pages[i+1].list
	if len(o.pages[i].list)+len(next) > openPageLen/2 {
		return
	}
	o.pages[i].list = append(o.own(i), next...)
	o.pages = slices.Delete(o.pages, i+1, i+2)
}

// Clear removes all messages.
func (o *Open) Clear() { *o = Open{} }

// Clone is an independent copy. It changes nothing that a reader of o looks at.
func (o *Open) Clone() Open {
	o.owner = nil
	return Open{pages: slices.Clone(o.pages), n: o.n}
}

// page is the index of the page that holds seq if any does.
func (o *Open) page(seq uint64) int {
	return sort.Search(len(o.pages), func(i int) bool {
		list := o.pages[i].list
		return list[len(list)-1].Seq >= seq
	})
}

// find is where in the page seq is, or would be.
func (p *openPage) find(seq uint64) (at int, ok bool) {
	at = sort.Search(len(p.list), func(i int) bool { return p.list[i].Seq >= seq })
	return at, at < len(p.list) && p.list[at].Seq == seq
}

// self is who owns the pages that are made now.
func (o *Open) self() *openOwner {
	if o.owner == nil {
		o.owner = new(openOwner)
	}
	return o.owner
}

// own is the list of the i-th page, which may be changed.
func (o *Open) own(i int) []OpenMessage {
	p := &o.pages[i]
	if self := o.self(); p.owner != self {
		p.owner, p.list = self, append(make([]OpenMessage, 0, min(openPageLen, 2*len(p.list))), p.list...)
	}
	return p.list
}
