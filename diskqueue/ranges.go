package diskqueue

import (
	"cmp"
	"slices"

	"qmq/internal/seqset"
)

// united sorts ranges and merges those that touch, without empty ones.
func united(list []seqset.Range) []seqset.Range {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b seqset.Range) int { return cmp.Compare(a.From, b.From) })
	merged := sorted[:0]
	for _, r := range sorted {
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

// difference is what of the one list of ranges is in none of the other.
func difference(from, take []seqset.Range) (left []seqset.Range) {
	take = united(take)
	for _, r := range united(from) {
		for _, t := range take {
			if t.To <= r.From || t.From >= r.To {
				continue
			}
			if r.From < t.From {
				left = append(left, seqset.Range{From: r.From, To: t.From})
			}
			r.From = t.To
			if r.From >= r.To {
				break
			}
		}
		if r.From < r.To {
			left = append(left, r)
		}
	}
	return left
}

// overlap is what two ranges have in common.
func overlap(a, b seqset.Range) seqset.Range {
	r := seqset.Range{From: max(a.From, b.From), To: min(a.To, b.To)}
	r.To = max(r.From, r.To)
	return r
}

// meets says whether a list of ranges has anything of r.
func meets(list []seqset.Range, r seqset.Range) bool {
	return slices.ContainsFunc(list, func(x seqset.Range) bool { return overlap(x, r).Len() > 0 })
}
