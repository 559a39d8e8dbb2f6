package main

import (
	"errors"
	"fmt"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
)

// The applets of the test card.
var (
	helloAID    = []byte{0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06, 0x01}
	exchangeAID = []byte{0xA0, 0x00, 0x00, 0x00, 0x18, 0xFF}
	echoAID     = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x01}
)

const helloText = "Hello world!"

// The commands of the exchange applet and of the echo applet. P1 P2 of cases 2 and 4 are the length
// of the answer.
//
//	80 30 00 00             case 1
//	80 32 00 00 Lc data     case 3, data 00 01 02 ...
//	80 34 P1 P2 Le          case 2, answer 00 01 02 ...
//	80 36 P1 P2 Lc data Le  case 4, both
//	80 38 00 tt             takes tt units of time
//	80 12 01 80 data        extended case 3
//	80 00 04 42 Le          extended case 2, answer 42 42 42 ...
//	80 EE 00 00 data Le     echo: the data
const (
	proprietary = 0x80

	insCase1         = 0x30
	insCase3         = 0x32
	insCase2         = 0x34
	insCase4         = 0x36
	insTime          = 0x38
	insExtendedCase3 = 0x12
	insExtendedCase2 = 0x00
	insEcho          = 0xEE

	filler = 0x42
)

// A step is one line of the report.
type step struct {
	title string
	run   func(t *trial) error
}

// leftOut is the error of a step that the reader or the card does not support, or only partly.
type leftOut string

func (l leftOut) Error() string { return string(l) }

// Reasons to leave a step out.
const (
	shortReader   leftOut = "the reader takes short APDUs only"
	unknownReader leftOut = "the reader does not report extended APDUs"
	shortCard     leftOut = "the card takes short APDUs only"
	noEcho        leftOut = "the card has no echo applet"
	onlyShortLe   leftOut = "T=0 has no Le above 256"
)

// steps returns the steps of the test, in their order.
func steps(o options) []step {
	lengths, all := lengths(o.quick), "all lengths"
	if o.quick {
		all = "some lengths"
	}
	return []step{
		{"hello world", hello},
		{"case 1", func(t *trial) error {
			if err := t.exchange(iso7816.Select(exchangeAID), nil); err != nil {
				return err
			}
			return t.exchange(iso7816.Command{CLA: proprietary, INS: insCase1}, nil)
		}},
		{"case 2, " + all + " 1 to 256", each(lengths, case2)},
		{"case 3, " + all + " 1 to 255", each(lengths, case3)},
		{"case 4, " + all + " 1 to 255, 255 to 1 back", each(lengths, case4)},
		{"a command that takes " + plural(int(o.units), "unit") + " of time", func(t *trial) error {
			return t.exchange(iso7816.Command{CLA: proprietary, INS: insTime, P2: o.units}, nil)
		}},
		{"extended case 2, up to 65535", extended(extendedCase2)},
		{"extended case 3, up to 65535", extended(extendedCase3)},
		{"extended case 4, up to 65535 there and back", echo},
	}
}

// lengths returns the lengths of short APDUs.
func lengths(quick bool) (list []int) {
	for n := 1; n <= iso7816.MaxShortNe; n++ {
		if !quick || edge(n) {
			list = append(list, n)
		}
	}
	return list
}

// edge reports whether a length is near the end of a length field, of a message or block of 256
// bytes, or of a packet of 64 bytes with the headers of message and block.
func edge(n int) bool {
	return n <= 2 || n >= 44 && n <= 54 || n == 127 || n == 128 || n >= 242
}

// extendedLengths are those near the ends of short length fields, 4 KB, and the greatest length.
var extendedLengths = []int{1, 255, 256, 257, 4096, iso7816.MaxData}

// hello executes the command of samples/helloworld.
func hello(t *trial) error {
	if err := t.exchange(iso7816.Select(helloAID), nil); err != nil {
		return err
	}
	return t.exchange(iso7816.Command{}, []byte(helloText)) // 00 00 00 00
}

