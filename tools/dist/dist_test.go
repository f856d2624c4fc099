package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var date = time.Unix(1_700_000_000, 0).UTC()

// small is a release of one small program for this machine.
func small(t *testing.T) *release {
	t.Helper()
	sources, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return &release{
		sources: sources, out: filepath.Join(t.TempDir(), "out"), commit: "0123456789ab", date: date,
		targets: []target{{runtime.GOOS, runtime.GOARCH, []string{"tools/dist/testdata/tiny"}}},
	}
}

// TestReleaseIsTheSameBytesFromAnotherPlace: the linker and the archives put nothing in
// of where they work. (make dist-verify does so for all targets, with an empty cache.)
func TestReleaseIsTheSameBytesFromAnotherPlace(t *testing.T) {
	r := small(t)
	if err := r.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := *r
	again.sources, again.out = filepath.Join(t.TempDir(), "elsewhere"), filepath.Join(t.TempDir(), "out")
	if err := os.MkdirAll(again.sources, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copySources(r.sources, again.sources); err != nil {
		t.Fatal(err)
	}
	if err := again.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := same(r.out, again.out); err != nil {
		t.Error(err)
	}
	r.checkProgram(t)
	r.checkBill(t)
}

// checkProgram runs the program of the archive, which says what it is.
func (r *release) checkProgram(t *testing.T) {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join(r.out, r.targets[0].name()+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	files := unpackTar(t, packed)
	program := filepath.Join(t.TempDir(), "tiny")
	if err := os.WriteFile(program, files[r.targets[0].name()+"/tiny"], 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program).Output()
	if want := "tiny v2.0.0 (built w/" + runtime.Version() + ", commit 0123456789ab) <nil>\n"; err != nil || string(out) != want {
		t.Errorf("it says %q, %v, want %q", out, err, want)
	}
	for _, name := range []string{"LICENSE", "sbom.cdx.json"} {
		if len(files[r.targets[0].name()+"/"+name]) == 0 {
			t.Errorf("there is no %s in the archive", name)
		}
	}
	list, err := os.ReadFile(filepath.Join(r.out, sums))
	if sum := sha256.Sum256(packed); err != nil || !strings.Contains(string(list), hex.EncodeToString(sum[:])+"  "+r.targets[0].name()+".tar.gz\n") {
		t.Errorf("the checksums are %s, %v", list, err)
	}
}

// checkBill compares the list of what is in the program with go.sum.
func (r *release) checkBill(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.out, r.targets[0].name()+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat  string
		Metadata   struct{ Timestamp string }
		Components []struct {
			Name, Version string
			Hashes        []struct{ Alg, Content string }
		}
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Timestamp != "2023-11-14T22:13:20Z" {
		t.Errorf("format %q, time %q", bill.BOMFormat, bill.Metadata.Timestamp)
	}
	for _, name := range []string{"std", "github.com/BurntSushi/toml"} {
		if !strings.Contains(string(text), `"name": "`+name+`"`) {
			t.Errorf("%s is not in the list", name)
		}
	}
	for _, c := range bill.Components {
		if c.Name != "std" && (len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64 || c.Version == "") {
			t.Errorf("%s: version %q, checksums %v", c.Name, c.Version, c.Hashes)
		}
	}
}

func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	r := small(t)
	r.out = t.TempDir()
	kept := filepath.Join(r.out, "thesis.txt")
	if err := os.WriteFile(kept, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.build(t.Context()); err == nil || !strings.Contains(err.Error(), "is no release, and not empty") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// TestFailedBuildLeavesTheReleaseThatWasThere, and nothing else.
func TestFailedBuildLeavesTheReleaseThatWasThere(t *testing.T) {
	r := small(t)
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.out, sums), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.targets = append(r.targets, target{runtime.GOOS, runtime.GOARCH, []string{"tools/dist/testdata/none"}})
	if err := r.build(t.Context()); err == nil {
		t.Error("it is built")
	}
	entries, err := os.ReadDir(filepath.Dir(r.out))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it there are %v, %v", entries, err)
	}
	if text, err := os.ReadFile(filepath.Join(r.out, sums)); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestTargetsThatThereAreNot(t *testing.T) {
	if _, err := chosen("linux/amd64,plan9/amd64"); err == nil || !strings.Contains(err.Error(), `no target "plan9/amd64"`) {
		t.Errorf("got %v", err)
	}
	if some, err := chosen("windows/amd64"); err != nil || len(some) != 1 || !slices.Equal(some[0].programs, []string{"cmd/q"}) {
		t.Errorf("got %v, %v", some, err)
	}
}

func TestArchivesHaveFilesOfNobodyAndOfOneTime(t *testing.T) {
	files := []content{{"q/a", 0o755, []byte("A")}, {"q/b", 0o644, []byte("B")}}
	tarred, ending, err := pack(target{os: "linux"}, files, date)
	if err != nil || ending != ".tar.gz" {
		t.Fatal(ending, err)
	}
	if got := unpackTar(t, tarred); string(got["q/a"]) != "A" || string(got["q/b"]) != "B" {
		t.Errorf("unpacked: %q", got)
	}
	zipped, ending, err := pack(target{os: "windows"}, files, date)
	if err != nil || ending != ".zip" {
		t.Fatal(ending, err)
	}
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range z.File {
		if f.Name != files[i].name || f.Mode() != files[i].mode || !f.Modified.Equal(date) {
			t.Errorf("%s: %s, %s", f.Name, f.Mode(), f.Modified)
		}
	}
}

func unpackTar(t *testing.T, packed []byte) map[string][]byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(date) {
			t.Errorf("%s: owner %d:%d %q, time %s", h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = text
	}
}
