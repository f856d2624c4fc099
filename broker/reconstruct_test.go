package broker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/names"
	"qmq/internal/vfs/crashfs"
)

// sameBoot says that only processes ended, and not the machine.
func sameBoot(o *Options) { o.BootID = "monday" }

// journalFiles lists the journal's files with a suffix, oldest first.
func journalFiles(disk *crashfs.FS, suffix string) (names []string) {
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, dataPath+"/journal/") && strings.HasSuffix(f.Name, suffix) {
			names = append(names, f.Name)
		}
	}
	return names
}

// spoil flips a bit of a text wherever it stands in the journal's files of a
// suffix, and says whether it did.
func spoil(t *testing.T, disk *crashfs.FS, suffix, text string) (found bool) {
	t.Helper()
	for _, name := range journalFiles(disk, suffix) {
		content, err := disk.ReadFile(name)
		must(t, err)
		for at := 0; ; at++ {
			i := bytes.Index(content[at:], []byte(text))
			if i < 0 {
				break
			}
			at += i
			must(t, disk.FlipBit(name, int64(at)))
			found = true
		}
	}
	return found
}

func removeFiles(t *testing.T, disk *crashfs.FS, names ...string) {
	t.Helper()
	for _, name := range names {
		must(t, disk.Mount().Remove(name))
	}
}

// TestJournalDamageMakesNoTopicOrChannelVanish damages the journal where it
// tells of the topology in each way, with metadata.json and without.
func TestJournalDamageMakesNoTopicOrChannelVanish(t *testing.T) {
	damages := map[string]func(*testing.T, *crashfs.FS){
		"creation of a channel": func(t *testing.T, disk *crashfs.FS) { spoil(t, disk, ".log", "young") },
		"creation of a topic":   func(t *testing.T, disk *crashfs.FS) { spoil(t, disk, ".log", "second") },
		"every checkpoint":      func(t *testing.T, disk *crashfs.FS) { spoil(t, disk, ".ckpt", "first") },
		"headers of all checkpoints": func(t *testing.T, disk *crashfs.FS) {
			for _, name := range journalFiles(disk, ".ckpt") {
				must(t, disk.FlipBit(name, 3))
			}
		},
		"no checkpoint": func(t *testing.T, disk *crashfs.FS) { removeFiles(t, disk, journalFiles(disk, ".ckpt")...) },
		"empty checkpoints": func(t *testing.T, disk *crashfs.FS) {
			for _, name := range journalFiles(disk, ".ckpt") {
				must(t, disk.WriteFile(name, nil))
			}
		},
		"newest log empty":            func(t *testing.T, disk *crashfs.FS) { cutNewestLog(t, disk, 0) },
		"newest log cut in its head":  func(t *testing.T, disk *crashfs.FS) { cutNewestLog(t, disk, 10) },
		"newest log without a record": func(t *testing.T, disk *crashfs.FS) { cutNewestLog(t, disk, 20) },
		"newest log gone": func(t *testing.T, disk *crashfs.FS) {
			logs := journalFiles(disk, ".log")
			removeFiles(t, disk, logs[len(logs)-1])
		},
		"newest log of zeros": func(t *testing.T, disk *crashfs.FS) {
			logs := journalFiles(disk, ".log")
			must(t, disk.WriteFile(logs[len(logs)-1], make([]byte, 4096)))
		},
		"newest log ends early": func(t *testing.T, disk *crashfs.FS) {
			logs := journalFiles(disk, ".log")
			content, err := disk.ReadFile(logs[len(logs)-1])
			must(t, err)
			cutNewestLog(t, disk, bytes.Index(content, []byte("young"))-30) // the frame's beginning is gone too
		},
		"no logs":    func(t *testing.T, disk *crashfs.FS) { removeFiles(t, disk, journalFiles(disk, ".log")...) },
		"no journal": func(t *testing.T, disk *crashfs.FS) { must(t, disk.Mount().RemoveAll(dataPath+"/journal")) },
	}
	for name, damage := range damages {
		for _, metadata := range []bool{true, false} {
			if !metadata && strings.HasPrefix(name, "newest log") {
				continue // nothing else tells that there was more
			}
			t.Run(fmt.Sprintf("%s, metadata %v", name, metadata), func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, sameBoot)
				getChannel(t, b, "gone", "c")
				must(t, publish(getTopic(t, b, "gone"), "x"))
				getChannel(t, b, "first", "old")
				must(t, b.Close())
				b = open(t, disk, sameBoot)
				must(t, b.DeleteTopic("gone"))
				getChannel(t, b, "first", "young")
				getChannel(t, b, "second", "c")
				for _, topic := range []string{"first", "second"} {
					must(t, publish(getTopic(t, b, topic), "1", "2"))
				}
				b.metadata.write()
				kill(disk, b)
				damage(t, disk)
				if !metadata {
					removeFiles(t, disk, dataPath+"/metadata.json")
				}
				for range 3 {
					b = open(t, disk, sameBoot)
					wantReconstructed(t, b, metadata)
					if b.Damage().None() && !strings.Contains(name, "checkpoint") { // for which the logs make up
						t.Error("nobody is told of the damage")
					}
					if _, ok := b.Existing("gone"); ok && (metadata || name != "no logs") {
						t.Error("a deleted topic is back")
					}
					kill(disk, b)
				}
			})
		}
	}
}

