package channel

import (
	"slices"
	"testing"

	"qmq/internal/seqset"
)

// rewind has the channel of the model begin anew somewhere.
func (m *model) rewind() {
	if m.l.waiting > 0 {
		return // ephemeral ones are not rewound
	}
	start := draw(m, m.start, m.fanOut, "to")
	var flying []uint64
	for _, seq := range m.flying(nil) {
		if seq < start {
			flying = append(flying, seq)
		}
	}
	for seq, x := range m.msgs {
		switch {
		case seq < start && x.place == isFlying:
			x.place, x.owner = isReturned, nil
		case seq < start && x.place == isFresh:
			x.place = isDone
		case seq >= start:
			m.takeOut(seq)
			*x = modelMessage{}
			if m.voided(seq) {
				x.place = isDone
			}
		}
	}
	m.returned = append(m.returned, flying...)
	for _, d := range m.delayed {
		if x := m.msgs[d.Seq]; d.Seq >= start && x.place == isFresh {
			*x = modelMessage{place: isDeferred, delayed: true, due: d.DeliverAt - modelShift}
			if x.due*1e6 <= m.now {
				x.place = isDue
			}
		}
	}
	m.c.rewind(m.now, start, seqset.Union(m.voids), m.delayed, -modelShift)
}

func TestRewindOfAnIdleChannelBeginsAnew(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Advance(11, nil)
		if n := h.Rewind(h.PrepareRewind(5), nil, nil); n != 6 {
			t.Errorf("%d wait", n)
		}
		if h.Floor() != 5 || h.Cursor() != 5 || h.Stats().Depth != 6 || h.Stats().Rewound == 0 {
			t.Errorf("floor %d, cursor %d, %+v", h.Floor(), h.Cursor(), h.Stats())
		}
		if n := h.Rewind(h.PrepareRewind(100), nil, nil); n != 0 {
			t.Errorf("%d wait at the end", n)
		}
		if h.Floor() != 11 || h.Stats().Depth != 0 {
			t.Errorf("at the end: floor %d, %+v", h.Floor(), h.Stats())
		}
		first := h.PrepareRewind(1)
		h.Rewind(first, []seqset.Range{{From: 2, To: 4}}, nil)
		ch := h.Changes(false)
		if !ch.Full || ch.Version <= first.Version || ch.Floor != 1 || !slices.Equal(ch.Acked, []seqset.Range{{From: 2, To: 4}}) {
			t.Errorf("changes %+v after version %d", ch, first.Version)
		}
	})
}

// rewind has the ordered channel begin anew somewhere.
func (m *orderModel) rewind() {
	start := uint64(m.draw(1, int(m.fanOut), "to"))
	m.c.rewind(m.now, start, seqset.Union(m.voids), m.delayed, -modelShift)
	for seq := start; seq < m.fanOut; seq++ {
		if m.c.acked.Contains(seq) && !seqset.Contains(seqset.Union(m.voids), seq) {
			m.t.Fatalf("%d does not come again", seq)
		}
	}
	m.unlock()
}
