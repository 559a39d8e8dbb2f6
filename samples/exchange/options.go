package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// options are the options of the command line.
type options struct {
	quick  bool
	units  byte   // the processing time of one command
	reader string // a name or a part of it; empty means all readers
}

// parse parses a command line.
func parse(arguments []string) (options, error) {
	o := options{units: 1}
	named := false
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case argument == "-quick":
			o.quick = true
		case argument == "-time":
			if i++; i == len(arguments) {
				return options{}, errors.New("-time needs a number")
			}
			units, err := strconv.ParseUint(arguments[i], 10, 8) // one byte of the command
			if err != nil {
				return options{}, fmt.Errorf("%q is not a number from 0 to 255", arguments[i])
			}
			o.units = byte(units)
		case strings.HasPrefix(argument, "-"):
			return options{}, fmt.Errorf("there is no option %q", argument)
		case argument == "" || named:
			return options{}, errors.New("one reader can be named, or none for all")
		default:
			o.reader, named = argument, true
		}
	}
	return o, nil
}

// chosen returns the reader with the name of the command line, or those whose names contain it.
func (o *options) chosen(names []string) []string {
	var some []string
	for _, name := range names {
		if name == o.reader {
			return []string{name}
		}
		if strings.Contains(name, o.reader) {
			some = append(some, name)
		}
	}
	return some
}
