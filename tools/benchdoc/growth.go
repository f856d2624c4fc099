package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"qmq/tools/benchdoc/growth"
)

// growthCommand is benchdoc growth.
type growthCommand struct {
	QD   string `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	NSQD string `name:"nsqd" type:"existingfile" help:"Binary of nsqd, which is measured too where it is fast enough."`
	rows
	Quick    bool          `help:"Less of everything: an impression in a minute and no measurement."`
	Limit    time.Duration `default:"2m" help:"Longest that a point may take; one that takes longer is not measured."`
	Dir      string        `type:"existingdir" placeholder:"DIRECTORY" help:"Where data directories are made, of up to 6 GB. Default: the directory for temporary files."`
	Markdown string        `placeholder:"FILE" help:"Also write the tables to this file; if it is there and has the lines <!-- growth --> and <!-- /growth -->, between them."`
	SVG      string        `name:"svg" placeholder:"FILE" help:"Also draw a chart into this file."`
	output
}

// Run measures the series. The signal that ends it leaves those that are
// complete.
func (g *growthCommand) Run(c console) error {
	o := growth.Options{QD: g.QD, NSQD: g.NSQD, Dir: g.Dir, Quick: g.Quick, Limit: g.Limit}
	var err error
	if o.Rows, err = g.chosen(); err != nil {
		return err
	}
	o.Tell = func(text string) { fmt.Fprintln(c.err, text) }
	report, err := growth.Run(c, o)
	if err != nil {
		return err
	}
	return errors.Join(g.write(report), g.tell(c, report))
}

// write writes the files for people.
func (g *growthCommand) write(report *growth.Report) error {
	if g.SVG != "" {
		if err := writeFile(g.SVG, report.WriteSVG); err != nil {
			return err
		}
	}
	if g.Markdown == "" {
		return nil
	}
	document, err := os.ReadFile(g.Markdown)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(g.Markdown, []byte(report.Insert(string(document))), 0o666)
}
