package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"qmq/loadgen/growth"
)

// benchGrowth is q bench growth.
type benchGrowth struct {
	QD       string        `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	NSQD     string        `name:"nsqd" type:"existingfile" help:"Binary of nsqd, which is measured too where it is fast enough."`
	Rows     string        `placeholder:"REGEX" help:"Measure only series whose name matches."`
	Quick    bool          `help:"Less of everything: an impression in a minute and no measurement."`
	Limit    time.Duration `default:"2m" help:"Longest that a point may take; one that takes longer is not measured."`
	Dir      string        `type:"existingdir" placeholder:"DIRECTORY" help:"Where data directories are made, of up to 6 GB. Default: the directory for temporary files."`
	JSON     bool          `name:"json" help:"Write the report as JSON and not as Markdown."`
	Out      string        `placeholder:"FILE" help:"Also write the report as JSON to this file."`
	Markdown string        `placeholder:"FILE" help:"Also write the tables to this file; if it is there and has the lines <!-- growth --> and <!-- /growth -->, between them."`
	SVG      string        `name:"svg" placeholder:"FILE" help:"Also draw a chart into this file."`
}

// Run measures the series. The signal that ends it leaves those that are
// complete.
func (b *benchGrowth) Run(c console) error {
	o := growth.Options{QD: b.QD, NSQD: b.NSQD, Dir: b.Dir, Quick: b.Quick, Limit: b.Limit}
	var err error
	if o.Rows, err = chosen(b.Rows); err != nil {
		return err
	}
	o.Tell = func(text string) { fmt.Fprintln(c.err, text) }
	ctx, cancel := interruptible(c)
	defer cancel()
	report, err := growth.Run(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(b.write(report), tell(c.out, report, b.JSON, b.Out))
}

// write writes the files for people.
func (b *benchGrowth) write(report *growth.Report) error {
	if b.SVG != "" {
		if err := writeFile(b.SVG, report.WriteSVG); err != nil {
			return err
		}
	}
	if b.Markdown == "" {
		return nil
	}
	document, err := os.ReadFile(b.Markdown)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(b.Markdown, []byte(report.Insert(string(document))), 0o666)
}
