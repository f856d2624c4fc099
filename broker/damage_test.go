package broker

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// kinds lists what a broker has found and nobody acknowledged, oldest first.
func kinds(b *Broker) (list []DamageKind) {
	for _, f := range b.Damage().Findings {
		list = append(list, f.Kind)
	}
	slices.Reverse(list)
	return list
}

func wantKinds(t *testing.T, b *Broker, want ...DamageKind) {
	t.Helper()
	if got := kinds(b); !slices.Equal(got, want) {
		t.Errorf("damage is %q, want %q: %+v", got, want, b.Damage())
	}
}

// strange puts a directory with a topic's messages on a disk whose journal is
// whole and does not know the topic. It returns the directory's name.
func strange(t *testing.T, disk *crashfs.FS, name string, bodies ...string) string {
	t.Helper()
	other := newDisk(t, 2)
	b := open(t, other)
	tp := getTopic(t, b, name)
	dir := b.logDir(name, tp.Incarnation())
	must(t, publish(tp, bodies...))
	must(t, b.Close())
	for _, f := range other.Files() {
		if strings.HasPrefix(f.Name, dir+"/") {
			text, err := other.ReadFile(f.Name)
			must(t, err)
			must(t, disk.WriteFile(f.Name, text))
		}
	}
	return filepath.Base(dir)
}

func TestUnknownDirectoryIsKeptCountedAndNotServedUntilItIsAdopted(t *testing.T) {
	disk := newDisk(t, 1)
	must(t, open(t, disk).Close())
	dir := strange(t, disk, "orders", "1", "2")
	b := open(t, disk)
	wantKinds(t, b, UnknownDirectory)
	if f := b.Damage().Findings[0]; f.Topic != "orders" || filepath.Base(f.Path) != dir {
		t.Errorf("%+v", f)
	}
	if _, ok := b.Existing("orders"); ok {
		t.Error("it is served")
	}
	if err := b.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
	must(t, publish(getTopic(t, b, "orders"), "of the successor"))
	if _, err := b.Adopt(dir, ""); !errors.Is(err, ErrTopicExists) {
		t.Errorf("adopted beside a topic of that name: %v", err)
	}
	for _, name := range []string{"", "nothing", "../topics", ".deleted-" + dir, filepath.Base(b.logDir("orders", getTopic(t, b, "orders").Incarnation()))} {
		if _, err := b.Adopt(name, "x"); !errors.Is(err, ErrNoDirectory) {
			t.Errorf("adopted %q: %v", name, err)
		}
	}
	tp, err := b.Adopt(dir, "orders-of-yore")
	must(t, err)
	wantDepth(t, tp, 2)
	must(t, publish(tp, "3"))
	wantKinds(t, b)
	if _, err := b.Adopt(dir, "again"); !errors.Is(err, ErrNoDirectory) {
		t.Errorf("adopted twice: %v", err)
	}
	for range 2 {
		kill(disk, b)
		b = open(t, disk)
		wantKinds(t, b)
		wantDrained(t, getChannel(t, b, "orders-of-yore", "c"), "1", "2", "3")
		wantDrained(t, getChannel(t, b, "orders", "c"), "of the successor")
	}
	must(t, b.Close())
}

// TestAcknowledgedDamageIsOneRemarkInTheLog, however many findings it is.
func TestAcknowledgedDamageIsOneRemarkInTheLog(t *testing.T) {
	disk := newDisk(t, 1)
	boot := func(o *Options) { o.BootID = "one" } // all that was written is promised
	b := open(t, disk, boot)
	must(t, publish(getTopic(t, b, "t"), numbered("message-", 6)...))
	kill(disk, b)
	path := activeSegment(t, disk)
	text, err := disk.ReadFile(path)
	must(t, err)
	for _, body := range []string{"message-1", "message-3"} {
		text[bytes.Index(text, []byte(body))] ^= 1
	}
	must(t, disk.WriteFile(path, text))
	strange(t, disk, "unknown", "1")

	start := func(wantErrors, wantWarnings, wantRemarks int) {
		t.Helper()
		var log strings.Builder
		b = open(t, disk, boot, logTo(&log))
		lines := strings.Split(log.String(), "\n")
		count := func(level, what string) (n int) {
			for _, line := range lines {
				if strings.Contains(line, "level="+level) && strings.Contains(line, what) {
					n++
				}
			}
			return n
		}
		if errors, warnings, remarks := count("ERROR", "log is damaged"), count("WARN", "unknown topic"), count("INFO", "log is damaged"); errors != wantErrors ||
			warnings != wantWarnings || remarks != wantRemarks {
			t.Errorf("%d errors, %d warnings, %d remarks: %s", errors, warnings, remarks, log.String())
		}
	}
	start(2, 1, 0)
	must(t, b.Close())
	start(2, 1, 0)
	_, err = b.AcknowledgeDamage(b.Damage().Last)
	must(t, err)
	for range 2 {
		must(t, b.Close())
		start(0, 0, 1)
	}
	must(t, b.Close())
}

