package reader

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/usb"
)

// TestFaults checks the effect of each action on the host, and that the next exchange succeeds.
func TestFaults(t *testing.T) {
	const (
		ask    = "> 6F 05000000 00 02 00 0000 8034000202\n"
		answer = "< 80 04000000 00 02 00 00 00 0001 9000\n"
	)
	for _, tt := range []struct {
		name string
		at   Moment
		do   []Action
		text string
	}{
		{"stall of the answer", AtAnswer, []Action{Stall()}, ask + "< !\n< !\nh\n"},
		{"stall before execution", AtCommand, []Action{Stall()}, ask + "< !\nh\n"},
		{"another type", AtAnswer, []Action{WrongType(0x81)},
			ask + "< 81 04000000 00 02 00 00 00 0001 9000\n"},
		{"another slot", AtAnswer, []Action{WrongSlot(7)},
			ask + "< 80 04000000 07 02 00 00 00 0001 9000\n"},
		{"another sequence number", AtAnswer, []Action{WrongSeq(0xFF)},
			ask + "< 80 04000000 00 01 00 00 00 0001 9000\n"},
		{"another status", AtAnswer, []Action{WrongStatus(0x41, 0xFE)},
			ask + "< 80 04000000 00 02 41 FE 00 0001 9000\n"},
		{"another length", AtAnswer, []Action{WrongLength(0x80000000)},
			ask + "< 80 00000080 00 02 00 00 00 0001 9000\n"},
		{"truncated data", AtAnswer, []Action{Truncate(12)},
			ask + "< 80 04000000 00 02 00 00 00 0001\n"},
		{"truncated header", AtAnswer, []Action{Truncate(3)}, ask + "< 80 0400\n"},
		{"padded", AtAnswer, []Action{Pad(2)},
			ask + "< 80 04000000 00 02 00 00 00 0001 9000 0000\n"},
		{"other data", AtAnswer, []Action{Payload([]byte{1})},
			ask + "< 80 01000000 00 02 00 00 00 01\n"},
		{"zero-length packets around", AtAnswer, []Action{ZLPFirst(2), ZLPAfter(1)},
			ask + "<\n<\n" + answer + "<\n"},
		{"a stale answer first", AtAnswer, []Action{Stale()},
			ask + "< 80 04000000 00 01 00 00 00 0001 9000\n" + answer},
		{"another message first", AtAnswer, []Action{Before([]byte{1, 2, 3})},
			ask + "< 010203\n" + answer},
		{"time extensions", AtAnswer, []Action{Extend(2, 9, time.Millisecond)},
			ask + "< 80 00000000 00 02 80 09 00\n< 80 00000000 00 02 80 09 00\n" + answer},
		{"two faults at once", AtAnswer, []Action{WrongSeq(1), Pad(1)},
			ask + "< 80 04000000 00 03 00 00 00 0001 9000 00\n"},
		{"delayed", AtAnswer, []Action{Delay(3 * time.Millisecond)}, ask + answer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := attach(t, New(TPDU), card.T0())
				h.play(powerOnT0)
				h.d.Inject(Fault{At: tt.at, Command: XfrBlock, Skip: 1, Do: tt.do})
				h.play(ask + answer) // the skipped one
				h.play(tt.text)
				if n := h.d.Pending(); n != 0 {
					t.Errorf("%d faults did not occur", n)
				}
				h.play(ask + answer)
			})
		})
	}
}

