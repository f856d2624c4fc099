package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"qmq/cluster"
	"qmq/config"
	"qmq/internal/vfs"
)

const forceUsage = `Usage: qd cluster force-new [--yes] [--compare=DIRECTORY] [flags of qd]

Begins a new replicated set of one member from the data directory of a member that is
stopped, when more than half of its set is lost for good. What the others had agreed on
and this member had not received is lost. The set has another id: members of the former
one do not come back into it. Whoever joins starts with an empty data directory.

  --data-path, --config, --cluster-address  as qd has them
  --compare=DIRECTORY  data directory, or a copy of one, of another member: it is said
                       which log is longest. May be repeated.
  --yes                do not ask
`

// Subcommand runs what qd does beside being a daemon, with arguments behind the name of
// the program; is tells whether they ask for that.
func Subcommand(args []string, stdin io.Reader, stdout, stderr io.Writer) (exit int, is bool) {
	if len(args) == 0 || args[0] != "cluster" {
		return 0, false
	}
	if len(args) < 2 || args[1] != "force-new" || slices.ContainsFunc(args, isHelp) {
		fmt.Fprint(stderr, forceUsage)
		if slices.ContainsFunc(args, isHelp) {
			return exitOK, true
		}
		if len(args) > 1 {
			fmt.Fprintf(stderr, "\nqd: there is no command %q, only force-new; all others about a set are those of q cluster\n", args[1])
		}
		return exitUsage, true
	}
	f, err := parseForce(args[2:])
	if err != nil {
		fmt.Fprintf(stderr, "qd: %v\n", err)
		return exitUsage, true
	}
	if err := f.run(stdin, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "qd: %v\n", err)
		return exitFailed, true
	}
	return exitOK, true
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// forceNew is qd cluster force-new.
type forceNew struct {
	q       config.QD
	compare []string
	yes     bool
}

func parseForce(args []string) (*forceNew, error) {
	f := new(forceNew)
	var rest []string
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case args[i] == "--yes" || args[i] == "-yes" || args[i] == "-y":
			f.yes = true
		case strings.HasPrefix(args[i], "-") && name == "compare" && has:
			f.compare = append(f.compare, value)
		case strings.HasPrefix(args[i], "-") && name == "compare" && i+1 < len(args):
			i++
			f.compare = append(f.compare, args[i])
		default:
			rest = append(rest, args[i])
		}
	}
	settings, err := config.ParseQD(rest)
	if err != nil {
		return nil, err
	}
	f.q = settings.Values()
	return f, nil
}

// run asks, and has the set begin.
func (f *forceNew) run(stdin io.Reader, stdout, stderr io.Writer) (err error) {
	level := new(slog.LevelVar)
	level.Set(max(f.q.LogLevel.Level(), slog.LevelWarn))
	dir := dataPath(&f.q)
	force, err := cluster.OpenForce(cluster.ForceOptions{
		FS: vfs.OS, Dir: dir, Others: f.compare, Address: f.q.ClusterAddress, SegmentBytes: f.q.MaxBytesPerFile,
		Now: time.Now, Logger: NewLogger(stderr, f.q.LogPrefix, level),
	})
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("%w: stop the qd that runs on it first", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, force.Close()) }()
	if err := tellForce(stdout, force); err != nil {
		return err
	}
	if !f.yes && !agreed(stdin, stdout) {
		return errors.New("nothing was done")
	}
	renewed, err := force.Run()
	if err != nil {
		return fmt.Errorf("%w. %s cannot be used until this was repeated with success", err, dir)
	}
	tellRenewed(stdout, renewed, dir)
	return nil
}

// tellForce says what there is, and what may be lost.
func tellForce(w io.Writer, force *cluster.Force) error {
	replicas := force.Replicas()
	own := replicas[0]
	fmt.Fprintf(w, "A set of one member is to begin from what %s has of set %s.\n\n", own.Dir, own.Set)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DIRECTORY\tMEMBER\tADDRESS\tLONGEST\tLACKS")
	longest := &replicas[0]
	for i := range replicas {
		r := &replicas[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d of %d shards\t%d entries\n", r.Dir, r.Member, r.Address, r.Longest, cluster.Shards+1, r.Behind)
		if r.Behind < longest.Behind {
			longest = r
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	missed, err := force.Missed()
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	switch {
	case longest.Dir != own.Dir:
		fmt.Fprintf(w, "The log of %s is longer: begin from it, or %d entries that it has are lost.\n", longest.Dir, own.Behind)
	case len(replicas) > 1:
		fmt.Fprintf(w, "Of these, %s has the longest log.\n", own.Dir)
	}
	if len(missed) > 0 {
		fmt.Fprintf(w, "Lost is what the others had agreed on and this member had not received. Not compared: %s. Where their directories can be read, --compare says whose log is longest.\n", strings.Join(missed, ", "))
	}
	fmt.Fprintln(w, "Messages that were finished in the last moments may come again. No other member of the former set can be started again with what it has.")
	return nil
}

func agreed(stdin io.Reader, stdout io.Writer) bool {
	fmt.Fprint(stdout, "Go on? [y/N] ")
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil {
		fmt.Fprintln(stdout)
	}
	word := strings.ToLower(strings.TrimSpace(line))
	return word == "y" || word == "yes"
}

// tellRenewed says what is there now, and what to do next.
func tellRenewed(w io.Writer, r *cluster.Renewed, dir string) {
	fmt.Fprintf(w, "%s is of set %s now, as its only member %s at %s.\n", dir, r.Set, r.Member, r.Address)
	if r.Kept != "" {
		fmt.Fprintf(w, "The log of the former set is in %s.\n", r.Kept)
	}
	if r.Lost != "" {
		fmt.Fprintf(w, "Not all could be read: %s.\n", r.Lost)
	}
	fmt.Fprintf(w, "Start qd on it as before. Then start nodes with empty data directories at %s: they join by themselves; others, after q cluster add.\n", strings.Join(r.Expected, ", "))
}
