package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	replicated "qmq/cluster"
	"qmq/config"
	"qmq/internal/apiclient"
	"qmq/internal/vfs"
)

// clusterBackup is q cluster backup.
type clusterBackup struct {
	File string `arg:"" complete:"file" help:"File to write; it must not be there."`
	JSON bool   `name:"json" help:"Say in JSON what was written."`
	reach
}

// Help has the promise.
func (*clusterBackup) Help() string {
	return `All replicated topics with their channels and messages, as the first member that can be asked has applied them: each shard at one moment of its own, while the set is at work. What is published or finished meanwhile may be in it or not. It takes 200 MB a second at most. The file has its name once it is whole and on the disk.

` + examples(
		"a backup of today", `q cluster backup /backup/q-2026-11-28.backup --http-addr=qd1.example:4151`,
	)
}

// Run writes a backup.
func (b *clusterBackup) Run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := b.open()
	if err != nil {
		return err
	}
	defer cl.close()
	set, err := cl.theSet(ctx)
	if err != nil {
		return err
	}
	from, size, err := set.backUp(ctx, b.File)
	switch {
	case err != nil:
		return err
	case b.JSON:
		return printJSON(c.out, backedUp{b.File, size, from, set.best().Cluster})
	}
	_, err = fmt.Fprintf(c.out, "%s: %d bytes, from %s\n", b.File, size, from)
	return err
}

// backedUp is what was written, as JSON says it.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	Node  string `json:"node"`
	Set   string `json:"set"`
}

// backUp writes a backup to a file, from the first member that can be asked.
func (s *replicaSet) backUp(ctx context.Context, path string) (from string, size int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return "", 0, fmt.Errorf("%s is there already", path)
	}
	beside := path + ".partial"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, err
	}
	from, size, err = s.copyBackup(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		return "", 0, errors.Join(err, os.Remove(beside))
	}
	return from, size, vfs.OS.SyncDir(filepath.Dir(path))
}

func (s *replicaSet) copyBackup(ctx context.Context, f *os.File) (from string, size int64, err error) {
	var errs []error
	for _, n := range s.nodes {
		size, err := s.cl.api.Copy(ctx, apiclient.URL(n.HTTP, "/cluster/backup", nil), f)
		if err == nil {
			return n.Name, size, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", n.Name, refusalOf(err)))
		if size > 0 || ctx.Err() != nil {
			break // in the middle of it: whoever asks may try again
		}
	}
	return "", 0, errors.Join(errs...)
}

// clusterRestore is q cluster restore.
type clusterRestore struct {
	File     string `arg:"" type:"existingfile" help:"Backup that q cluster backup has written."`
	DataPath string `arg:"" name:"data-path" complete:"dir" help:"Data directory of the node that begins the set; it must have nothing of a set, and no qd may run on it."`
	Address  string `required:"" placeholder:"HOST:PORT" help:"What the node has as its --cluster-address."`
	JSON     bool   `name:"json" help:"Say in JSON what was made."`
}

// Help says what comes next.
func (*clusterRestore) Help() string {
	return `Makes of a data directory the one of the only member of a new set, with all that the backup has. All numbers go on far above those of the backup, so that no message gets an id that another one has had since. Start qd on it with the flags of a member, and then the other nodes of its --cluster-peers with empty data directories: they join by themselves.

` + examples(
		"a set of its backup", `q cluster restore /backup/q-2026-11-28.backup /var/lib/qd --address=qd1.example:4153`,
	)
}

// restoredSet is what was made, as JSON says it.
type restoredSet struct {
	Set      string   `json:"set"`
	Member   string   `json:"member"`
	Address  string   `json:"address"`
	Expected []string `json:"expected"`
}

// Run restores a backup.
func (r *clusterRestore) Run(c console) error {
	if err := checkAddress(r.Address, false); err != nil {
		return err
	}
	settings, err := config.ParseQD(nil)
	if err != nil {
		return err
	}
	f, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(r.DataPath, 0o700); err != nil {
		return err
	}
	made, err := replicated.Restore(replicated.RestoreOptions{
		FS: vfs.OS, Dir: r.DataPath, Address: r.Address, SegmentBytes: settings.Values().MaxBytesPerFile, Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, f)
	if err != nil {
		return fmt.Errorf("%s: %w", r.DataPath, err)
	}
	if r.JSON {
		return printJSON(c.out, restoredSet{made.Set, made.Member, made.Address, made.Expected})
	}
	_, err = fmt.Fprintf(c.out, "%s is of set %s now, as its only member, at %s. Start qd on it, then nodes with empty data directories at %s, or at others after q cluster add.\n",
		r.DataPath, made.Set, made.Address, strings.Join(made.Expected, ", "))
	return err
}