// cutNewestLog keeps so many bytes of the log that was written last.
func cutNewestLog(t *testing.T, disk *crashfs.FS, keep int) {
	t.Helper()
	logs := journalFiles(disk, ".log")
	name := logs[len(logs)-1]
	content, err := disk.ReadFile(name)
	must(t, err)
	must(t, disk.WriteFile(name, content[:keep]))
}

// wantReconstructed checks that every message is delivered to every channel
// that may be known, or to the first that comes.
func wantReconstructed(t *testing.T, b *Broker, metadata bool) {
	t.Helper()
	for _, want := range []struct {
		topic    string
		channels []string
	}{{"first", []string{"old", "young"}}, {"second", []string{"c"}}} {
		tp, ok := b.Existing(want.topic)
		if !ok {
			t.Errorf("topic %s is gone: %+v", want.topic, b.Damage())
			continue
		}
		served := 0
		for _, name := range want.channels {
			if c, ok := tp.ExistingChannel(name); ok {
				wantDrained(t, c, "1", "2")
				served++
			} else if metadata {
				t.Errorf("channel %s of %s is gone: %+v", name, want.topic, b.Damage())
			}
		}
		if served == 0 {
			wantDrained(t, getChannel(t, b, want.topic, want.channels[0]), "1", "2")
		}
	}
}

func TestReconstructedThingsAreNamedUntilAcknowledged(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, sameBoot)
	getChannel(t, b, "t", "c")
	must(t, existing(b, "t").PauseChannel("c"))
	must(t, publish(getTopic(t, b, "t"), "1"))
	b.metadata.write()
	kill(disk, b)
	removeFiles(t, disk, journalFiles(disk, ".log")...)
	for range 2 {
		b = open(t, disk, sameBoot)
		var names []string
		for _, f := range b.Damage().Findings {
			if f.Kind == Reconstructed {
				names = append(names, f.Topic+"/"+f.Channel)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"t/", "t/c"}) {
			t.Errorf("reconstructed: %q", names)
		}
		if !existingChannel(b, "t", "c").Paused() {
			t.Error("the pause is forgotten")
		}
		must(t, b.Close())
	}
	b = open(t, disk, sameBoot)
	_, err := b.AcknowledgeDamage(b.Damage().Last)
	must(t, err)
	must(t, b.Close())
	b = open(t, disk, sameBoot)
	wantKinds(t, b)
	must(t, b.Close())
}

