package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"

	"qmq/loadgen/table"
)

// benchTable is q bench table.
type benchTable struct {
	QD       string `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	NSQD     string `name:"nsqd" type:"existingfile" required:"" help:"Binary of nsqd."`
	Rows     string `placeholder:"REGEX" help:"Measure only rows whose name matches."`
	Pairs    int    `help:"How often each daemon is measured. Default: 5, and 1 with --quick."`
	Quick    bool   `help:"Less of everything: an impression in a few minutes and no measurement."`
	Dir      string `type:"existingdir" placeholder:"DIRECTORY" help:"Where data directories are made. Default: the directory for temporary files."`
	JSON     bool   `name:"json" help:"Write the report as JSON and not as Markdown."`
	Out      string `placeholder:"FILE" help:"Also write the report as JSON to this file."`
	Markdown string `placeholder:"FILE" help:"Also write the report as Markdown to this file."`
}

// Run measures the table. The signal that ends it leaves the rows that are
// complete.
func (b *benchTable) Run(c console) error {
	o := table.Options{QD: b.QD, NSQD: b.NSQD, Dir: b.Dir, Pairs: b.Pairs, Quick: b.Quick}
	var err error
	if o.Rows, err = chosen(b.Rows); err != nil {
		return err
	}
	o.Tell = func(text string) { fmt.Fprintln(c.err, text) }
	ctx, cancel := interruptible(c)
	defer cancel()
	report, err := table.Run(ctx, o)
	if err != nil {
		return err
	}
	if b.Markdown != "" {
		if err := writeFile(b.Markdown, report.WriteText); err != nil {
			return err
		}
	}
	return tell(c.out, report, b.JSON, b.Out)
}

// chosen is what --rows says; nil is all rows.
func chosen(rows string) (*regexp.Regexp, error) {
	if rows == "" {
		return nil, nil
	}
	matching, err := regexp.Compile(rows)
	if err != nil {
		return nil, fmt.Errorf("--rows: %w", err)
	}
	return matching, nil
}

// writeFile writes a file with what write writes.
func writeFile(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}
