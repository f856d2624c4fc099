package main

import (
	"fmt"

	"qmq/tools/benchdoc/set"
)

// setCommand is benchdoc set.
type setCommand struct {
	QD   string `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	Base string `name:"base" type:"existingfile" help:"Binary of the unreplicated qd that it is compared with. Default: the same."`

	FilledDir   string `type:"existingdir" placeholder:"DIRECTORY" help:"Where an empty member that is filled has its data, best on another disk than --dir. Default: as the others."`
	FilledBytes int64  `placeholder:"BYTES" help:"How much of messages it gets. Default: 4 GB."`
	setOptions
}

// Run measures the rows. The signal that ends it leaves those that are complete.
func (s *setCommand) Run(c console) error {
	return s.measure(c, set.Options{QD: s.QD, Base: s.Base, Filled: set.Filled{Dir: s.FilledDir, Bytes: s.FilledBytes}})
}

// peersCommand is benchdoc peers.
type peersCommand struct {
	QD         string `name:"qd" type:"existingfile" required:"" help:"Binary of qd."`
	NATSServer string `name:"nats-server" type:"existingfile" required:"" help:"Binary of nats-server."`
	setOptions
}

// Run measures the rows, as that of setCommand.
func (p *peersCommand) Run(c console) error {
	return p.measure(c, set.Options{QD: p.QD, NATSServer: p.NATSServer})
}

// setOptions are those of commands that measure sets.
type setOptions struct {
	rows
	Pairs    int    `help:"How often both are measured. Default: 5, and 1 with --quick."`
	Quick    bool   `help:"Less of everything: an impression in a few minutes and no measurement."`
	Dir      string `type:"existingdir" placeholder:"DIRECTORY" help:"Where data directories are made, of up to 25 GB. Default: the directory for temporary files."`
	Markdown string `placeholder:"FILE" help:"Also write the report as Markdown to this file."`
	output
}

func (s *setOptions) measure(c console, o set.Options) error {
	o.Dir, o.Pairs, o.Quick = s.Dir, s.Pairs, s.Quick
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
