package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// matrixTiming keeps the bound of a cell short.
var matrixTiming = &ccid.Timing{
	Write: 50 * time.Millisecond, Answer: 30 * time.Millisecond, Power: 40 * time.Millisecond,
	Abort: 20 * time.Millisecond,
	Halt:  20 * time.Millisecond, Limit: 60 * time.Millisecond, Busy: time.Millisecond,
	PollICCD: 100 * time.Microsecond,
	Escape:   50 * time.Millisecond,
}

// kind is a reader that differs from the others in its exchanges.
type kind struct {
	name string
	card string
	make func() reader.Model
}

var kinds = []kind{
	{"character T=0", "t0", func() reader.Model { return reader.New(reader.Character) }},
	{"character T=1", "t1", func() reader.Model { return reader.New(reader.Character) }},
	{"TPDU T=0", "t0", func() reader.Model { return reader.New(reader.TPDU) }},
	{"TPDU T=1", "t1", func() reader.Model { return reader.New(reader.TPDU) }},
	{"TPDU T=1 with small blocks", "t1-small",
		func() reader.Model { return reader.New(reader.TPDU) }},
	{"short APDU", "t0", func() reader.Model { return reader.New(reader.ShortAPDU) }},
	{"extended APDU, chaining", "t1",
		func() reader.Model { return reader.New(reader.ExtendedAPDU) }},
	{"two endpoints, negotiates itself", "t0", func() reader.Model {
		m := reader.New(reader.ShortAPDU)
		m.Functions[0].Endpoints = 2
		m.Functions[0].CCID.Features |= reader.AutoNegotiation
		return m
	}},
	{"two slots at once", "t0", func() reader.Model {
		m := reader.New(reader.ShortAPDU)
		m.Functions[0].CCID.MaxSlotIndex, m.Functions[0].CCID.MaxBusySlots = 1, 2
		return m
	}},
	{"ICCD version B", "t1", func() reader.Model {
		m := reader.New(reader.ShortAPDU)
		m.Functions[0].Protocol, m.Functions[0].Endpoints = reader.ICCDB, 0
		m.Functions[0].CCID.Features |= reader.AutoNegotiation
		return m
	}},
}

// fault is what goes wrong once.
type fault struct {
	name string
	at   reader.Moment
	do   func() reader.Action
	gone bool // the reader has gone afterwards
	bulk bool // for bulk pipes only
}

