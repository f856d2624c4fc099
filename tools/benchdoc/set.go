package main

import (
	"fmt"

	"qmq/tools/benchdoc/set"
)

// setCommand is benchdoc set.
type setCommand struct {
	QD   string `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	Base string `name:"base" type:"existingfile" help:"Binary of the unreplicated qd that it is compared with. Default: the same."`
	rows
	Pairs    int    `help:"How often both are measured. Default: 5, and 1 with --quick."`
	Quick    bool   `help:"Less of everything: an impression in a few minutes and no measurement."`
	Dir      string `type:"existingdir" placeholder:"DIRECTORY" help:"Where data directories are made, of up to 20 GB. Default: the directory for temporary files."`
	Markdown string `placeholder:"FILE" help:"Also write the report as Markdown to this file."`
	output
}

// Run measures the rows. The signal that ends it leaves those that are complete.
func (s *setCommand) Run(c console) error {
	o := set.Options{QD: s.QD, Base: s.Base, Dir: s.Dir, Pairs: s.Pairs, Quick: s.Quick}
	var err error
	if o.Rows, err = s.chosen(); err != nil {
		return err
	}
	o.Tell = func(text string) { fmt.Fprintln(c.err, text) }
	report, err := set.Run(c, o)
	if err != nil {
		return err
	}
	if s.Markdown != "" {
		if err := writeFile(s.Markdown, report.WriteText); err != nil {
			return err
		}
	}
	return s.tell(c, report)
}
