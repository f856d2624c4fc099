package fromnsq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"qmq/broker"
	"qmq/internal/vfs/crashfs"
)

func TestWhatNSQDWouldServeIsServed(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	must(t, start(disk))
	wantFiles(t, disk, path.Join(dataPath, AsideName), files)
	got, paused := served(t, disk)
	if want := []string{"orders/audit", "stopped"}; !slices.Equal(paused, want) {
		t.Errorf("paused are %v, want %v", paused, want)
	}
	want := deliveredByNSQD(t, "clean")
	for at := range want {
		if !maps.Equal(got[at], want[at]) {
			t.Errorf("%s has %d messages, want %d: %.300v, want %.300v", at, len(got[at]), len(want[at]), got[at], want[at])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v have messages", slices.Sorted(maps.Keys(got)))
	}
	b := openBroker(t, disk)
	defer b.Close()
	if tp, ok := b.Existing("empty"); !ok || len(tp.Channels()) != 1 || tp.Channels()[0].Name() != "idle" {
		t.Error("a channel without messages is gone")
	}
	if tp, _ := b.Existing("orders"); len(tp.Channels()) != 3 {
		t.Error("an ephemeral channel is kept")
	}
}

func TestMessageOfSeveralChannelsIsStoredOnce(t *testing.T) {
	disk := newDisk(t, 1, fixture(t, "clean"))
	must(t, start(disk))
	checked, err := broker.Check(broker.CheckOptions{FS: disk, DataPath: dataPath, BootID: "boot"})
	must(t, err)
	for _, c := range checked.Topics {
		if want := map[string]uint64{"orders": 320, "stopped": 20}[c.Name]; want > 0 && c.Messages != want {
			t.Errorf("topic %s has %d messages in its log, want %d", c.Name, c.Messages, want)
		}
	}
}

func TestAllThatAKilledNSQDHadOnTheDiskIsServed(t *testing.T) {
	disk := newDisk(t, 1, fixture(t, "killed"))
	must(t, start(disk))
	got, _ := served(t, disk)
	for at, want := range deliveredByNSQD(t, "killed") {
		for body := range want {
			if got[at][body] == 0 {
				t.Errorf("%s lacks %s, which nsqd would serve", at, body)
			}
		}
	}
	// nsqd had noted nothing of these, and would lose them.
	for at, least := range map[string]int{"fresh work": 25, "unread first": 25} {
		if len(got[at]) < least {
			t.Errorf("%s has %d messages of 30, of which some were in memory", at, len(got[at]))
		}
	}
	for at, h := range got {
		for body, attempts := range h {
			if attempts < 1 {
				t.Errorf("%s has %s twice", at, body)
			}
		}
	}
}

// TestStopAtAnyOperationStartsOver stops the import at each operation of the file
// system in turn, by the end of the process or of the machine; the next start must
// come to what one that was not stopped comes to.
func TestStopAtAnyOperationStartsOver(t *testing.T) {
	files, want := fewTopics(t)
	stops := map[string]func(*crashfs.FS){
		"kill":             (*crashfs.FS).Kill,
		"power":            func(d *crashfs.FS) { d.Crash(crashfs.DropAll) },
		"power, some kept": func(d *crashfs.FS) { d.Crash(crashfs.Random) },
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := 1; ; at++ {
				disk := newDisk(t, uint64(at), files)
				if !stopAt(disk, at, stop) {
					if at < 100 {
						t.Fatalf("an import has %d operations", at)
					}
					return
				}
				must(t, start(disk))
				wantFiles(t, disk, path.Join(dataPath, AsideName), files)
				wantServed(t, disk, want)
				if t.Failed() {
					t.Fatalf("stopped at operation %d", at)
				}
			}
		})
	}
}

// stopAt has a start stop at one of its operations; false when it has not as many.
func stopAt(disk *crashfs.FS, at int, stop func(*crashfs.FS)) bool {
	var n atomic.Int64 // of operations, some of which are at the same time
	disk.Fail(func(crashfs.Op, string) error {
		if n.Add(1) == int64(at) {
			stop(disk)
		}
		return nil
	})
	_ = start(disk) // what it says nobody hears
	disk.Fail(nil)
	return n.Load() >= int64(at)
}

