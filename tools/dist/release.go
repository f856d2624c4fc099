package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"qmq/internal/version"
)

// target is a system that is built for.
type target struct {
	os, arch string
	programs []string // their packages, by path in the sources
}

var daemonsToo = []string{"cmd/q", "cmd/qadmin", "cmd/qd", "cmd/qlookupd"}

// targets are all systems. A node needs locks of directories and syncs of their
// entries, so for Windows there is the tool alone.
var targets = []target{
	{"linux", "amd64", daemonsToo},
	{"linux", "arm64", daemonsToo},
	{"darwin", "amd64", daemonsToo},
	{"darwin", "arm64", daemonsToo},
	{"windows", "amd64", []string{"cmd/q"}},
}

func (t target) String() string { return t.os + "/" + t.arch }

// name is that of the directory in the archive.
func (t target) name() string {
	return fmt.Sprintf("q-%s-%s-%s", version.Number, t.os, t.arch)
}

// file is what a program is called there.
func (t target) file(program string) string {
	name := path.Base(program)
	if t.os == "windows" {
		name += ".exe"
	}
	return name
}

// chosen are the targets that a list with commas names; all if it is empty.
func chosen(list string) ([]target, error) {
	if list == "" {
		return targets, nil
	}
	var some []target
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no target %q, only %v", name, targets)
		}
		some = append(some, targets[i])
	}
	return some, nil
}

// release is what is built of some sources.
type release struct {
	sources string // directory
	out     string // directory
	targets []target
	commit  string
	date    time.Time // of all files
	env     []string  // beyond the process's
}

// beside are files that go beside the programs, by their path in the sources.
var beside = []string{"CHANGELOG.md", "LICENSE", "README.md", "docs/q.1"}

// besideDaemons are those that go beside daemons too.
var besideDaemons = []string{
	"deploy/config/qadmin.toml", "deploy/config/qd.toml", "deploy/config/qlookupd.toml",
	"deploy/systemd/README.md", "deploy/systemd/q.sysusers", "deploy/systemd/qadmin.service", "deploy/systemd/qd.service", "deploy/systemd/qlookupd.service",
}

// sums is the file of checksums, as sha256sum writes and checks it.
const sums = "SHA256SUMS"

// build makes the directory of the release, in the place of one that is there: that stays
// until all is made. A directory with other things in it is left alone.
func (r *release) build(ctx context.Context) error {
	if entries, err := os.ReadDir(r.out); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(r.out, sums)); err != nil {
			return fmt.Errorf("%s is no release, and not empty", r.out)
		}
	}
	if err := os.MkdirAll(filepath.Dir(r.out), 0o755); err != nil {
		return err
	}
	made, err := os.MkdirTemp(filepath.Dir(r.out), ".dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made) // in case of an error
	if err := r.buildIn(ctx, made); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	return os.Rename(made, r.out)
}

// buildIn makes the files of the release.
func (r *release) buildIn(ctx context.Context, dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	var list bytes.Buffer
	for _, t := range r.targets {
		files, err := r.buildTarget(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			sum := sha256.Sum256(files[name])
			fmt.Fprintf(&list, "%s  %s\n", hex.EncodeToString(sum[:]), name)
			if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, sums), list.Bytes(), 0o644)
}

// buildTarget makes the files of one system: its archive, and the list of what is in
// its programs.
func (r *release) buildTarget(ctx context.Context, t target) (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "dist")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := r.compile(ctx, t, dir); err != nil {
		return nil, err
	}
	var contents []content
	var binaries [][]byte
	for _, program := range t.programs {
		binary, err := os.ReadFile(filepath.Join(dir, t.file(program)))
		if err != nil {
			return nil, err
		}
		binaries = append(binaries, binary)
		contents = append(contents, content{t.name() + "/" + t.file(program), 0o755, binary})
	}
	files := beside
	if len(t.programs) > 1 {
		files = slices.Concat(beside, besideDaemons)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(r.sources, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		contents = append(contents, content{t.name() + "/" + name, 0o644, text})
	}
	bill, err := billOf(t, binaries, r.commit, r.date)
	if err != nil {
		return nil, err
	}
	contents = append(contents, content{t.name() + "/sbom.cdx.json", 0o644, bill})
	packed, ending, err := pack(t, contents, r.date)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{t.name() + ending: packed, t.name() + ".cdx.json": bill}, nil
}

// compile builds the programs of a target into dir. Neither paths nor the state of
// the repository nor a build id go in.
func (r *release) compile(ctx context.Context, t target, dir string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X qmq/internal/version.commit=" + r.commit, "-o", dir + string(filepath.Separator)}
	for _, program := range t.programs {
		args = append(args, "./"+program)
	}
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = r.sources
	// What a machine may have set for its own processor, or its own flags, would
	// change what is built.
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	c.Env = append(c.Env, r.env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// verify builds a second time, from a copy of the sources and with an empty cache,
// and compares.
func (r *release) verify(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "dist-again")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	again := *r
	again.sources, again.out = filepath.Join(dir, "elsewhere", "q"), filepath.Join(dir, "out")
	again.env = append(slices.Clone(r.env), "GOCACHE="+filepath.Join(dir, "cache"))
	if err := os.MkdirAll(again.sources, 0o755); err != nil {
		return err
	}
	if err := copySources(r.sources, again.sources); err != nil {
		return err
	}
	if err := again.build(ctx); err != nil {
		return err
	}
	if err := same(r.out, again.out); err != nil {
		return err
	}
	fmt.Println("built twice, from two places: the same bytes")
	return nil
}

// same tells which files of two releases differ.
func same(a, b string) error {
	var errs []error
	entries, err := os.ReadDir(a)
	if err != nil {
		return err
	}
	others, err := os.ReadDir(b)
	if err != nil {
		return err
	}
	if len(entries) != len(others) {
		errs = append(errs, fmt.Errorf("%d files and %d", len(entries), len(others)))
	}
	for _, e := range entries {
		one, err := os.ReadFile(filepath.Join(a, e.Name()))
		errs = append(errs, err)
		other, err := os.ReadFile(filepath.Join(b, e.Name()))
		errs = append(errs, err)
		if !bytes.Equal(one, other) {
			errs = append(errs, fmt.Errorf("%s differs when it is built elsewhere", e.Name()))
		}
	}
	return errors.Join(errs...)
}
