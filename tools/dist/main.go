// Command dist builds what a release consists of: an archive for each system, a
// list of what is in its programs (CycloneDX), and the checksums of all.
//
// Whoever has the sources and the same version of Go gets the same bytes: nothing of
// the machine, of its paths or of the time goes in. With --verify it builds a
// second time, from a copy of the sources at another place and with no cache, and
// compares.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"qmq/internal/version"
)

func main() {
	var r release
	var only string
	verify := flag.Bool("verify", false, "build a second time elsewhere and compare the bytes")
	flag.StringVar(&r.out, "out", "dist", "directory for what is built; it must not exist, or hold a release")
	flag.StringVar(&r.sources, "sources", ".", "directory of the sources")
	flag.StringVar(&only, "targets", "", "systems to build for, such as linux/amd64,windows/amd64; all if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &r, only, *verify); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, r *release, only string, verify bool) error {
	var err error
	if r.targets, err = chosen(only); err != nil {
		return err
	}
	if r.commit, r.date, err = committed(ctx, r.sources); err != nil {
		return err
	}
	if err := r.build(ctx); err != nil {
		return err
	}
	fmt.Printf("%s: version %s, commit %s\n", r.out, version.Number, r.commit)
	if !verify {
		return nil
	}
	return r.verify(ctx)
}

// committed is the commit of the sources, with -dirty behind it where they differ
// from it, and its time, which all files of the release have. SOURCE_DATE_EPOCH comes
// first, for sources without git.
func committed(ctx context.Context, dir string) (commit string, date time.Time, err error) {
	if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", date, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		date = time.Unix(seconds, 0).UTC()
	}
	shown, err := git(ctx, dir, "show", "-s", "--format=%h %ct", "--abbrev=12", "HEAD")
	if err != nil {
		if date.IsZero() {
			return "", date, fmt.Errorf("the sources are in no git repository, and SOURCE_DATE_EPOCH is not set: %w", err)
		}
		return "unknown", date, nil
	}
	commit, seconds, _ := strings.Cut(shown, " ")
	if n, err := strconv.ParseInt(seconds, 10, 64); err == nil && date.IsZero() {
		date = time.Unix(n, 0).UTC()
	}
	changed, err := git(ctx, dir, "status", "--porcelain", "--untracked-files=no")
	if err == nil && changed != "" {
		commit += "-dirty"
	}
	return commit, date, err
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

// copySources copies the sources, without what is built and what git keeps.
func copySources(from, to string) error {
	skipped := map[string]bool{".git": true, "bin": true, "data": true, "dist": true}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path, copied := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case skipped[e.Name()]:
		case e.IsDir():
			err = os.CopyFS(copied, os.DirFS(path))
		case e.Type().IsRegular():
			var text []byte
			if text, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(copied, text, 0o644)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