// TestErrorOfTheFileSystemChangesNothing fails each operation in turn.
func TestErrorOfTheFileSystemChangesNothing(t *testing.T) {
	files, want := fewTopics(t)
	for at := 1; ; at++ {
		disk := newDisk(t, uint64(at), files)
		var n atomic.Int64
		disk.Fail(func(crashfs.Op, string) error {
			if n.Add(1) == int64(at) {
				return syscall.EIO
			}
			return nil
		})
		err := start(disk)
		disk.Fail(nil)
		switch {
		case n.Load() < int64(at):
			return
		case err == nil: // what failed was not needed, as an index of a segment
		case strings.Contains(err.Error(), "nothing was changed"):
			wantUnchanged(t, disk, files)
		}
		must(t, start(disk))
		wantServed(t, disk, want)
		if t.Failed() {
			t.Fatalf("operation %d failed", at)
		}
	}
}

func TestFileThatCannotBeReadChangesNothing(t *testing.T) {
	files := fixture(t, "clean")
	for name := range files {
		if !strings.HasSuffix(name, ".dat") || strings.HasPrefix(name, "empty") {
			continue
		}
		disk := newDisk(t, 1, files)
		disk.Fail(func(op crashfs.Op, n string) error {
			if path.Base(n) == name && (op == crashfs.OpOpen || op == crashfs.OpRead) {
				return syscall.EACCES
			}
			return nil
		})
		err := start(disk)
		if name == "orders.diskqueue.000005.dat" && err == nil {
			continue // all of it was read by nsqd
		}
		if !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		wantUnchanged(t, disk, files)
	}
}

func TestMetadataThatIsNoneChangesNothing(t *testing.T) {
	for _, text := range []string{"", "{", `{"topics":[{"name":1}]}`, "null and void"} {
		files := fixture(t, "clean")
		files["nsqd.dat"] = []byte(text)
		disk := newDisk(t, 1, files)
		if err := start(disk); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("nsqd.dat %q: %v", text, err)
		}
		wantUnchanged(t, disk, files)
	}
}

func TestTooLittleRoomChangesNothing(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	for _, free := range []int64{0, 1 << 20, roomMore + 1, roomMore + 70_000} {
		err := start(disk, func(o *Options) { o.Free = func(string) (int64, error) { return free, nil } })
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "MB are free") {
			t.Fatalf("with %d bytes: %v", free, err)
		}
		wantUnchanged(t, disk, files)
	}
	must(t, start(disk, func(o *Options) { o.Free = func(string) (int64, error) { return 1 << 30, nil } }))
	wantServed(t, disk, deliveredByNSQD(t, "clean"))
}

func TestDiskThatFillsUpChangesNothing(t *testing.T) {
	files := fixture(t, "clean")
	for room := int64(0); ; room += 3000 {
		disk := newDisk(t, uint64(room), files)
		disk.Limit(disk.Used() + room)
		err := start(disk)
		if err == nil {
			if room == 0 {
				t.Error("an import takes no room")
			}
			return
		}
		if !strings.Contains(err.Error(), "nothing was changed") {
			t.Fatalf("%d bytes of room: %v", room, err)
		}
		wantUnchanged(t, disk, files)
	}
}

