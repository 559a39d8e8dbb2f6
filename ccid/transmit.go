package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/apdu"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// Transmit sends a command APDU and reads the response APDU, status bytes included, into rapdu; n
// is its length. Exchange level and protocol make no difference to the caller. Errors: ErrInvalid
// and ErrTooLong for the command; ErrNoCard, ErrCardChanged and ErrNotPowered without a session;
// *ShortBufferError, with which the command has been executed; and those of the exchange.
func (s *Slot) Transmit(ctx context.Context, capdu, rapdu []byte) (n int, err error) {
	if len(capdu) < apdu.HeaderSize || len(capdu) > apdu.MaxCommand {
		return 0, fmt.Errorf("%w: command of %d bytes", ErrInvalid, len(capdu))
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	p, err := s.session(ctx)
	if err != nil {
		return 0, err
	}
	if n, ours, err := s.tokenReply(capdu, rapdu); ours {
		return n, err
	}
	ended := false
	defer func() {
		// a panic, as when the caller's memory for the response does not exist
		if !ended && s.t1 != nil {
			s.t1.Lose() // the card may be in the middle of a chain of blocks
		}
	}()
	switch {
	case s.r.level > LevelTPDU:
		n, err = s.transmitAPDU(ctx, p, capdu, rapdu)
	case p == T1:
		n, err = s.t1.Transmit(ctx, capdu, rapdu)
	default:
		n, err = s.t0.Transmit(ctx, capdu, rapdu)
	}
	ended = true
	if err != nil {
		return 0, s.protocolError(err)
	}
	if n < statusSize {
		return 0, fmt.Errorf("%w: response of %d bytes", ErrProtocol, n)
	}
	return n, nil
}

// protocolError wraps the errors of the protocol machines in those of this package.
func (s *Slot) protocolError(err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, t1.ErrDead):
		return fmt.Errorf("%w: %w", ErrMute, err)
	case errors.Is(err, t1.ErrAborted):
		return fmt.Errorf("%w: %w", ErrAborted, err)
	case errors.Is(err, t1.ErrLimit):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.Is(err, t1.ErrLost), errors.Is(err, t1.ErrCard), errors.Is(err, t0.ErrCard):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, t0.ErrCommand):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return err
}

// xfrParameters are bBWI and wLevelParameter of XfrBlock (CCID 1.1, 6.1.4).
func xfrParameters(extension uint8, level uint16) [3]byte {
	return [3]byte{extension, byte(level), byte(level >> 8)}
}

// xfr sends c, whose payload the slot's buffer holds, as XfrBlock (CCID 1.1, 6.1.4). An empty
// answer of a card that has gone is an error, and a failure of one that is not active any more is
// ErrCardChanged too.
func (s *Slot) xfr(ctx context.Context, c pipe.Command) (pipe.Answer, error) {
	if c.N > s.r.maxPayload && !c.Phases {
		return pipe.Answer{}, fmt.Errorf("%w: %d bytes, %d at most", ErrTooLong, c.N,
			s.r.maxPayload)
	}
	c.Type = pipe.XfrBlock
	a, err := s.command(ctx, c)
	switch {
	case err != nil && s.lostPower(err):
		return a, fmt.Errorf("%w: %w", ErrCardChanged, err)
	case err == nil && len(a.Data) == 0 && a.ICC() == pipe.ICCAbsent:
		return a, ErrNoCard
	case err == nil && len(a.Data) == 0 && a.ICC() == pipe.ICCInactive:
		return a, ErrCardChanged
	}
	return a, err
}

// lostPower reports whether an exchange has failed with a card that is present and not active any
// more, and was not switched off by this program: another host has reset the port, for example.
func (s *Slot) lostPower(err error) bool {
	e := slotError(err)
	return e != nil && e.Status&pipe.ICCMask == pipe.ICCInactive &&
		s.known().session == sessionEnded
}

// cwtAllowance bounds the sum of the waits between characters of a block: 259 times CWT is minutes
// for common values (policy).
const cwtAllowance = 10 * time.Second

// blockWait is how long one T=1 block and its answer may take, the reader's own time included.
func (s *Slot) blockWait(extension uint8) time.Duration {
	const block = t1.MaxBlock
	l := &s.line
	wait := l.BlockWaitingTime()*time.Duration(max(1, extension)) + l.Characters(2*block) +
		min(block*l.CharacterWaitingTime(), cwtAllowance) + s.r.timing.Answer
	return min(wait, max(s.r.timing.Limit, s.r.timing.Answer)) + s.r.quirk.ExtraT1Wait
}

// tpduWait is how long a T=0 TPDU may take. Each procedure byte has the waiting time; with NULL
// bytes the reader sends time extensions. Three are counted: the first, the one after the data, the
// status.
func (s *Slot) tpduWait(characters int) time.Duration {
	const procedures = 3
	wait := procedures*s.line.WaitingTime() + s.line.Characters(characters) + s.r.timing.Answer
	return min(wait, max(s.r.timing.Limit, s.r.timing.Answer))
}

// apduWait is how long an APDU, or a part of one, may take at the levels where the reader runs the
// protocol.
func (s *Slot) apduWait(p Protocol, characters int) time.Duration {
	if p == T1 {
		return s.blockWait(0) + s.line.Characters(characters)
	}
	return s.tpduWait(characters)
}
