package topic

import (
	"qmq/diskqueue"
	"qmq/internal/seqset"
)

// carryTails carries large segments forward from their ends, where there is no
// room on the disk for all that is owed of one: each piece that is cut off makes
// room for a larger one.
func (r *reclaimer) carryTails(recalls int) (written int64, failed error) {
	free := int64(carryTight) // what the disk takes, as far as is known
	for _, p := range r.portions() {
		for p.Full && p.sparse() && p.count > 0 {
			n, freed, err := r.carryTail(&p, free, recalls)
			written += n
			switch {
			case diskFull(err) && free > carryTight: // others took it
				free = carryTight
				continue
			case diskFull(err):
				return written, err
			case err != nil:
				failed = err
			default:
				free = min(free+freed, carryBytes)
			}
			if freed <= 0 {
				break
			}
		}
	}
	return written, failed
}

// carryTail carries the end of a portion, as much as maxBytes of what is owed or all of
// it, if that frees at least half of what it takes, and takes it off the portion.
func (r *reclaimer) carryTail(p *portion, maxBytes int64, recalls int) (written, freed int64, err error) {
	if p.bytes <= maxBytes {
		if written, err = r.carryGroup([]portion{*p}, recalls); written > 0 {
			freed, p.count = p.Bytes-written, 0
		}
		return written, freed, err
	}
	t, ok, err := r.log.FindTail(p.Numbers, p.owed, maxBytes)
	if !ok || err != nil || t.Bytes < 2*(t.Owed+carryHead) {
		return 0, 0, err
	}
	keep := within(p.owed, seqset.Range{From: t.From, To: p.Numbers.To})
	err = r.log.CarryTail(p.Numbers, t, keep, func(gaps []seqset.Range) error { return r.giveUp(gaps, recalls) })
	r.carried()
	if err != nil {
		return 0, 0, err
	}
	r.o.Common.Logger.Debug("end of a segment carried forward", "topic", r.o.Name, "bytes", t.Bytes, "owed", t.Owed)
	p.Extent = diskqueue.Extent{Numbers: seqset.Range{From: p.Numbers.From, To: t.From}, Bytes: p.Bytes - t.Bytes, Full: true}
	p.owed, p.bytes, p.low = within(p.owed, p.Numbers), p.bytes-t.Owed, max(0, p.low-t.Owed)
	p.count = 0
	for _, o := range p.owed {
		p.count += o.Len()
	}
	return t.Owed + carryHead, t.Bytes - t.Owed - carryHead, nil
}

// within is what of a list of ranges lies in r.
func within(list []seqset.Range, r seqset.Range) (found []seqset.Range) {
	for _, x := range list {
		if x.From, x.To = max(x.From, r.From), min(x.To, r.To); x.From < x.To {
			found = append(found, x)
		}
	}
	return found
}