// TestSegmentsOfAnotherTopicAreNotAdopted: nothing would be served, and all of
// it be called missing.
func TestSegmentsOfAnotherTopicAreNotAdopted(t *testing.T) {
	disk := newDisk(t, 1)
	must(t, open(t, disk).Close())
	dir := strange(t, disk, "other", "1", "2")
	const wrong = "bills-0000000000000001"
	for _, f := range disk.Files() {
		if at, file := filepath.Split(f.Name); filepath.Base(at) == dir {
			text, err := disk.ReadFile(f.Name)
			must(t, err)
			must(t, disk.WriteFile(filepath.Join(filepath.Dir(filepath.Clean(at)), wrong, file), text))
		}
	}
	b := open(t, disk)
	for _, name := range []string{"", "another"} {
		_, err := b.Adopt(wrong, name)
		id := dir[strings.LastIndexByte(dir, '-')+1:]
		if err == nil || !strings.Contains(err.Error(), "these segments are of the topic with id "+id) {
			t.Errorf("adopted as %q: %v", name, err)
		}
	}
	wantKinds(t, b, UnknownDirectory, UnknownDirectory)
	tp, err := b.Adopt(dir, "another") // whose name is free again
	must(t, err)
	wantDepth(t, tp, 2)
	must(t, b.Close())
}

func TestAdoptedDirectoryMayTakeItsNameBack(t *testing.T) {
	disk := newDisk(t, 1)
	must(t, open(t, disk).Close())
	dir := strange(t, disk, "Orders", "1")
	b := open(t, disk)
	tp, err := b.Adopt(dir, "")
	must(t, err)
	if tp.Name() != "Orders" {
		t.Errorf("its name is %s", tp.Name())
	}
	must(t, b.Close())
	b = open(t, disk)
	wantKinds(t, b)
	wantDrained(t, getChannel(t, b, "Orders", "c"), "1")
	must(t, b.Close())
}

func TestAcknowledgedDamageStaysAwayAndOtherDamageDoesNot(t *testing.T) {
	disk := newDisk(t, 1)
	must(t, open(t, disk).Close())
	dir := strange(t, disk, "a", "1")
	b := open(t, disk)
	seen := b.Damage()
	d, err := b.AcknowledgeDamage(seen.Last)
	must(t, err)
	if len(d.Findings) != 1 || d.Findings[0].Topic != "a" {
		t.Errorf("acknowledged %+v", d)
	}
	wantKinds(t, b)
	for _, end := range []func(){func() { kill(disk, b) }, func() { must(t, b.Close()) }} {
		end()
		b = open(t, disk)
		wantKinds(t, b)
	}
	strange(t, disk, "b", "1")
	must(t, b.Close())
	b = open(t, disk)
	if d := b.Damage(); len(d.Findings) != 1 || d.Findings[0].Topic != "b" || d.Last <= seen.Last {
		t.Errorf("damage is %+v", d)
	}
	must(t, b.Close())

	// What is gone and comes again is news.
	must(t, disk.Mount().RemoveAll(dataPath+"/topics/"+dir))
	must(t, open(t, disk).Close())
	strange(t, disk, "a", "1")
	b = open(t, disk)
	if d := b.Damage(); len(d.Findings) != 2 {
		t.Errorf("damage is %+v", d)
	}
	must(t, b.Close())
}

