package serve

import (
	"errors"
	"log/slog"
	"time"

	"qmq/channel"
	"qmq/replica/machine"
	"qmq/settings"
	"qmq/state"
)

// retainEvery is how often it is looked what is not to be retained any more.
const retainEvery = 10 * time.Second

// beginRetention has it looked at all topics: the patterns of this node may say something
// else of them than those of the leader before.
func (v *Serving) beginRetention() {
	v.unjudged = make(map[uint64]bool)
	for _, id := range v.shard.machine.Topics() {
		v.unjudged[id] = true
	}
	v.retention = v.shard.n.deadlines.NewTimer(func(int64) { v.work(v.retain) })
	v.retention.Arm(v.shard.n.now())
}

// judgeRetention has it looked at a topic soon: it is new, or something was set of it.
func (v *Serving) judgeRetention(id uint64) {
	v.mu.Lock()
	v.unjudged[id] = true
	v.mu.Unlock()
	v.retention.Arm(v.shard.n.now())
}

// retain has it agreed on what of finished messages is kept, see machine.Retention.
func (v *Serving) retain() {
	v.retaining.Lock()
	defer v.retaining.Unlock()
	defer func() { v.retention.Arm(v.shard.n.now() + int64(retainEvery)) }()
	o := &v.shard.n.o
	if o.Retainable != nil && !o.Retainable() {
		return
	}
	scarce := o.Scarce != nil && o.Scarce()
	for _, id := range v.toRetain() {
		from, change, err := v.retainFrom(id, scarce)
		if err == nil && change {
			err = v.log.Commit(state.Entry{Op: state.RetainFrom, Topic: id, Start: from})
		}
		switch {
		case errors.Is(err, errNotLeader):
			return
		case errors.Is(err, channel.ErrExiting), errors.Is(err, machine.ErrNoTopic): // it is deleted
		case err != nil:
			o.Logger.Warn("it is not agreed on what is retained of a topic", slog.Uint64("incarnation", id), slog.Any("error", err))
		}
	}
}

// toRetain takes the topics to be looked at.
func (v *Serving) toRetain() []uint64 {
	list := v.shard.machine.Retained()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range list {
		delete(v.unjudged, id)
	}
	for id := range v.unjudged {
		list = append(list, id)
	}
	clear(v.unjudged)
	return list
}

// retainFrom is where what is kept of a topic begins by now.
func (v *Serving) retainFrom(id uint64, scarce bool) (from uint64, change bool, err error) {
	keep := v.keeps(id)
	if scarce && keep != (machine.Retention{}) {
		from, change = v.shard.machine.Unretained(id)
		return from, change, nil
	}
	return v.shard.machine.RetainFrom(id, keep, v.shard.n.clock.Wall())
}

// keeps is what the settings that are in force say.
func (v *Serving) keeps(id uint64) machine.Retention {
	name, text, ok := v.shard.machine.Named(id)
	if !ok {
		return machine.Retention{}
	}
	set, _ := settings.ParseTopic(text) // what it does not know is told where it is served
	e := v.common.ReplicaSettings(name, set).Effective()
	return machine.Retention{Time: e.RetentionTime, Bytes: e.RetentionBytes}
}
