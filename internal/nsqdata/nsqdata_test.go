package nsqdata

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/vfs"
)

func TestFilesAreToldByTheirNames(t *testing.T) {
	for name, want := range map[string]kind{
		"nsqd.dat": topology, "nsqd.dat.123.tmp": leftover, "nsqd.data": foreign, "metadata.json": foreign, "topics": foreign,
		"t.diskqueue.meta.dat": metadata, "t.diskqueue.meta.dat.99.tmp": leftover, "t:c.diskqueue.000001.dat": data,
		"t.diskqueue.1234567.dat": data, "t.diskqueue.000001.dat.bad": bad, ".diskqueue.000001.dat": foreign, "t.diskqueue.txt": foreign,
		"a.diskqueue.b.diskqueue.000000.dat": data,
	} {
		if _, got := parseName(name); got != want || IsName(name) != (want != foreign) {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if queue, _ := parseName("a.diskqueue.b:c.diskqueue.000000.dat"); queue != "a.diskqueue.b:c" {
		t.Errorf("queue %q", queue)
	}
}

// dir is a directory with these files.
func dir(t testing.TB, files map[string]string) vfs.FS {
	t.Helper()
	fsys := vfs.NewMem()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := fsys.Create("/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(files[name]), 0); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

func TestStretchesAreWhatNSQDHadNotRead(t *testing.T) {
	ten := string(make([]byte, 10))
	tests := []struct {
		name  string
		files map[string]string // by what is behind "t.diskqueue."
		want  string            // file:from-to
		flaws int
	}{
		{"nothing was written", map[string]string{"meta.dat": "0\n0,0\n0,0\n"}, "", 0},
		{"all was read", map[string]string{"meta.dat": "0\n3,10\n3,10\n", "000003.dat": ten}, "", 0},
		{"a part was read", map[string]string{"meta.dat": "2\n3,4\n3,10\n", "000003.dat": ten}, "3:4-10", 0},
		{"several files", map[string]string{"meta.dat": "2\n3,4\n5,2\n", "000003.dat": ten, "000004.dat": ten, "000005.dat": "xx"}, "3:4-10 4:0-10 5:0-2", 0},
		{"the last one is not begun", map[string]string{"meta.dat": "2\n3,4\n4,0\n", "000003.dat": ten}, "3:4-10", 0},
		{"what was read is still there", map[string]string{"meta.dat": "2\n3,4\n3,10\n", "000002.dat": ten, "000003.dat": ten}, "3:4-10", 0},
		{"more than was noted", map[string]string{"meta.dat": "2\n3,4\n3,6\n", "000003.dat": ten}, "3:4-10", 1},
		{"a file more than was noted", map[string]string{"meta.dat": "2\n3,4\n3,10\n", "000003.dat": ten, "000004.dat": ten}, "3:4-10 4:0-10", 1},
		{"less than was noted", map[string]string{"meta.dat": "2\n3,4\n3,60\n", "000003.dat": ten}, "3:4-10", 1},
		{"less than was read", map[string]string{"meta.dat": "2\n3,40\n3,60\n", "000003.dat": ten}, "", 1},
		{"a file is missing", map[string]string{"meta.dat": "2\n3,4\n5,10\n", "000003.dat": ten, "000005.dat": ten}, "3:4-10 5:0-10", 1},
		{"the last one is missing", map[string]string{"meta.dat": "2\n3,4\n4,10\n", "000003.dat": ten}, "3:4-10", 1},
		{"the first one is missing", map[string]string{"meta.dat": "2\n3,4\n4,10\n", "000004.dat": ten}, "4:0-10", 1},
		{"all are missing", map[string]string{"meta.dat": "2\n3,4\n9223372036854775807,10\n"}, "", 1},
		{"no metadata", map[string]string{"000003.dat": ten, "000004.dat": ten}, "3:0-10 4:0-10", 1},
		{"metadata that is none", map[string]string{"meta.dat": "x", "000003.dat": ten}, "3:0-10", 1},
		{"metadata that cannot be", map[string]string{"meta.dat": "2\n4,4\n3,6\n", "000003.dat": ten}, "3:0-10", 1},
		{"a number that nsqd does not give", map[string]string{"meta.dat": "0\n0,0\n0,0\n", "3.dat": ten}, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{MetadataName: `{"topics":[{"name":"t"}]}`}
			for name, text := range tt.files {
				files["t.diskqueue."+name] = text
			}
			d, err := Read(dir(t, files), "/")
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for i, s := range d.Topics[0].Queue.Stretches {
				if i > 0 {
					got += " "
				}
				var number int64
				fmt.Sscanf(s.Path, "/t.diskqueue.%d.dat", &number)
				got += fmt.Sprintf("%d:%d-%d", number, s.From, s.To)
			}
			if got != tt.want || len(d.Flaws) != tt.flaws {
				t.Errorf("got %q with %v, want %q with %d flaws", got, d.Flaws, tt.want, tt.flaws)
			}
		})
	}
}

func TestNamesThatAreNotKeptAreTold(t *testing.T) {
	d, err := Read(dir(t, map[string]string{
		MetadataName:                         `{"topics":[{"name":"t","paused":true,"channels":[{"name":"c","paused":true},{"name":"x#ephemeral"}]},{"name":"no way"},{"name":"e#ephemeral"}]}`,
		"e#ephemeral:c.diskqueue.000000.dat": "x", "e#ephemeral:c.diskqueue.meta.dat": "1\n0,0\n0,1\n",
		"new:d.diskqueue.000000.dat": "x", "new:d.diskqueue.meta.dat": "1\n0,0\n0,1\n",
		"old:d.diskqueue.meta.dat": "0\n7,0\n7,0\n",
	}), "/")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Topics) != 2 || d.Topics[0].Name != "new" || d.Topics[0].Channels[0].Name != "d" || d.Topics[1].Name != "t" {
		t.Fatalf("topics %+v", d.Topics)
	}
	if tp := d.Topics[1]; !tp.Paused || len(tp.Channels) != 1 || !tp.Channels[0].Paused {
		t.Errorf("topic t is %+v", tp)
	}
	if len(d.Flaws) != 4 {
		t.Errorf("flaws %v", d.Flaws)
	}
}

func TestWhereNothingIsOfNSQDThereIsNothing(t *testing.T) {
	if d, err := Read(dir(t, map[string]string{"journal": "x", "some.dat": "y"}), "/"); d != nil || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestScanReadsWhatIsThereWhateverFollows: records are read up to the first bytes that
// are none, and no bytes make it panic or read beyond the stretch.
func TestScanReadsWhatIsThereWhateverFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file []byte
		var want [][]byte
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			body := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "body")
			want = append(want, body)
			file = append(file, 0, 0, 0, byte(26+len(body)))
			file = append(file, make([]byte, 10)...)
			file = append(append(file, fmt.Sprintf("%016x", len(want))...), body...)
		}
		whole := len(file)
		file = append(file, rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "rest")...)
		fsys := dir2(t, file)
		n := 0
		broken, err := Scan(fsys, Stretch{Path: "/f", To: int64(len(file))}, func(r *Record) error {
			if n < len(want) && (!bytes.Equal(r.Body, want[n]) || r.ID != uint64(n+1)) {
				t.Fatalf("record %d is %+v", n, r)
			}
			n++
			return nil
		})
		if err != nil || n < len(want) {
			t.Fatalf("%d records of %d: %v", n, len(want), err)
		}
		if (len(file) > whole) != (broken != nil) && n == len(want) || broken != nil && broken.At+broken.Bytes != int64(len(file)) {
			t.Fatalf("broken %+v of %d bytes, %d of them records", broken, len(file), whole)
		}
	})
}

func dir2(t interface{ Fatal(...any) }, content []byte) vfs.FS {
	fsys := vfs.NewMem()
	f, err := fsys.Create("/f")
	if err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestErrorOfTheTakerEndsTheScan(t *testing.T) {
	want := errors.New("enough")
	file := append([]byte{0, 0, 0, 26}, make([]byte, 10)...)
	file = append(file, "00000000000000ff"...)
	if _, err := Scan(dir2(t, file), Stretch{Path: "/f", To: int64(len(file))}, func(*Record) error { return want }); !errors.Is(err, want) {
		t.Errorf("%v", err)
	}
}
