package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A command on its way through a slot. Every failure of it leaves the slot in one of two states:
//
//	state      meaning                                          next command
//	in step    the reader owes no answer                        is sent at once
//	stale      an answer may still come, or be stuck half-way   resync first; ErrTimeout while that fails
//
//	event                                         bulk                                   result
//	answer fits (type, slot, sequence, length)    -                                      answer
//	answer of another slot                        handed to that slot                    wait on
//	answer of an older command                    dropped, at most maxStale              wait on
//	zero-length packet                            read again, at most maxEmpty           wait on
//	time extension                                wait x bError, up to Limit and
//	                                              maxExtensions                          wait on
//	command failed                                -                                      *SlotError
//	slot busy                                     repeated after Busy, up to the wait    answer or ErrBusy
//	command aborted, not by this driver           stale, resync, repeated once           answer or *SlotError
//	IN stalls or breaks                           halt cleared, answer awaited Halt      answer, or stale, ErrTransport
//	OUT stalls                                    halt cleared, sent once more           answer, or stale, ErrTransport
//	answer malformed, of the wrong type           stale, resync                          ErrProtocol
//	no answer in time                             stale, resync                          ErrTimeout
//	context ends                                  stale, resync within Cancel            ctx.Err()
//	reader unplugged or closed                    nothing                                ErrGone
const (
	// maxStale bounds the answers of older commands before the one that is waited for (policy: no reader queues more).
	maxStale = 64
	// maxEmpty bounds zero-length packets in a row (policy).
	maxEmpty = 16
	// maxExtensions bounds time extensions of one command; Limit bounds their time (policy).
	maxExtensions = 4096
)

// command is one message to the reader. Its payload is already in the slot's out buffer, after the header.
type command struct {
	typ messageType
	p   [3]byte // bytes 7 to 9 of the header
	n   int     // length of the payload
	// want is the payload expected at most, which sizes the first read; longer answers are read to their end.
	want int
	wait time.Duration // for the answer
	// repeat says that the command changes nothing on the card and may be sent again when its answer was lost.
	repeat bool
}

// answer is a response. Data is a view into the slot's in buffer, valid until the next command.
type answer struct {
	header
	data []byte
}

// pipe moves commands to the reader and answers back: bulk or control endpoints.
type pipe interface {
	// roundTrip sends the command and waits for its answer, time extensions included. Failed commands are answers.
	// When it returns an error the reader may still be busy with the command, unless the slot was brought back in step.
	roundTrip(ctx context.Context, s *Slot, c *command) (answer, error)
	// resync brings a stale slot back in step before a command of type next. It ends with ctx, and
	// has bounds of its own.
	resync(ctx context.Context, s *Slot, next messageType) error
	// wipe clears what the pipe itself keeps of commands and answers, at the end of a call.
	wipe()
}

// errLost says that the answer to a command was lost on its way.
var errLost = errors.New("answer lost")

// exec runs one command on the slot. The caller holds the slot.
func (s *Slot) exec(ctx context.Context, c command) (answer, error) {
	r := s.r
	if err := r.lost(); err != nil {
		return answer{}, err
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	if err := r.busy.enter(ctx); err != nil {
		return answer{}, err
	}
	defer r.busy.leave()
	s.cmd = c
	var deadline time.Time
	for again := false; ; {
		if s.stale {
			if err := r.pipe.resync(ctx, s, c.typ); err != nil {
				return answer{}, r.note(err)
			}
		}
		a, err := r.pipe.roundTrip(ctx, s, &s.cmd)
		switch {
		case err != nil:
			err = r.note(err)
			if c.repeat && !again && errors.Is(err, errLost) && r.lost() == nil && !over(ctx, err) {
				again = true
				continue
			}
			return answer{}, err
		case a.cmd() != cmdStatusFailed:
			s.observe(a.header, c.typ)
			return a, nil
		case a.error == errAborted && c.repeat && !again:
			// The reader waits for the second half of an abort sequence (CCID 1.1, 5.3.1) that
			// was begun before Open.
			s.stale, again = true, true
		case a.error == errSlotBusy || a.error == errBusyAuto:
			if deadline.IsZero() {
				deadline = time.Now().Add(c.wait)
			} else if time.Now().After(deadline) {
				return a, fmt.Errorf("%v: %w", c.typ, &SlotError{a.status, a.error})
			}
			if err := pause(ctx, r.timing.Busy); err != nil {
				return answer{}, err
			}
		default:
			s.observe(a.header, c.typ)
			return a, &SlotError{a.status, a.error}
		}
	}
}

// command names, for errors.
func (t messageType) String() string {
	switch t {
	case msgIccPowerOn:
		return "IccPowerOn"
	case msgIccPowerOff:
		return "IccPowerOff"
	case msgGetSlotStatus:
		return "GetSlotStatus"
	case msgXfrBlock:
		return "XfrBlock"
	case msgGetParameters:
		return "GetParameters"
	case msgResetParameters:
		return "ResetParameters"
	case msgSetParameters:
		return "SetParameters"
	case msgEscape:
		return "Escape"
	case msgSecure:
		return "Secure"
	case msgMechanical:
		return "Mechanical"
	case msgAbort:
		return "Abort"
	case msgSetDataRateClock:
		return "SetDataRateAndClockFrequency"
	}
	return fmt.Sprintf("message %#02x", uint8(t))
}