func TestDamageIsAcknowledgedUpToWhatWasSeenAndOnlyWithTheJournal(t *testing.T) {
	disk := newDisk(t, 1)
	must(t, open(t, disk).Close())
	strange(t, disk, "a", "1")
	b := open(t, disk)
	seen := b.Damage().Last
	b.report(Finding{ID: "missing/1/1", Kind: MissingRecords, Topic: "t", From: 1, To: 3, Messages: 2})
	failJournal(disk)
	if _, err := b.AcknowledgeDamage(seen); !errors.Is(err, errIO) {
		t.Errorf("acknowledged: %v", err)
	}
	wantKinds(t, b, UnknownDirectory, MissingRecords)
	disk.Fail(nil)
	_, err := b.AcknowledgeDamage(seen)
	must(t, err)
	wantKinds(t, b, MissingRecords)
	if n := b.Damage().Messages; n != 2 {
		t.Errorf("%d messages", n)
	}
	must(t, b.Close())
}

func TestFindingsOutliveTheProcessUntilTheyAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		b.report(Finding{ID: "damaged/1/1", Kind: DamagedRecords, Topic: "t", From: 1, To: 3, Messages: 2})
		<-time.After(2 * time.Second)
		before := b.Damage()
		disk.Crash(crashfs.DropAll)
		_ = b.Close() // its disk is gone
		b = open(t, disk)
		if got := b.Damage(); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("damage is %+v, was %+v", got, before)
		}
		_, err := b.AcknowledgeDamage(before.Last)
		must(t, err)
		for range 3 {
			kill(disk, b)
			b = open(t, disk)
			wantKinds(t, b)
		}
		must(t, b.Close())
	})
}

func TestAcknowledgementHoldsAlsoWhenTheFileOfFindingsIsOld(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	b.report(Finding{ID: "journal/1", Kind: DamagedJournal, Bytes: 1})
	b.damages.flush()
	old, err := disk.ReadFile(b.damagePath())
	must(t, err)
	_, err = b.AcknowledgeDamage(b.Damage().Last)
	must(t, err)
	kill(disk, b)
	must(t, disk.WriteFile(b.damagePath(), old))
	for range 3 {
		b = open(t, disk)
		wantKinds(t, b)
		kill(disk, b)
	}
}

func TestFindingsAreBoundedAndTheOldestAreCounted(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	const n = 3 * maxFindings
	for i := range uint64(n) {
		b.report(Finding{ID: fmt.Sprintf("damaged/1/%d", 2*i), Kind: DamagedRecords, Topic: "t", From: 2 * i, To: 2*i + 1, Messages: 1})
	}
	for range 2 {
		d := b.Damage()
		if len(d.Findings) != maxListed || d.Findings[0].From != 2*(n-1) {
			t.Errorf("%d findings, the first %+v", len(d.Findings), d.Findings[0])
		}
		if len(d.Older) != 1 || d.Older[0].Findings != n-maxListed || d.Messages != n {
			t.Errorf("older: %+v, %d messages in all", d.Older, d.Messages)
		}
		must(t, b.Close())
		b = open(t, disk)
	}
	first := b.damage.findings[0].Number
	if d, err := b.AcknowledgeDamage(first - 1 - n); err != nil || d.Messages != 0 || b.Damage().Messages != n {
		t.Errorf("acknowledged %+v, %v", d, err)
	}
	_, err := b.AcknowledgeDamage(b.Damage().Last)
	must(t, err)
	if d := b.Damage(); !d.None() || d.Messages != 0 {
		t.Errorf("after all was acknowledged: %+v", d)
	}
	must(t, b.Close())
}

// failTopic makes every access to a topic's directory fail.
func failTopic(disk *crashfs.FS, name string) {
	disk.Fail(func(op crashfs.Op, path string) error {
		if strings.Contains(path, "/topics/"+name+"-") {
			return syscall.EIO
		}
		return nil
	})
}

