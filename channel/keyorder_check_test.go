package channel

import "fmt"

// checkOrder checks what is known of messages that wait.
func (c *core) checkOrder() error {
	a := c.conf.ahead
	if a == nil {
		return nil
	}
	at, err := c.places()
	if err != nil {
		return err
	}
	for seq := range a.unknown {
		if at[seq] == "" || at[seq] == "returned" || at[seq] == "due" {
			return fmt.Errorf("%d, whose key is not known, is %q and not under way", seq, at[seq])
		}
	}
	if o, ok := a.order.(*keyOrder); ok {
		return o.check(c, at)
	}
	return nil
}

func (o *keyOrder) check(c *core, at map[uint64]string) (err error) {
	underWay, inRings := map[uint32]uint32{}, map[uint32]int{}
	o.flying.Each(func(_ uint32, seq uint64, k *uint32) {
		if underWay[*k]++; at[seq] != "in flight" && at[seq] != "deferred" && at[seq] != "spent" {
			err = fmt.Errorf("%d is noted as under way, and is %q", seq, at[seq])
		}
	})
	n, old := 0, 0
	count := func(i uint32) {
		if n++; o.nodes[i].as != asFresh {
			old++
		}
	}
	for _, r := range []struct {
		len int
		at  func(int) *uint32
	}{{o.readyOld.Len(), o.readyOld.At}, {o.readyFresh.Len(), o.readyFresh.At}} {
		for i := range r.len {
			entry := *r.at(i)
			if entry&1 == 1 {
				count(entry >> 1)
				continue
			}
			inRings[entry>>1]++
		}
	}
	o.keys.Each(func(k uint32, _ uint64, state *keyState) {
		last, lastOld, lastFresh := uint32(0), uint32(0), uint64(0)
		for i := state.first; i != 0; i = o.nodes[i].next {
			count(i)
			if last = i; o.nodes[i].as != asFresh {
				lastOld = i
				continue
			}
			if o.nodes[i].seq <= lastFresh {
				err = fmt.Errorf("%d comes behind %d", o.nodes[i].seq, lastFresh)
			}
			lastFresh = o.nodes[i].seq
		}
		queued := inRings[k] == 1
		if last != state.last || lastOld != state.lastOld || state.underWay != underWay[k] || queued != state.queued || inRings[k] > 1 {
			err = fmt.Errorf("key %+v ends with %d, %d, has %d under way and is in %d rings", *state, last, lastOld, underWay[k], inRings[k])
		}
		if state.underWay == 0 && !queued {
			err = fmt.Errorf("key %+v is forgotten", *state)
		}
	})
	if n != o.n || old != o.oldN {
		err = fmt.Errorf("%d wait, %d of them not fresh; counted %d, %d", n, old, o.n, o.oldN)
	}
	return err
}
