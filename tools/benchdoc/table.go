package main

import (
	"fmt"

	"qmq/tools/benchdoc/table"
)

// tableCommand is benchdoc table.
type tableCommand struct {
	QD   string `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	NSQD string `name:"nsqd" type:"existingfile" help:"Binary of the daemon that it is compared with, nsqd or another qd. Default: none, qd is measured alone."`
	rows
	Pairs    int    `help:"How often each daemon is measured. Default: 5, and 1 with --quick."`
	Quick    bool   `help:"Less of everything: an impression in a few minutes and no measurement."`
	Dir      string `type:"existingdir" placeholder:"DIRECTORY" help:"Where data directories are made. Default: the directory for temporary files."`
	Markdown string `placeholder:"FILE" help:"Also write the report as Markdown to this file."`
	output
}

// Run measures the table. The signal that ends it leaves the rows that are
// complete.
func (t *tableCommand) Run(c console) error {
	o := table.Options{QD: t.QD, NSQD: t.NSQD, Dir: t.Dir, Pairs: t.Pairs, Quick: t.Quick}
	var err error
	if o.Rows, err = t.chosen(); err != nil {
		return err
	}
	o.Tell = func(text string) { fmt.Fprintln(c.err, text) }
	report, err := table.Run(c, o)
	if err != nil {
		return err
	}
	if t.Markdown != "" {
		if err := writeFile(t.Markdown, report.WriteText); err != nil {
			return err
		}
	}
	return t.tell(c, report)
}