func TestTopicThatCannotBeOpenedIsShownAndRefusesAndTheOthersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		for _, name := range []string{"bad", "good"} {
			getChannel(t, b, name, "c")
			must(t, publish(getTopic(t, b, name), "1"))
		}
		must(t, b.Close())
		failTopic(disk, "bad")
		b = open(t, disk)
		wantKinds(t, b, Unopenable)
		if err := b.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
		wantDrained(t, getChannel(t, b, "good", "c"), "1")
		_, err := b.Topic("bad")
		if !errors.Is(err, syscall.EIO) || strings.Contains(err.Error(), dataPath) || b.Unopenable("bad") == nil {
			t.Errorf("refused with %v", err)
		}
		if _, ok := b.Existing("bad"); ok {
			t.Error("it is served")
		}
		text := new(strings.Builder)
		must(t, b.writeMetadata(text))
		if !strings.Contains(text.String(), `"bad"`) {
			t.Errorf("metadata.json is without it: %s", text)
		}
		must(t, b.Close())
		b = open(t, disk)
		wantKinds(t, b, Unopenable)
		disk.Fail(nil)
		<-time.After(3 * time.Second)
		wantKinds(t, b)
		wantDrained(t, getChannel(t, b, "bad", "c"), "1")
		must(t, publish(getTopic(t, b, "bad"), "2"))
		kill(disk, b)
		b = open(t, disk)
		wantDrained(t, getChannel(t, b, "bad", "c"), "1", "2")
		must(t, b.Close())
	})
}

func TestSegmentThatTheDiskDoesNotOpenIsFound(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	must(t, publish(getTopic(t, b, "bad"), "1"))
	must(t, b.Close())
	disk.Fail(func(op crashfs.Op, path string) error {
		if op == crashfs.OpOpen && strings.Contains(path, "/topics/bad-") {
			return syscall.EIO
		}
		return nil
	})
	b = open(t, disk)
	wantKinds(t, b, UnreadableRecords)
	disk.Fail(nil)
	must(t, b.Close())
	b = open(t, disk)
	wantDrained(t, getChannel(t, b, "bad", "c"), "1")
	must(t, b.Close())
}

func TestTopicThatCannotBeOpenedMayBeDeleted(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	must(t, publish(getTopic(t, b, "bad"), "1"))
	must(t, b.Close())
	disk.Fail(func(op crashfs.Op, path string) error {
		if op == crashfs.OpOpen && strings.Contains(path, "/topics/bad-") {
			return syscall.EACCES
		}
		return nil
	})
	b = open(t, disk)
	wantKinds(t, b, Unopenable)
	must(t, b.DeleteTopic("bad"))
	wantKinds(t, b)
	disk.Fail(nil)
	must(t, publish(getTopic(t, b, "bad"), "of the successor"))
	must(t, b.Close())
	b = open(t, disk)
	wantKinds(t, b)
	wantDrained(t, getChannel(t, b, "bad", "c"), "of the successor")
	if dirs := topicDirs(t, disk); len(dirs) != 1 {
		t.Errorf("left: %q", dirs)
	}
	must(t, b.Close())
}

// What is found while a node runs is told after its death, too, when nothing
// finds it again: an index says that no scan is needed, and the channel has
// passed the place.
func TestFindingsOfTheLastMomentOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		adjust := func(o *Options) { o.SegmentBytes, o.MemQueueSize = 64<<10, 0; sameBoot(o) }
		b := open(t, disk, adjust)
		c := getChannel(t, b, "t", "c")
		body := strings.Repeat("x", 1000)
		for range 200 {
			must(t, publish(getTopic(t, b, "t"), body))
		}
		<-time.After(5 * time.Second) // synced, and full segments have their index
		synctest.Wait()
		var names []string
		for _, f := range disk.Files() {
			if strings.HasSuffix(f.Name, ".seg") {
				names = append(names, f.Name)
			}
		}
		for i, name := range names[:2] {
			content, err := disk.ReadFile(name)
			must(t, err)
			must(t, disk.FlipBit(name, int64(bytes.Index(content, []byte(body))+i)))
		}
		k := subscribe(t, c, 1)
		for left := 198; left > 0; left-- {
			<-time.After(2 * time.Millisecond)
			ds := k.take()
			if len(ds) == 0 {
				t.Fatalf("%d messages are not delivered", left)
			}
			k.finish(t, ds...)
		}
		<-time.After(200 * time.Millisecond)
		synctest.Wait()
		want := b.Damage().Messages
		kill(disk, b)
		b = open(t, disk, adjust)
		if got := b.Damage().Messages; got != want || want != 2 {
			t.Errorf("%d messages are lost, of %d that were", got, want)
		}
		must(t, b.Close())
	})
}
