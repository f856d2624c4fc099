package seqset

import (
	"cmp"
	"slices"
)

// Lists of ranges that are sorted, disjoint and apart, none of them empty, are
// called united.

// Union is the numbers of all lists, united. The lists need not be.
func Union(lists ...[]Range) []Range {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	merged := all[:0]
	for _, r := range all {
		n := len(merged)
		switch {
		case r.From >= r.To:
		case n > 0 && r.From <= merged[n-1].To:
			merged[n-1].To = max(merged[n-1].To, r.To)
		default:
			merged = append(merged, r)
		}
	}
	return merged
}

// Insert adds a range to a united list, in place, and returns it united.
func Insert(list []Range, r Range) []Range {
	if r.From >= r.To {
		return list
	}
	first, _ := slices.BinarySearchFunc(list, r.From, func(x Range, from uint64) int { return cmp.Compare(x.To, from) })
	last := first
	for last < len(list) && list[last].From <= r.To {
		r.From, r.To = min(r.From, list[last].From), max(r.To, list[last].To)
		last++
	}
	return slices.Replace(list, first, last, r)
}

// Difference is what of the one list is in none of the other, united. The lists
// need not be.
func Difference(from, take []Range) (left []Range) {
	take = Union(take)
	for _, r := range Union(from) {
		for len(take) > 0 && take[0].To <= r.From {
			take = take[1:]
		}
		for _, t := range take {
			if t.From >= r.To {
				break
			}
			if r.From < t.From {
				left = append(left, Range{From: r.From, To: t.From})
			}
			if r.From = t.To; r.From >= r.To {
				break
			}
		}
		if r.From < r.To {
			left = append(left, r)
		}
	}
	return left
}

// Contains says whether a number is in a united list.
func Contains(list []Range, seq uint64) bool {
	if n := len(list); n == 0 || seq < list[0].From || seq >= list[n-1].To {
		return false // mostly, where a part of very many is looked for
	}
	i := firstAbove(list, seq)
	return i < len(list) && list[i].From <= seq
}

// Between is the ranges of a united list that have anything of r, as they are.
func Between(list []Range, r Range) []Range {
	list = list[firstAbove(list, r.From):]
	n, _ := slices.BinarySearchFunc(list, r.To, func(x Range, to uint64) int { return cmp.Compare(x.From, to) })
	return list[:n]
}

// firstAbove is the index of the first range of a united list that ends above seq.
func firstAbove(list []Range, seq uint64) int {
	i, _ := slices.BinarySearchFunc(list, seq, func(x Range, seq uint64) int {
		if x.To > seq {
			return 1
		}
		return -1
	})
	return i
}

// Overlap is what two ranges have in common, empty if nothing.
func (r Range) Overlap(o Range) Range {
	both := Range{From: max(r.From, o.From), To: min(r.To, o.To)}
	both.To = max(both.From, both.To)
	return both
}

// Meets says whether any range of a list has anything of r.
func Meets(list []Range, r Range) bool {
	return slices.ContainsFunc(list, func(x Range) bool { return x.Overlap(r).Len() > 0 })
}
