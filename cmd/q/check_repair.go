package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"qmq/broker"
	"qmq/daemon"
)

// repair mends a data directory and says what it did, what is left, and by its error
// whether that is anything.
func (k *checkCommand) repair(c console) error {
	options, err := daemon.OfflineOptions(k.DataPath, slog.New(slog.DiscardHandler))
	if err != nil {
		return &uncheckedError{err}
	}
	o := broker.RepairOptions{Options: options, Adopt: make(map[string]string), Acknowledge: k.Acknowledge}
	for _, text := range k.Adopt {
		if text == "all" {
			o.AdoptAll = true
			continue
		}
		directory, topic, _ := strings.Cut(text, "=")
		o.Adopt[directory] = topic
	}
	r, err := broker.Repair(o)
	if err != nil {
		return &uncheckedError{explainReading(k.DataPath, err)}
	}
	if k.JSON {
		err = printJSON(c.out, r)
	} else {
		err = printRepair(c.out, r)
	}
	if err != nil {
		return &uncheckedError{err}
	}
	refused := int64(0)
	for _, a := range r.Adopted {
		if a.Err != "" {
			refused++
		}
	}
	switch n := int64(r.Left.Amiss()); {
	case n > 0:
		return fmt.Errorf("%s: %s left, of %d; --acknowledge notes that they were seen", k.DataPath, plural(n, "finding"), r.Found.Amiss())
	case refused > 0:
		return fmt.Errorf("%s: %s not adopted", k.DataPath, plural(refused, "directory"))
	}
	return nil
}

// printRepair writes what was done, and then what is left.
func printRepair(out io.Writer, r *broker.Repaired) error {
	for _, path := range r.SetAside {
		fmt.Fprintf(out, "set aside: %s\n", path)
	}
	for _, a := range r.Adopted {
		if a.Err != "" {
			fmt.Fprintf(out, "not adopted: %s: %s\n", a.Directory, a.Err)
			continue
		}
		fmt.Fprintf(out, "adopted: %s is topic %s\n", a.Directory, a.Topic)
	}
	fmt.Fprintf(out, "%s before, %d left\n\n", plural(int64(r.Found.Amiss()), "finding"), r.Left.Amiss())
	return printCheck(out, r.Left)
}