func TestMetadataOlderThanTheCheckpointBringsNothingBack(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, sameBoot)
	getChannel(t, b, "t", "c")
	getChannel(t, b, "gone", "c")
	must(t, b.Close())
	old, err := disk.ReadFile(dataPath + "/metadata.json")
	must(t, err)
	b = open(t, disk, sameBoot)
	must(t, b.DeleteTopic("gone"))
	must(t, existing(b, "t").DeleteChannel("c"))
	must(t, b.Close()) // with a checkpoint
	b = open(t, disk, sameBoot)
	getChannel(t, b, "t", "spoilt")
	must(t, publish(getTopic(t, b, "t"), "1"))
	getTopic(t, b, "last") // so that what is spoilt is no torn tail
	kill(disk, b)
	must(t, disk.WriteFile(dataPath+"/metadata.json", old))
	if !spoil(t, disk, ".log", "spoilt") {
		t.Fatal("nothing was spoilt")
	}
	b = open(t, disk, sameBoot)
	wantKinds(t, b, DamagedJournal)
	if _, ok := b.Existing("gone"); ok {
		t.Error("the deleted topic is back")
	}
	if _, ok := existing(b, "t").ExistingChannel("c"); ok {
		t.Error("the deleted channel is back")
	}
	must(t, b.Close())
}

func TestDeletionWhoseRenameSurvivedIsFinished(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, sameBoot)
	tp := getTopic(t, b, "t")
	dir := filepath.Base(b.logDir("t", tp.Incarnation()))
	must(t, publish(tp, "1"))
	must(t, b.Close())
	fs := disk.Mount()
	must(t, fs.Rename(dataPath+"/topics/"+dir, dataPath+"/topics/"+names.DeletedPrefix+dir))
	for range 2 {
		b = open(t, disk, sameBoot)
		if _, ok := b.Existing("t"); ok {
			t.Error("the deleted topic is back")
		}
		wantKinds(t, b)
		b.background.Wait()
		if dirs := topicDirs(t, disk); len(dirs) != 0 {
			t.Errorf("left: %q", dirs)
		}
		kill(disk, b)
	}
}

