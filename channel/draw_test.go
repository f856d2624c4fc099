package channel

import "testing"

func TestSampleIsDrawnOncePerMessageAndDiffersBetweenChannels(t *testing.T) {
	const messages = 100_000
	a, b := &Channel{o: Options{Incarnation: 1}}, &Channel{o: Options{Incarnation: 2}}
	for _, rate := range []int{1, 10, 42, 99} {
		kept, both := 0, 0
		for seq := range uint64(messages) {
			in := a.drawn(seq, rate)
			if in != a.drawn(seq, rate) {
				t.Fatalf("message %d is drawn anew", seq)
			}
			if in {
				kept++
				if b.drawn(seq, rate) {
					both++
				}
			}
		}
		near := func(what string, got, want int) {
			if off := got - want; off*off > 9*messages { // six standard deviations at least
				t.Errorf("at %d %%: %d %s, want about %d", rate, got, what, want)
			}
		}
		near("kept", kept, messages*rate/100)
		near("in both channels", both, messages*rate*rate/10_000)
	}
}
