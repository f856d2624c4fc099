package past

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var now = time.Unix(1_700_000_000, 0)

func open(t *testing.T, dir string, most int64) *Keeper {
	t.Helper()
	k, err := Open(dir, most, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPastOutlivesTheProcessForSevenDays(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, 1<<20)
	end := now.Unix() / 60
	for m := end - Minutes - 5; m <= end; m++ {
		if m == end-2 {
			continue
		}
		if err := k.Write(m, []float32{float32(m - end), float32(math.NaN())}, "channel", "orders.new", "a&b"); err != nil {
			t.Fatal(err)
		}
	}
	k = open(t, dir, 1<<20)
	lines, err := k.Read(end, 4, 2, "channel", "orders.new", "a&b")
	if got := fmt.Sprint(lines, err); got != "[[-3 NaN -1 0] [NaN NaN NaN NaN]] <nil>" {
		t.Errorf("got %s", got)
	}
	lines, _ = k.Read(end, Minutes+2, 2, "channel", "orders.new", "a&b")
	if got := fmt.Sprint(lines[0][:4]); got != fmt.Sprintf("[NaN NaN %d %d]", 1-Minutes, 2-Minutes) {
		t.Errorf("the oldest are %s", got)
	}
	if lines, err := k.Read(end, 2, 1, "nobody"); err != nil || fmt.Sprint(lines) != "[[NaN NaN]]" {
		t.Errorf("nobody has %v, %v", lines, err)
	}
	if !k.Keeps("channel", "orders.new", "a&b") || k.Keeps("nobody") {
		t.Error(k)
	}
}

func TestDamageIsAGap(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, 1<<20)
	for m := range int64(10) {
		if err := k.Write(m, []float32{1}, "cluster"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "cluster.past")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := append([]byte{}, whole...)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := k.Read(9, 10, 1, "cluster")
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range lines[0] {
			if v == v && v != 1 {
				t.Fatalf("byte %d: minute %d is %v", at, i, v)
			}
		}
	}
	if err := os.WriteFile(path, whole[:headerSize-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Write(9, []float32{7}, "cluster"); err != nil {
		t.Fatal(err)
	}
	if lines, _ := k.Read(9, 2, 1, "cluster"); fmt.Sprint(lines) != "[[NaN 7]]" {
		t.Errorf("after a file that was cut off: %v", lines)
	}
}

func TestDirectoryIsBoundedAndSwept(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, fileSize(1)+fileSize(2))
	must := func(want error, values []float32, subject string) {
		t.Helper()
		if err := k.Write(5, values, subject); !errors.Is(err, want) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	must(nil, []float32{1}, "a")
	must(nil, []float32{1, 2}, "b")
	must(ErrFull, []float32{1}, "c")
	must(nil, []float32{2}, "a")
	long := time.Now().Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "b.past"), long, long); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Sweep(time.Now()); err != nil {
		t.Fatal(err)
	}
	if k.Keeps("b") || !k.Keeps("a") {
		t.Error(k)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Error(err)
	}
	must(nil, []float32{1}, "c")
}