// TestDeletedStaysDeletedUnderEveryUndamagedHistory makes and deletes topics and
// channels over clean stops and kills at any operation of the disk, and wants
// exactly those there that were answered for, and nothing found.
func TestDeletedStaysDeletedUnderEveryUndamagedHistory(t *testing.T) {
	rounds := uint64(60)
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		h := &history{t: t, disk: newDisk(t, seed), rng: rand.New(rand.NewPCG(seed, 2)), there: make(map[string]bool), unsure: make(map[string]bool)}
		for range 6 {
			h.life()
		}
		h.b = open(t, h.disk, sameBoot)
		h.check()
		must(t, h.b.Close())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestNoBitOfTheJournalMakesATopicOrChannelVanish(t *testing.T) {
	rounds := uint64(200)
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		h := &history{t: t, disk: newDisk(t, seed), rng: rand.New(rand.NewPCG(seed, 3)), there: make(map[string]bool), unsure: make(map[string]bool)}
		for range 2 {
			h.b = open(t, h.disk, sameBoot)
			for range 15 {
				h.step(fmt.Sprint("t", h.rng.IntN(4)), fmt.Sprint("c", h.rng.IntN(2)))
			}
			h.b.metadata.flush()
			if h.rng.IntN(3) == 0 {
				must(t, h.b.Close())
			} else {
				kill(h.disk, h.b)
			}
		}
		files := slices.Concat(journalFiles(h.disk, ".log"), journalFiles(h.disk, ".ckpt"))
		name := files[h.rng.IntN(len(files))]
		text, err := h.disk.ReadFile(name)
		must(t, err)
		must(t, h.disk.FlipBit(name, h.rng.Int64N(int64(len(text)))))
		h.b = open(t, h.disk, sameBoot)
		now := h.now()
		for name, there := range h.there {
			if there && !now[name] {
				t.Errorf("%s is gone: %+v", name, h.b.Damage())
			}
		}
		must(t, h.b.Close())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// history is what was made and deleted on one disk.
type history struct {
	t    *testing.T
	disk *crashfs.FS
	rng  *rand.Rand
	b    *Broker
	// there are the topics and channels, a channel as topic/channel; unsure are
	// those about which the last process ended before it answered.
	there, unsure map[string]bool
}

func (h *history) life() {
	wantSound(h.t, h.disk, "")
	h.b = open(h.t, h.disk)
	h.check()
	var left atomic.Int64
	if left.Store(1 + h.rng.Int64N(60)); h.rng.IntN(2) == 0 {
		left.Store(1 << 30)
	}
	h.disk.Fail(func(op crashfs.Op, _ string) error {
		if left.Add(-1) == 0 {
			h.disk.Kill()
		}
		return nil
	})
	for range 20 {
		topic, channel := fmt.Sprint("t", h.rng.IntN(4)), fmt.Sprint("c", h.rng.IntN(2))
		h.step(topic, channel)
	}
	const more = 1 << 40 // who was asked before Fail ends may come to the end no more
	alive := left.Add(more) > more
	h.disk.Fail(nil)
	if alive && h.rng.IntN(2) == 0 {
		must(h.t, h.b.Close())
		return
	}
	kill(h.disk, h.b)
}

func (h *history) step(topic, channel string) {
	tp, ok := h.b.Existing(topic)
	if !ok {
		_, err := h.b.Topic(topic)
		h.answered(err, true, topic)
		return
	}
	switch h.rng.IntN(6) {
	case 0:
		below := []string{topic}
		for name := range h.there {
			if strings.HasPrefix(name, topic+"/") {
				below = append(below, name)
			}
		}
		h.answered(h.b.DeleteTopic(topic), false, below...)
	case 1:
		if _, ok := tp.ExistingChannel(channel); ok {
			h.answered(tp.DeleteChannel(channel), false, topic+"/"+channel)
		}
	case 2:
		_ = publish(tp, "m")
	default:
		_, err := tp.Channel(channel)
		h.answered(err, true, topic+"/"+channel)
	}
}

func (h *history) answered(err error, there bool, names ...string) {
	for _, name := range names {
		h.unsure[name] = err != nil || h.unsure[name]
		if err == nil {
			h.there[name] = there
		}
	}
}

// now lists what there is.
func (h *history) now() map[string]bool {
	now := make(map[string]bool)
	for _, tp := range h.b.Topics() {
		now[tp.Name()] = true
		for _, c := range tp.Channels() {
			now[tp.Name()+"/"+c.Name()] = true
		}
	}
	return now
}

func (h *history) check() {
	h.t.Helper()
	if d := h.b.Damage(); !d.None() {
		h.t.Errorf("nothing was damaged, and damage is %+v", d)
	}
	now := h.now()
	for name := range now {
		if !h.there[name] && !h.unsure[name] {
			h.t.Errorf("%s was deleted and is back", name)
		}
	}
	for name, there := range h.there {
		if there && !now[name] && !h.unsure[name] {
			h.t.Errorf("%s is gone", name)
		}
	}
	h.there, h.unsure = now, make(map[string]bool)
}

// metadata.json names what the journal has on the disk: that its end cannot be
// read is damage then, also when the machine was down meanwhile.
func TestDamagedEndOfTheJournalIsNoticedAfterTheMachineEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		boot := "monday"
		adjust := func(o *Options) { o.BootID = boot }
		b := open(t, disk, adjust)
		tp := getTopic(t, b, "t")
		must(t, publish(tp, "1"))
		<-time.After(5 * time.Second)
		getChannel(t, b, "t", "young")
		<-time.After(5 * time.Second)
		synctest.Wait()
		disk.Crash(crashfs.DropAll)
		_ = b.Close() // its file system is gone
		log := journalFiles(disk, ".log")
		content, err := disk.ReadFile(log[len(log)-1])
		must(t, err)
		clear(content[bytes.Index(content, []byte("young")):])
		must(t, disk.WriteFile(log[len(log)-1], content))
		boot = "tuesday"
		b = open(t, disk, adjust)
		wantKinds(t, b, DamagedJournal, Reconstructed)
		if _, ok := getTopic(t, b, "t").ExistingChannel("young"); !ok {
			t.Error("the channel is gone")
		}
		must(t, b.Close())
	})
}