// each returns a step that executes a command at all lengths.
func each(lengths []int, run func(t *trial, n int) error) func(t *trial) error {
	return func(t *trial) error {
		for _, n := range lengths {
			if err := run(t, n); err != nil {
				return fmt.Errorf("%s: %w", plural(n, "byte"), err)
			}
		}
		return nil
	}
}

func case2(t *trial, n int) error {
	return t.exchange(iso7816.Command{CLA: proprietary, INS: insCase2,
		P1: byte(n >> 8), P2: byte(n), Ne: n}, counting[:n])
}

func case3(t *trial, n int) error {
	if n > iso7816.MaxShortData {
		return nil // a short command has no such length
	}
	return t.exchange(iso7816.Command{CLA: proprietary, INS: insCase3, Data: counting[:n]}, nil)
}

func case4(t *trial, n int) error {
	if n > iso7816.MaxShortData {
		return nil
	}
	back := iso7816.MaxShortNe - n
	return t.exchange(iso7816.Command{CLA: proprietary, INS: insCase4, P1: byte(back >> 8),
		P2:   byte(back),
		Data: counting[:n], Ne: back}, counting[:back])
}

// extended returns a step that executes a command at the extended lengths that the reader supports.
func extended(run func(t *trial, n int) error) func(t *trial) error {
	return func(t *trial) error {
		if err := t.takesExtended(); err != nil {
			return err
		}
		for i, n := range extendedLengths {
			if n > t.most {
				return leftOut(fmt.Sprintf("the reader takes %d bytes at most", t.most))
			}
			err := run(t, n)
			var left leftOut
			switch {
			case errors.As(err, &left):
				return err
			case i == 0 && refusesExtended(err):
				return shortCard
			case err != nil:
				return fmt.Errorf("%s: %w", plural(n, "byte"), err)
			}
		}
		return nil
	}
}

// takesExtended returns the reason to leave extended APDUs out, or nil.
func (t *trial) takesExtended() error {
	switch {
	case !t.known:
		return unknownReader
	case t.most == 0:
		return shortReader
	}
	return nil
}

// refusesExtended reports whether an error is the answer of a card without extended length fields.
// At T=0 it can be the answer to ENVELOPE (ISO/IEC 7816-4:2013, 5.2 and 11.7.2).
func refusesExtended(err error) bool {
	return errors.Is(err, iso7816.SWWrongLength) || errors.Is(err, iso7816.SWInstruction)
}

func extendedCase2(t *trial, n int) error {
	if t.protocol == sclib.ProtocolT0 && n > iso7816.MaxShortNe {
		// P3 is one byte (ISO/IEC 7816-3:2006, 12.2.3). The step echo tests long answers.
		return onlyShortLe
	}
	return t.exchange(iso7816.Command{CLA: proprietary, INS: insExtendedCase2,
		P1: 0x04, P2: filler, Ne: n, Extended: true}, fillers[:n])
}

func extendedCase3(t *trial, n int) error {
	return t.exchange(iso7816.Command{CLA: proprietary, INS: insExtendedCase3,
		P1: 0x01, P2: 0x80, Data: counting[:n], Extended: true}, nil)
}

// echo exchanges data whose pages of 256 bytes all differ. Ne is the greatest, so that the last
// command is the longest possible one.
func echo(t *trial) error {
	if err := t.takesExtended(); err != nil {
		return err
	}
	switch err := t.exchange(iso7816.Select(echoAID), nil); {
	case errors.Is(err, iso7816.SWNotFound):
		return noEcho
	case err != nil:
		return err
	}
	return extended(func(t *trial, n int) error {
		return t.exchange(iso7816.Command{CLA: proprietary, INS: insEcho,
			Data: pages[:n], Ne: iso7816.MaxNe, Extended: true}, pages[:n])
	})(t)
}
