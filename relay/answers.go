package relay

import (
	"errors"
	"iter"

	"qmq/channel"
)

// maxAnswers is how many answers are in a frame at most.
const maxAnswers = 4096

// Answer applies the answers in order. Where the topic is served by another node, the
// error of an answer may come later, by the AnswerFailed callback.
func (k *Consumer) Answer(answers []channel.Answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seat != nil {
		k.answerSeat(answers)
	} else {
		for i := range answers {
			k.keep(&answers[i])
		}
		k.queueFrames()
	}
	for i := range answers {
		switch a := &answers[i]; {
		case a.Err != nil:
		case a.Op == channel.Finish:
			k.stats.FinishCount++
		case a.Op == channel.Requeue:
			k.stats.RequeueCount++
		}
	}
}

// keep keeps an answer for a leader, if it is for a message that the client holds. The
// caller holds k.mu.
func (k *Consumer) keep(a *channel.Answer) {
	clock := k.r.o.Clock
	if a.Err = k.client.answer(a, clock.Now()+k.timeout(), clock.Wall()); a.Err == nil {
		k.pending = append(k.pending, *a)
	}
}

// answerSeat has the channel on this node apply answers, and returns those that failed.
// A channel that ends because another node leads now says nothing of them: they wait
// for that one. The caller holds k.mu.
func (k *Consumer) answerSeat(answers []channel.Answer) (failed []channel.Answer) {
	if len(answers) == 0 {
		return nil
	}
	k.seat.consumer.Answer(answers)
	now, wall := k.r.o.Clock.Now(), k.r.o.Clock.Wall()
	for i := range answers {
		a := &answers[i]
		if errors.Is(a.Err, channel.ErrExiting) && k.at != k.shard.generation.Load() {
			k.keep(a)
			continue
		}
		if k.client.answerDone(a, a.Err, now, wall); a.Err != nil {
			failed = append(failed, *a)
			continue
		}
		if a.Op == channel.Touch {
			k.client.touch(a, now+k.timeout())
		}
	}
	return failed
}

// answered notes what became of the answers that the leader got first. Where the channel
// has ended they wait: it may be because another node leads now, which is told of them.
func (k *Consumer) answered(number uint64, answers uint32, failures []failure) {
	k.mu.Lock()
	if k.closed || k.number != number {
		k.mu.Unlock()
		return
	}
	now, wall := k.r.o.Clock.Now(), k.r.o.Clock.Wall()
	n := min(int(answers), k.sent)
	var failed []channel.Answer
	for i := range n {
		a := &k.pending[i]
		var err error
		if len(failures) > 0 && int(failures[0].index) == i {
			if failures[0].code == codeExiting {
				n = i
				break
			}
			err = errorOf(failures[0].code, "")
			failures = failures[1:]
		}
		k.client.answerDone(a, err, now, wall)
		if err != nil && a.Op != channel.Return {
			failed = append(failed, channel.Answer{Op: a.Op, ID: a.ID, Err: err})
		}
	}
	k.pending = k.pending[:copy(k.pending, k.pending[n:])]
	k.sent -= n
	if len(failed) == 0 {
		k.confirm(n)
		k.mu.Unlock()
		return
	}
	k.telling += n
	k.callUnlock(func() {
		for _, a := range failed {
			k.failed(a)
		}
	})
	k.told(n)
}

// queueFrames has the leader's node told what there is to say. The caller holds k.mu.
func (k *Consumer) queueFrames() {
	if k.number == 0 || k.member == k.r.o.Self || k.queued {
		return
	}
	k.queued = true
	k.r.peer(k.member).push(saying{consumer: k})
}

// say makes the frames of all that the consumer has to say to a node, in dst.
func (k *Consumer) say(member uint64, dst []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		k.mu.Lock()
		if k.member != member {
			k.mu.Unlock()
			return
		}
		k.queued = false
		frames := k.frames(dst)
		k.mu.Unlock()
		for _, f := range frames {
			if !yield(f) {
				return
			}
		}
	}
}

// frames are what there is to say. Until the leader has taken the consumer it is
// asked for that alone. The caller holds k.mu.
func (k *Consumer) frames(dst []byte) (frames [][]byte) {
	if k.open != nil {
		frames = append(frames, k.open)
		k.open = nil
	}
	if !k.joined {
		return frames
	}
	if !k.readySent {
		k.readySent = true
		frames = append(frames, appendReady(nil, k.number, k.generation, k.ready))
	}
	frames = append(frames, k.answerFrames(dst)...)
	if k.taken >= window/2 {
		frames = append(frames, appendTaken(nil, k.number, k.taken))
		k.taken = 0
	}
	return frames
}

// answerFrames are the answers that were not sent yet, the first in dst. The caller
// holds k.mu.
func (k *Consumer) answerFrames(dst []byte) (frames [][]byte) {
	for k.sent < len(k.pending) {
		dst = appendHead(dst, kindAnswers, k.number)
		for end := min(k.sent+maxAnswers, len(k.pending)); k.sent < end; k.sent++ {
			dst = appendAnswer(dst, &k.pending[k.sent])
		}
		frames = append(frames, dst)
		dst = nil
	}
	return frames
}
