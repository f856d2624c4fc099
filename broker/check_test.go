package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// check checks a disk on which no broker runs, and that this changes nothing.
func check(t testing.TB, disk *crashfs.FS, boot string) *Checked {
	t.Helper()
	before := bytesOf(t, disk)
	checked, err := Check(CheckOptions{FS: disk.Mount(), DataPath: dataPath, BootID: boot})
	must(t, err)
	if after := bytesOf(t, disk); !slices.Equal(before, after) {
		t.Fatal("the check changed the disk")
	}
	return checked
}

// bytesOf is each file of a disk with a checksum of what is in it.
func bytesOf(t testing.TB, disk *crashfs.FS) (files []string) {
	t.Helper()
	for _, f := range disk.Files() {
		text, err := disk.ReadFile(f.Name)
		must(t, err)
		files = append(files, fmt.Sprintf("%s %d %x", f.Name, len(text), sha256.Sum256(text)))
	}
	return files
}

// wantSound checks that nothing is amiss on a disk on which brokers ran.
func wantSound(t testing.TB, disk *crashfs.FS, boot string) {
	t.Helper()
	if len(disk.Files()) == 0 {
		return // none did yet
	}
	if checked := check(t, disk, boot); len(checked.Findings) > 0 {
		t.Errorf("nothing was damaged, and the check finds %+v", checked.Findings)
	}
}

// used is a disk with the topics orders, of whose 100 messages the channel work
// has finished every second, and empty; its broker was closed.
func used(t *testing.T, adjust ...func(*Options)) *crashfs.FS {
	t.Helper()
	disk := newDisk(t, 1)
	b := open(t, disk, append(adjust, sameBoot)...)
	work := getChannel(t, b, "orders", "work")
	must(t, publish(getTopic(t, b, "orders"), numbered("message-", 100)...))
	getTopic(t, b, "empty")
	k := subscribe(t, work, 1000)
	for i, d := range k.takeAll() {
		if i%2 == 0 {
			k.finish(t, d)
		} else if errs := k.answer(channel.Requeue, time.Hour, d); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	k.Close()
	must(t, b.Close())
	return disk
}

func TestCheckOfAWholeDirectoryCountsAndFindsNothing(t *testing.T) {
	disk := used(t)
	checked := check(t, disk, "monday")
	if len(checked.Findings) > 0 || checked.Amiss() != 0 {
		t.Errorf("found %+v", checked.Findings)
	}
	if len(checked.Topics) != 2 {
		t.Fatalf("%d topics", len(checked.Topics))
	}
	if e := checked.Topics[0]; e.Name != "empty" || e.Messages != 0 || len(e.Channels) != 0 {
		t.Errorf("%+v", e)
	}
	if o := checked.Topics[1]; o.Name != "orders" || o.Messages != 100 || o.Segments != 1 || o.Bytes == 0 || !slices.Equal(o.Channels, []string{"work"}) {
		t.Errorf("%+v", o)
	}
	text, err := json.Marshal(checked)
	must(t, err)
	if strings.Contains(string(text), "null") {
		t.Errorf("a list is null: %s", text)
	}
}

func TestCheckFindsWhatIsDamaged(t *testing.T) {
	rewrite := func(change func([]byte) []byte) func(*testing.T, *crashfs.FS, string) {
		return func(t *testing.T, disk *crashfs.FS, path string) {
			text, err := disk.ReadFile(path)
			must(t, err)
			must(t, disk.WriteFile(path, change(text)))
		}
	}
	flip := func(what string) func([]byte) []byte {
		return func(b []byte) []byte {
			b[bytes.LastIndex(b, []byte(what))] ^= 1
			return b
		}
	}
	tests := []struct {
		name   string
		suffix string // of the last file that is damaged
		damage func(t *testing.T, disk *crashfs.FS, path string)
		want   []DamageKind
		lost   uint64
	}{
		{"nothing", ".seg", func(*testing.T, *crashfs.FS, string) {}, nil, 0},
		{"a message", ".seg", rewrite(flip("message-7")), []DamageKind{DamagedRecords}, 1},
		{"the end of a segment", ".seg", rewrite(func(b []byte) []byte { return b[:bytes.Index(b, []byte("message-50"))-5] }), []DamageKind{MissingRecords}, 50},
		{"a segment", ".seg", func(t *testing.T, disk *crashfs.FS, path string) { must(t, disk.Remove(path)) }, []DamageKind{MissingRecords}, 100},
		{"the newest checkpoint", ".ckpt", rewrite(flip("work")), []DamageKind{DamagedJournal}, 0},
		{"the whole journal", "", func(t *testing.T, disk *crashfs.FS, _ string) {
			for _, f := range disk.Files() {
				if strings.HasPrefix(f.Name, dataPath+"/journal/") {
					must(t, disk.Remove(f.Name))
				}
			}
		}, []DamageKind{DamagedJournal, Reconstructed, Reconstructed, Reconstructed}, 0},
		{"metadata.json", "metadata.json", rewrite(func(b []byte) []byte { return b[:len(b)/2] }), []DamageKind{DamagedMetadata}, 0},
		{"an unknown directory", "", func(t *testing.T, disk *crashfs.FS, _ string) { strange(t, disk, "stray", "1") }, []DamageKind{UnknownDirectory}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk := used(t)
			path := ""
			for _, f := range disk.Files() {
				if tt.suffix != "" && strings.HasSuffix(f.Name, tt.suffix) {
					path = f.Name
				}
			}
			tt.damage(t, disk, path)
			checked := check(t, disk, "monday")
			var got []DamageKind
			lost := uint64(0)
			for _, f := range checked.Findings {
				got = append(got, f.Kind)
				lost += f.Messages
				if f.Path == "" || f.Text == "" {
					t.Errorf("nothing is told of %+v", f)
				}
			}
			// An index beside a segment that is not whole may disagree with it, too.
			got = slices.DeleteFunc(got, func(k DamageKind) bool { return k == Inconsistent && tt.suffix == ".seg" })
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(slices.Compact(got), slices.Compact(tt.want)) || lost != tt.lost {
				t.Errorf("found %v and %d messages lost, want %v and %d: %+v", got, lost, tt.want, tt.lost, checked.Findings)
			}
			if (checked.Amiss() > 0) != (len(tt.want) > 0) {
				t.Errorf("%d amiss", checked.Amiss())
			}
		})
	}
}