var faults = []fault{
	{"stall", reader.AtAnswer, reader.Stall, false, false},
	{"stall before execution", reader.AtCommand, reader.Stall, false, true},
	{"corrupt transfer", reader.AtAnswer, reader.Corrupt, false, true},
	{"babble", reader.AtAnswer, reader.Babble, false, true},
	{"OUT stalls", reader.AtOut, reader.Stall, false, true},
	{"OUT is corrupt", reader.AtOut, reader.Corrupt, false, true},
	{"OUT never ends", reader.AtOut, reader.Block, false, true},
	{"command lost", reader.AtCommand, reader.Lose, false, false},
	{"answer lost", reader.AtAnswer, reader.Lose, false, false},
	{"answer late", reader.AtAnswer,
		func() reader.Action { return reader.Delay(90 * time.Millisecond) }, false, false},
	{"wrong type", reader.AtAnswer, func() reader.Action { return reader.WrongType(0x99) }, false,
		true},
	{"wrong slot", reader.AtAnswer, func() reader.Action { return reader.WrongSlot(9) }, false,
		true},
	{"another slot", reader.AtAnswer, func() reader.Action { return reader.WrongSlot(1) }, false,
		true},
	{"wrong sequence number", reader.AtAnswer,
		func() reader.Action { return reader.WrongSeq(0x80) }, false, true},
	{"length too large", reader.AtAnswer, func() reader.Action { return reader.WrongLength(200) },
		false, true},
	{"length with the top bit", reader.AtAnswer,
		func() reader.Action { return reader.WrongLength(0x80000000) }, false, true},
	{"length of FFFFFFFF", reader.AtAnswer,
		func() reader.Action { return reader.WrongLength(0xFFFFFFFF) }, false, true},
	{"header cut", reader.AtAnswer, func() reader.Action { return reader.Truncate(7) }, false,
		true},
	{"payload cut", reader.AtAnswer, func() reader.Action { return reader.Truncate(11) }, false,
		true},
	{"padded", reader.AtAnswer, func() reader.Action { return reader.Pad(30) }, false, true},
	{"empty payload", reader.AtAnswer, func() reader.Action { return reader.Payload(nil) }, false,
		false},
	{"payload of one byte", reader.AtAnswer,
		func() reader.Action { return reader.Payload([]byte{0x33}) }, false, false},
	{"payload of noise", reader.AtAnswer,
		func() reader.Action { return reader.Payload(bytes.Repeat([]byte{0xF7}, 60)) }, false,
		false},
	{"payload longer than any", reader.AtAnswer,
		func() reader.Action { return reader.Payload(make([]byte, 2000)) }, false, false},
	{"zero-length packets first", reader.AtAnswer,
		func() reader.Action { return reader.ZLPFirst(3) }, false, true},
	{"zero-length packets without end", reader.AtAnswer,
		func() reader.Action { return reader.ZLPFirst(500) }, false, true},
	{"zero-length packets behind", reader.AtAnswer,
		func() reader.Action { return reader.ZLPAfter(3) }, false, true},
	{"stale answer first", reader.AtAnswer, reader.Stale, false, true},
	{"time extension", reader.AtAnswer,
		func() reader.Action { return reader.Extend(2, 2, 10*time.Millisecond) }, false, true},
	{"time extensions without end", reader.AtAnswer,
		func() reader.Action { return reader.Extend(reader.Endless, 1, time.Millisecond) }, false,
		true},
	{"mute", reader.AtAnswer, func() reader.Action { return reader.WrongStatus(0x40, 0xFE) }, false,
		false},
	{"parity error", reader.AtAnswer,
		func() reader.Action { return reader.WrongStatus(0x40, 0xFD) }, false, false},
	{"hardware error", reader.AtAnswer,
		func() reader.Action { return reader.WrongStatus(0x40, 0xFB) }, false, false},
	{"busy", reader.AtAnswer, func() reader.Action { return reader.WrongStatus(0x40, 0xE0) }, false,
		true},
	{"not supported", reader.AtAnswer,
		func() reader.Action { return reader.WrongStatus(0x40, 0x00) }, false, false},
	{"reserved status", reader.AtAnswer,
		func() reader.Action { return reader.WrongStatus(0xC3, 0x00) }, false, true},
	{"power failure", reader.AtCommand, reader.PowerFail, false, false},
	{"card removed", reader.AtCommand, reader.RemoveCard, false, true},
	{"card swapped", reader.AtCommand, func() reader.Action { return reader.Swap(card.T0()) },
		false, true},
	{"reader unplugged before", reader.AtCommand, reader.Unplug, true, false},
	{"reader unplugged after", reader.AtAnswer, reader.Unplug, true, false},
}

// moments are the commands at which a fault happens.
var moments = []struct {
	name    string
	command byte
	skip    int
}{
	{"power on", reader.IccPowerOn, 0},
	{"power off", reader.IccPowerOff, 0},
	{"parameters", reader.SetParameters, 0},
	{"first exchange", reader.XfrBlock, 0},
	{"third exchange", reader.XfrBlock, 2},
	{"status", reader.GetSlotStatus, 1}, // the first is Open's
}

// documented are the errors that a call may end with.
var documented = []error{
	ccid.ErrNoCard, ccid.ErrNotPowered, ccid.ErrMute, ccid.ErrTimeout, ccid.ErrProtocol,
	ccid.ErrParity, ccid.ErrBadATR, ccid.ErrUnsupported,
	ccid.ErrNoProtocol, ccid.ErrGone, ccid.ErrTransport, ccid.ErrHardware, ccid.ErrBusy,
	ccid.ErrAborted, ccid.ErrShortBuffer,
}

