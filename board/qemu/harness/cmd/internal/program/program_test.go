package program

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"success", nil, 0},
		{"help was asked for", flag.ErrHelp, 0},
		{"wrong arguments", fmt.Errorf("%w: two", ErrUsage), 2},
		{"a failure", errors.New("no"), 1},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%s: %d", test.name, got)
		}
	}
}

func TestParse(t *testing.T) {
	const help = "usage: program [FLAG...] [FILE...]\n  -n int\n    \ta number\n"
	for _, test := range []struct {
		name   string
		args   []string
		want   error
		output string
	}{
		{"a flag", []string{"-n", "3"}, nil, ""},
		{"help", []string{"-h"}, flag.ErrHelp, help},
		{"a flag that there is not", []string{"-x"}, ErrUsage,
			"program: flag provided but not defined: -x; -h lists the flags\n"},
		{"not a number", []string{"-n", "three"}, ErrUsage,
			"program: invalid value \"three\" for flag -n: parse error; -h lists the flags\n"},
	} {
		var out bytes.Buffer
		flags := Flags("program", "[FILE...]", &out)
		flags.Int("n", 0, "a number")
		if err := Parse(flags, test.args); !errors.Is(err, test.want) || test.want == nil &&
			err != nil || out.String() != test.output {
			t.Errorf("%s: %v, output %q", test.name, err, &out)
		}
	}
}

func TestMisused(t *testing.T) {
	var out bytes.Buffer
	flags := Flags("program", "", &out)
	if err := Misused(flags, "%d is too many", 3); err != ErrUsage ||
		out.String() != "program: 3 is too many\n" {
		t.Errorf("%v, output %q", err, &out)
	}
}