func TestCheckFindsWhatWasGivenOutAndIsNotInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, sameBoot)
		must(t, publish(getTopic(t, b, "t"), "1", "2"))
		c := getChannel(t, b, "t", "c")
		k := subscribe(t, c, 10)
		for range 2 { // what was tried twice is open in the journal
			k.answer(channel.Requeue, 0, k.takeAll()...)
		}
		must(t, b.journal.Flush())
		path := activeSegment(t, disk)
		text, err := disk.ReadFile(path)
		must(t, err)
		kill(disk, b)
		for _, f := range disk.Files() { // so that nothing else tells how far the log was written
			if strings.Contains(f.Name, "/topics/") {
				must(t, disk.Remove(f.Name))
			}
		}
		must(t, disk.WriteFile(path, text[:bytes.LastIndex(text, []byte("2"))-10]))
		checked := check(t, disk, "monday")
		if !slices.ContainsFunc(checked.Findings, func(f CheckedFinding) bool {
			return f.Kind == MissingRecords && f.Channel == "c" && f.Messages == 1
		}) {
			t.Errorf("found %+v", checked.Findings)
		}
		if checked := check(t, disk, "tuesday"); len(checked.Findings) > 0 {
			t.Errorf("what was not synced when the machine ended is called damage: %+v", checked.Findings)
		}
	})
}

func TestCheckTellsWhatIsAcknowledged(t *testing.T) {
	disk := used(t)
	path := activeSegment(t, disk)
	text, err := disk.ReadFile(path)
	must(t, err)
	text[bytes.Index(text, []byte("message-9"))] ^= 1
	must(t, disk.WriteFile(path, text))
	strange(t, disk, "stray", "1")
	if n := check(t, disk, "monday").Amiss(); n != 2 {
		t.Fatalf("%d amiss", n)
	}
	b := open(t, disk, sameBoot)
	_ = getTopic(t, b, "orders")
	_, err = b.AcknowledgeDamage(b.Damage().Last)
	must(t, err)
	must(t, b.Close())
	checked := check(t, disk, "monday")
	if !slices.ContainsFunc(checked.Findings, func(f CheckedFinding) bool { return f.Acknowledged && f.Kind == UnknownDirectory }) {
		t.Errorf("what is acknowledged is not told: %+v", checked.Findings)
	}
}

func TestCheckRefusesADirectoryThatIsInUseOrNone(t *testing.T) {
	disk := newDisk(t, 1)
	fs := disk.Mount()
	o := testOptions(fs)
	if _, err := Check(CheckOptions{FS: fs, DataPath: dataPath}); !errors.Is(err, ErrNoData) {
		t.Errorf("of an empty directory: %v", err)
	}
	// What else there is of a node tells that only the journal is missing.
	must(t, fs.MkdirAll(dataPath+"/raft/wal"))
	if _, err := Check(CheckOptions{FS: fs, DataPath: dataPath}); !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), "has: raft. Its journal is missing") {
		t.Errorf("of a member whose journal is gone: %v", err)
	}
	b, err := Open(o)
	must(t, err)
	if _, err := Check(CheckOptions{FS: fs, DataPath: dataPath}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("beside a broker: %v", err)
	}
	must(t, b.Close())
	if _, err := Check(CheckOptions{FS: fs, DataPath: dataPath}); err != nil {
		t.Errorf("after it: %v", err)
	}
	broken := errors.New("broken")
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRead && strings.HasPrefix(name, filepath.Join(dataPath, "journal")) {
			return fmt.Errorf("reading: %w", broken)
		}
		return nil
	})
	if _, err := Check(CheckOptions{FS: fs, DataPath: dataPath}); !errors.Is(err, broken) {
		t.Errorf("where the disk fails: %v", err)
	}
	disk.Fail(nil)
	if b, err := Open(o); err != nil {
		t.Errorf("a check that failed keeps the directory: %v", err)
	} else {
		must(t, b.Close())
	}
}
