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
	for _, test := range []struct {
		name string
		args []string
		want error
		said bool
	}{
		{"a flag", []string{"-n", "3"}, nil, false},
		{"help", []string{"-h"}, flag.ErrHelp, true},
		{"a flag that there is not", []string{"-x"}, ErrUsage, true},
		{"a number that is none", []string{"-n", "three"}, ErrUsage, true},
	} {
		var out bytes.Buffer
		flags := flag.NewFlagSet("program", flag.ContinueOnError)
		flags.SetOutput(&out)
		flags.Int("n", 0, "a number")
		if err := Parse(flags, test.args); !errors.Is(err, test.want) || test.want == nil && err != nil || (out.Len() > 0) != test.said {
			t.Errorf("%s: %v, said %q", test.name, err, &out)
		}
	}
}

func TestMisused(t *testing.T) {
	var out bytes.Buffer
	flags := flag.NewFlagSet("program", flag.ContinueOnError)
	flags.SetOutput(&out)
	if err := Misused(flags, "%d is too many", 3); err != ErrUsage || out.String() != "program: 3 is too many\n" {
		t.Errorf("%v, said %q", err, &out)
	}
}