func TestFaultsOfCardAndReader(t *testing.T) {
	start := func(do ...Action) *host {
		h := attach(t, New(TPDU), card.T0())
		h.play("i 50 03")
		h.play(powerOnT0)
		h.d.Inject(Fault{At: AtCommand, Command: XfrBlock, Do: do})
		return h
	}
	t.Run("card gone before execution", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start(RemoveCard()).play(
				"> 6F 05000000 00 02 00 0000 8030000000\n< 80 00000000 00 02 42 FE 00\ni 50 02")
		})
	})
	t.Run("card swapped: a change, and no power", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start(Swap(card.T1())).play(
				"> 6F 05000000 00 02 00 0000 8030000000\n< 80 00000000 00 02 41 FE 00\ni 50 03")
		})
	})
	t.Run("power failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start(PowerFail()).play(
				"> 6F 05000000 00 02 00 0000 8030000000\n" +
					"< 80 00000000 00 02 41 FB 00\ni 51 00 02 01" + powerOnT0)
		})
	})
	t.Run("reader gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := start(Unplug())
			_, err := h.link.Out(context.Background(), h.e.out,
				unhex(t, "6F 05000000 00 02 00 0000 8030000000"), soon)
			if !errors.Is(err, usb.ErrGone) {
				t.Errorf("OUT: %v", err)
			}
			h.play("x")
			h.d.Replug()
			h.play("x") // the old transport stays unusable
			if h.link, err = h.d.Open(0); err != nil {
				t.Fatal(err)
			}
			h.play("i 50 03" + powerOnT0)
		})
	})
	t.Run("OUT stalls, fails, and is not taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := start()
			ctx := context.Background()
			for _, tt := range []struct {
				do   Action
				want error
			}{{Stall(), usb.ErrStall}, {Corrupt(), usb.ErrTransfer}, {Block(), usb.ErrTimeout}} {
				h.d.Heal()
				h.d.Inject(Fault{At: AtOut, Do: []Action{tt.do}})
				if _, err := h.link.Out(ctx, h.e.out, unhex(t, "65 00000000 00 02 00 0000"),
					soon); !errors.Is(err, tt.want) {
					t.Errorf("OUT: %v, expected %v", err, tt.want)
				}
				if tt.want == usb.ErrStall {
					if _, err := h.link.Out(ctx, h.e.out, []byte{0}, soon); !errors.Is(err,
						usb.ErrStall) {
						t.Errorf("halted OUT: %v", err)
					}
				}
				h.link.ClearHalt(ctx, h.e.out)
				h.play("> 65 00000000 00 03 00 0000\n< 81 00000000 00 03 00 00 00")
			}
		})
	})
	t.Run("a lost command leaves the slot busy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start(Lose()).play(
				"> 6F 05000000 00 02 00 0000 8030000000\n<\n" +
					"> 65 00000000 00 03 00 0000\n< 81 00000000 00 03 40 E0 00\n" +
					"> 72 00000000 00 04 00 0000\n< 81 00000000 00 04 00 00 00\n" +
					"> 6F 05000000 00 05 00 0000 8030000000\n< 80 02000000 00 05 00 00 00 9000")
		})
	})
	t.Run("control requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := start()
			h.d.Inject(Fault{At: AtControl, Do: []Action{func(e *Event) { e.Reply = []byte{} }}},
				Fault{At: AtControl, Skip: 1, Do: []Action{Stall()}})
			h.play("c 80 06 0001 0000 1200\n=\nc 80 06 0001 0000 1200\n= !")
		})
	})
	t.Run("a transfer in flight ends when the reader goes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := start()
			time.AfterFunc(5*time.Millisecond, h.d.Unplug)
			if _, err := h.link.In(context.Background(), h.e.in, make([]byte, 64),
				0); !errors.Is(err, usb.ErrGone) {
				t.Errorf("IN: %v", err)
			}
		})
	})
	t.Run("a transfer in flight ends when it is closed or cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := start()
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(5*time.Millisecond, cancel)
			if _, err := h.link.In(ctx, h.e.in, make([]byte, 64), 0); !errors.Is(err,
				context.Canceled) {
				t.Errorf("IN: %v", err)
			}
			time.AfterFunc(5*time.Millisecond, func() { h.link.Close() })
			if _, err := h.link.In(context.Background(), h.e.in, make([]byte, 64),
				0); !errors.Is(err, usb.ErrGone) {
				t.Errorf("IN: %v", err)
			}
		})
	})
}

func TestSlotsWorkAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func() card.Card {
			return card.New(card.Options{ATR: card.ATRT0,
				Applets: []card.Applet{&card.Exchange{Unit: 4 * time.Millisecond}}})
		}
		h := attach(t, named(t, "slots"), slow(), slow(), slow())
		h.play(`
		i 50 3F
		> 62 00000000 00 01 00 0000
		< 80 0A000000 00 01 00 00 00 3B08 74616D6163636964
		> 62 00000000 01 02 00 0000
		< 80 0A000000 01 02 00 00 00 3B08 74616D6163636964
		> 62 00000000 02 03 00 0000
		< 80 0A000000 02 03 00 00 00 3B08 74616D6163636964
		# slot 0 takes longer than slot 1; the third slot is refused: bMaxCCIDBusySlots is 2
		> 6F 05000000 00 04 00 0000 8038000300
		> 6F 05000000 01 05 00 0000 8038000100
		> 6F 05000000 02 06 00 0000 8030000000
		< 80 00000000 02 06 40 E0 00
		< 80 02000000 01 05 00 00 00 9000
		> 6F 05000000 02 07 00 0000 8030000000
		< 80 02000000 02 07 00 00 00 9000
		< 80 02000000 00 04 00 00 00 9000
		> 65 00000000 03 08 00 0000
		< 81 00000000 03 08 02 00 00`)
	})
}