func TestFileThatWasCutShortLosesItsEndOnly(t *testing.T) {
	const name = "orders:audit.diskqueue.000003.dat"
	files := fixture(t, "clean")
	files[name] = files[name][:1000] // ten messages of 94 bytes, and a part of one
	disk := newDisk(t, 1, files)
	var log bytes.Buffer
	must(t, start(disk, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
	got, _ := served(t, disk)
	if n := len(got["orders audit"]); n != 320-43+10 {
		t.Errorf("%d messages", n)
	}
	if !strings.Contains(log.String(), name) || !strings.Contains(log.String(), "offset=940 bytes=60") {
		t.Errorf("the log says nothing of it: %s", log.String())
	}
	wantFiles(t, disk, path.Join(dataPath, AsideName), files)
}

func TestBytesThatAreNoMessageAreNotTakenForSome(t *testing.T) {
	for _, damage := range []func([]byte){
		func(b []byte) { b[940] = 0x7f },            // an enormous length
		func(b []byte) { copy(b[940+14:], "GHIJ") }, // no id
		func(b []byte) { clear(b[940:]) },
		func(b []byte) { copy(b[940:], []byte{0xff, 0xff, 0xff, 0xff}) },
	} {
		const name = "orders:audit.diskqueue.000003.dat"
		files := fixture(t, "clean")
		damage(files[name])
		disk := newDisk(t, 1, files)
		must(t, start(disk))
		got, _ := served(t, disk)
		if n := len(got["orders audit"]); n != 320-43+10 {
			t.Errorf("%d messages", n)
		}
	}
}

func TestQueueWithoutUsableMetadataIsReadAsAWhole(t *testing.T) {
	for _, text := range []string{"", "torn", "200\n6,3478\n", "200\n11,2068\n6,3478\n", "1\n-6,0\n9223372036854775807,5\n"} {
		files := fixture(t, "clean")
		files["orders:billing.diskqueue.meta.dat"] = []byte(text)
		disk := newDisk(t, 1, files)
		must(t, start(disk))
		got, _ := served(t, disk)
		for body := range deliveredByNSQD(t, "clean")["orders billing"] {
			if got["orders billing"][body] == 0 {
				t.Errorf("metadata %q: %s is lost", text, body)
			}
		}
	}
}

func TestTopicsWithoutNSQDDatAreThoseThatHaveFiles(t *testing.T) {
	files := fixture(t, "clean")
	delete(files, "nsqd.dat")
	disk := newDisk(t, 1, files)
	must(t, start(disk))
	got, paused := served(t, disk)
	if len(paused) > 0 || len(got["orders mail"]) != 320 || len(got["lonely first"]) != 25 || len(got["stopped one"]) != 20 {
		t.Errorf("paused %v, served %v", paused, slices.Sorted(maps.Keys(got)))
	}
}

func TestNothingIsMergedIntoDataOfQ(t *testing.T) {
	disk := newDisk(t, 1, nil)
	must(t, disk.MkdirAll(dataPath))
	must(t, disk.SyncDir("/"))
	b := openBroker(t, disk)
	_, err := b.Topic("mine")
	must(t, err)
	must(t, b.Close())
	files := fixture(t, "clean")
	for name, content := range files {
		must(t, disk.WriteFile(path.Join(dataPath, name), content))
	}
	var log bytes.Buffer
	must(t, start(disk, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
	wantFiles(t, disk, dataPath, files)
	for _, said := range []string{"level=WARN", "nothing is merged", "--data-path", "q forward", "messages=906"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log lacks %q: %s", said, log.String())
		}
	}
	b = openBroker(t, disk)
	defer b.Close()
	if topics := b.Topics(); len(topics) != 1 || topics[0].Name() != "mine" {
		t.Errorf("there are %d topics", len(topics))
	}
}

func TestFilesOfALaterNSQDAreNotMergedEither(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	must(t, start(disk))
	later := fixture(t, "killed")
	for name, content := range later {
		must(t, disk.WriteFile(path.Join(dataPath, name), content))
	}
	must(t, start(disk))
	wantFiles(t, disk, dataPath, later)
	wantFiles(t, disk, path.Join(dataPath, AsideName), files)
	wantServed(t, disk, deliveredByNSQD(t, "clean"))
}

func TestImportCanBeOffAndIsRefusedOnAMember(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	must(t, start(disk, func(o *Options) { o.Mode = Off }))
	wantUnchanged(t, disk, files)
	if err := start(disk, func(o *Options) { o.Member = true }); !errors.Is(err, ErrMember) {
		t.Errorf("on a member: %v", err)
	}
	wantUnchanged(t, disk, files)
	must(t, start(disk, func(o *Options) { o.Member, o.Mode = true, Off }))
	wantUnchanged(t, disk, files)
}

func TestDirectoryInUseIsLeftAlone(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	lock, err := disk.Lock(dataPath)
	must(t, err)
	if err := start(disk); err == nil || !strings.Contains(err.Error(), "failed to lock data-path") {
		t.Errorf("beside another process: %v", err)
	}
	wantUnchanged(t, disk, files)
	must(t, lock.Close())
}

func TestInterruptedImportChangesNothing(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("told to stop"))
	err := Start(ctx, options(disk.Mount()))
	if err == nil || !strings.Contains(err.Error(), "told to stop") {
		t.Errorf("%v", err)
	}
	wantUnchanged(t, disk, files)
}

// TestNSQDThatRanBetweenTheStepsIsImportedAnew: between a kill and the next start an
// nsqd may have been at work.
func TestNSQDThatRanBetweenTheStepsIsImportedAnew(t *testing.T) {
	files := fixture(t, "clean")
	disk := newDisk(t, 1, files)
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpMkdir && path.Base(name) == AsideName {
			disk.Kill()
		}
		return nil
	})
	_ = start(disk)
	disk.Fail(nil)
	must(t, disk.Remove(path.Join(dataPath, "lonely.diskqueue.meta.dat")))
	must(t, disk.Remove(path.Join(dataPath, "lonely.diskqueue.000000.dat")))
	must(t, start(disk))
	want := deliveredByNSQD(t, "clean")
	delete(want, "lonely first")
	wantServed(t, disk, want)
}