func isDocumented(err error) bool {
	for _, d := range documented {
		if errors.Is(err, d) {
			return true
		}
	}
	return false
}

// session is what a program does: it connects, reads the state, and exchanges a short and, if
// possible, a longer command.
func session(s *ccid.Slot) error {
	ctx := context.Background()
	if _, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if _, err := s.State(ctx); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	r := make([]byte, 258)
	for _, command := range [][]byte{
		append([]byte{0, 0xA4, 4, 0, byte(len(card.ExchangeAID))}, card.ExchangeAID...),
		append([]byte{0x80, 0x32, 0, 0, 200}, counted(200)...),
		{0x80, 0x34, 0, 150, 150},
		{0x80, 0x30, 0, 0},
	} {
		n, err := s.Transmit(ctx, command, r)
		if err != nil {
			return fmt.Errorf("transmit % .6X: %w", command, err)
		}
		if n < 2 || r[n-2] != 0x90 {
			return fmt.Errorf("transmit % .6X: % X: %w", command, r[:n], errAnswer)
		}
	}
	return nil
}

// errAnswer is a wrong answer of the card: the driver cannot detect false data in well-formed
// messages.
var errAnswer = errors.New("wrong answer")

// TestFaultMatrix runs every fault at every moment with every kind of reader. Each session ends
// within its bound, with a documented error or without one, and once the fault is over a session on
// the same reader succeeds, unless the reader has gone.
func TestFaultMatrix(t *testing.T) {
	const bound = 3 * time.Second
	struck, survived := 0, 0
	for _, k := range kinds {
		bulk := k.make().Functions[0].Protocol == reader.BulkCCID
		for _, f := range faults {
			for _, m := range moments {
				if f.bulk && !bulk || f.at == reader.AtOut && m.command != reader.XfrBlock {
					// these cannot happen; transfers have no command yet, so that one moment is
					// enough
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					hit, err := runCell(t, k, f, m.command, m.skip, bound)
					if hit {
						struck++
						if err == nil {
							survived++
						}
					} else if m.command == reader.XfrBlock && m.skip == 0 && f.at != reader.AtOut {
						t.Errorf("%s, %s, %s: the fault did not strike", k.name, f.name, m.name)
					}
				})
			}
		}
	}
	t.Logf("%d faults struck, %d were survived without an error", struck, survived)
}

// runCell runs one cell of the matrix. hit reports whether the fault happened, err is the error of
// the session with it.
func runCell(t *testing.T, k kind, f fault, command byte, skip int, bound time.Duration) (hit bool,
	err error) {
	cell := fmt.Sprintf("%s, %s, %#02x", k.name, f.name, command)
	d := reader.NewDevice(k.make())
	c, err := card.Named(k.card)
	if err != nil {
		t.Error(err)
		return false, err
	}
	r, err := openSim(t, d, 0, c, ccid.Options{Timing: matrixTiming})
	if err != nil {
		t.Errorf("%s: %v", cell, err)
		return false, err
	}
	defer r.Close()
	line := reader.Fault{At: f.at, Command: command, Skip: skip, Do: []reader.Action{f.do()}}
	switch {
	case f.at == reader.AtOut:
		line.Command, line.Skip = 0, 4+skip
	case command == reader.GetSlotStatus:
		line.Skip = 0 // Open's is over
	}
	d.Inject(line)
	started := time.Now()
	err = session(r.Slots()[0])
	if took := time.Since(started); took > bound {
		t.Errorf("%s: took %v", cell, took)
	}
	if err != nil && !isDocumented(err) && !errors.Is(err, errAnswer) {
		t.Errorf("%s: %v", cell, err)
	}
	hit = d.Pending() == 0
	if f.gone {
		if hit && !errors.Is(err, ccid.ErrGone) {
			t.Errorf("%s: %v", cell, err)
		}
		return hit, err
	}
	d.Heal()
	again, _ := card.Named(k.card)
	d.Reader(0).Insert(0, again)
	if err := session(r.Slots()[0]); err != nil {
		t.Errorf("%s: the next session: %v", cell, err)
	}
	return hit, err
}