// record is a message as nsqd stores it.
func record(id uint64, attempts byte, body []byte) []byte {
	n := 26 + len(body)
	head := []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0x18, 0, 0, 0, 0, 0, 0, byte(id), 0, attempts}
	return append(append(head, fmt.Sprintf("%016x", id)...), body...)
}

func TestLongMessageIsImported(t *testing.T) {
	long := bytes.Repeat([]byte("long"), 1<<20)
	queue := slices.Concat(record(1, 0, []byte("a")), record(2, 0, long), record(3, 9, []byte("b")))
	disk := newDisk(t, 1, map[string][]byte{
		"nsqd.dat":                     []byte(`{"topics":[{"name":"t","channels":[{"name":"c"}]}]}`),
		"t:c.diskqueue.000000.dat":     queue,
		"t:c.diskqueue.meta.dat":       fmt.Appendf(nil, "3\n0,0\n0,%d\n", len(queue)),
		"t:c.diskqueue.000000.dat.bad": []byte("whatever"),
	})
	must(t, start(disk))
	got, _ := served(t, disk)
	if want := (held{"a": 1, string(long): 1, "b": 10}); !maps.Equal(got["t c"], want) {
		t.Errorf("%d messages", len(got["t c"]))
	}
}

// TestMessagesAreOneByIDTimeAndBody: an id alone does not make two messages one.
func TestMessagesAreOneByIDTimeAndBody(t *testing.T) {
	c := slices.Concat(record(1, 0, []byte("same")), record(2, 1, []byte("one")), record(1, 3, []byte("same")))
	d := slices.Concat(record(2, 0, []byte("two")), record(1, 0, []byte("same")))
	disk := newDisk(t, 1, map[string][]byte{
		"nsqd.dat":                 []byte(`{"topics":[{"name":"t","channels":[{"name":"c"},{"name":"d"}]}]}`),
		"t:c.diskqueue.000000.dat": c, "t:c.diskqueue.meta.dat": fmt.Appendf(nil, "3\n0,0\n0,%d\n", len(c)),
		"t:d.diskqueue.000000.dat": d, "t:d.diskqueue.meta.dat": fmt.Appendf(nil, "2\n0,0\n0,%d\n", len(d)),
	})
	must(t, start(disk))
	wantServed(t, disk, map[string]held{"t c": {"same": 4, "one": 2}, "t d": {"same": 1, "two": 1}})
}

func TestPreviewTellsWhatWouldBeDoneAndChangesNothing(t *testing.T) {
	files := fixture(t, "clean")
	files["orders:audit.diskqueue.000003.dat"] = files["orders:audit.diskqueue.000003.dat"][:1000]
	disk := newDisk(t, 1, files)
	tell := func(adjust ...func(*Options)) (string, error) {
		var out strings.Builder
		err := Preview(context.Background(), options(disk.Mount(), adjust...), &out)
		return out.String(), err
	}
	text, err := tell()
	must(t, err)
	for _, said := range []string{
		"topic stopped: 8 messages, paused\n", "  channel audit: 287 messages, paused\n", "  channel mail: 320 messages, 320 of them delivered before\n",
		"orders:audit.diskqueue.000003.dat: 60 bytes from offset 940 on hold no messages", "873 messages", AsideName,
	} {
		if !strings.Contains(text, said) {
			t.Errorf("it does not say %q:\n%s", said, text)
		}
	}
	if _, err := tell(func(o *Options) { o.Free = func(string) (int64, error) { return 1, nil } }); err == nil {
		t.Error("no error without room")
	}
	if _, err := tell(func(o *Options) { o.Member = true }); !errors.Is(err, ErrMember) {
		t.Errorf("on a member: %v", err)
	}
	wantUnchanged(t, disk, files)
	must(t, start(disk))
	if text, err := tell(); err != nil || !strings.Contains(text, "nothing of an nsqd") {
		t.Errorf("after the import: %q, %v", text, err)
	}
	must(t, disk.WriteFile(path.Join(dataPath, "nsqd.dat"), files["nsqd.dat"]))
	if text, err := tell(); err != nil || !strings.Contains(text, "Nothing is imported") {
		t.Errorf("beside data of Q: %q, %v", text, err)
	}
}
