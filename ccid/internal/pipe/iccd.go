package pipe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// An ICCD is a card with a USB plug: control requests in place of messages, one slot, a card that
// is always present (ICCD 1.0). The exchange makes messages of the requests, so that it is a
// reader for package ccid.
//
//	message          version A                         version B
//	IccPowerOn       ready; IN 62: ATR                 OUT 62, value 1; IN 6F: type, ATR
//	IccPowerOff      OUT 63                            OUT 63
//	GetSlotStatus    IN A0: busy, mute                 IN 81: status, error, clock
//	XfrBlock         OUT 65; ready; IN 6F: data        OUT 65, value level << 8; IN 6F: type, data
//	others           not supported                     not supported
//
//	type (B)   meaning                              becomes
//	00         whole                                bChainParameter 0
//	01 02 03   begins, ends, goes on                the same
//	10         next part of the command wanted      the same
//	40         failed: status, error                failed
//	80         busy for n x 10 ms                   read again, until the command's wait is over
//
// The status of version A shows when it is ready; it is read every Waits.Poll until then.
const (
	requestPowerOn    = 0x62
	requestPowerOff   = 0x63
	requestXfrBlock   = 0x65
	requestDataBlock  = 0x6F
	requestStatusA    = 0xA0
	requestSlotStatus = 0x81
)

// Bits of version A's status (ICCD 1.0, 6.2).
const (
	statusData  = 0x10
	statusReady = 0x20
	statusBusy  = 0x40
	statusMute  = 0x80
)

// Types of version B's data block beyond the chain parameters (ICCD 1.0, 7.2).
const (
	typeFailed = 0x40
	typeWait   = 0x80
)

// statusSize is the length of version B's slot status, failure and wait (ICCD 1.0, 7.2).
const statusSize = 3

// waitUnit is what version B counts its waits in (ICCD 1.0, 7.2).
const waitUnit = 10 * time.Millisecond

// MaxControl bounds a data stage (policy: more than any ICCD has, and what host controllers take).
const MaxControl = 4096

// iccd exchanges messages with an ICCD.
type iccd struct {
	p        *Pipe
	versionA bool
	buf      []byte
	status   [statusSize]byte
	on       bool
}

// NewICCD returns the pipe of an ICCD. Waits.Limit bounds the sum of version B's waits.
func NewICCD(c *Config, versionA bool) *Pipe {
	p := newPipe(c)
	p.kind = &iccd{p: p, versionA: versionA, buf: make([]byte, MaxControl)}
	return p
}

// wipe clears the buffer of data stages.
func (d *iccd) wipe() { clear(d.buf) }

// response makes the answer to a command.
func response(t MessageType, status, code, last uint8, data []byte) Answer {
	return Answer{
		Header: Header{
			Type: t.Response(), Length: uint32(len(data)), Status: status, Error: code, Last: last,
		},
		Data: data,
	}
}

// failure is the answer to a command that failed.
func (d *iccd) failure(t MessageType, code uint8) Answer {
	return response(t, StatusFailed|d.icc(), code, 0, nil)
}

// icc is the state of the card as bStatus has it.
func (d *iccd) icc() uint8 {
	if d.on {
		return ICCActive
	}
	return ICCInactive
}

// roundTrip turns a message into requests.
func (d *iccd) roundTrip(ctx context.Context, s *Slot, c Command) (Answer, error) {
	deadline := time.Now().Add(c.Wait)
	a, err := d.do(ctx, s, c, deadline)
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, usb.ErrStall) && (c.Type == IccPowerOn || c.Type == XfrBlock):
		return d.failure(c.Type, CodeMute), nil // the card does not answer
	case errors.Is(err, usb.ErrStall): // the request is not known
		return d.failure(c.Type, CodeCommandNotSupported), nil
	case !errors.Is(err, usb.ErrGone):
		s.stale = true
		return Answer{}, fmt.Errorf("%w (%w)", err, ErrLost)
	}
	return Answer{}, err
}

func (d *iccd) do(ctx context.Context, s *Slot, c Command, deadline time.Time) (Answer, error) {
	payload := s.out[HeaderSize : HeaderSize+c.N]
	write := d.p.Waits.Write
	switch c.Type {
	case IccPowerOn:
		d.on = false
		if d.versionA {
			if _, err := d.ready(ctx, deadline); err != nil {
				return Answer{}, err
			}
			n, err := d.p.ClassRequest(ctx, usb.DirIn, requestPowerOn, 0, d.buf[:atr.MaxSize],
				time.Until(deadline))
			if err != nil {
				return Answer{}, err
			}
			d.on = true
			return response(c.Type, ICCActive, 0, 0, d.buf[:n]), nil
		}
		if _, err := d.p.ClassRequest(ctx, usb.DirOut, requestPowerOn, 1, nil, write); err != nil {
			return Answer{}, err
		}
		a, err := d.dataBlock(ctx, c.Type, deadline, d.limit(deadline))
		d.on = err == nil && a.CommandStatus() == StatusOK
		a.Status = a.Status&^ICCMask | d.icc()
		return a, err
	case IccPowerOff:
		d.on = false
		_, err := d.p.ClassRequest(ctx, usb.DirOut, requestPowerOff, 0, nil, write)
		return response(c.Type, ICCInactive, 0, 0, nil), err
	case GetSlotStatus:
		return d.slotStatus(ctx, c.Type)
	case XfrBlock:
		switch {
		case c.Phases:
			return d.phases(ctx, payload, deadline)
		case d.versionA:
			return d.xfrBlockA(ctx, payload, deadline)
		}
		value := uint16(c.P[1]) << 8
		if _, err := d.p.ClassRequest(ctx, usb.DirOut, requestXfrBlock, value, payload,
			write); err != nil {
			return Answer{}, err
		}
		return d.dataBlock(ctx, c.Type, deadline, d.limit(deadline))
	}
	return d.failure(c.Type, CodeCommandNotSupported), nil
}

// xfrBlockA is XfrBlock on version A.
func (d *iccd) xfrBlockA(ctx context.Context, payload []byte, deadline time.Time) (Answer, error) {
	if len(payload) > 0 {
		_, err := d.p.ClassRequest(ctx, usb.DirOut, requestXfrBlock, 0, payload, d.p.Waits.Write)
		if err != nil {
			return Answer{}, err
		}
	}
	status, err := d.ready(ctx, deadline)
	if err != nil {
		return Answer{}, err
	}
	if status&statusMute != 0 {
		return d.failure(XfrBlock, CodeMute), nil
	}
	n, err := d.p.ClassRequest(ctx, usb.DirIn, requestDataBlock, 0, d.buf, time.Until(deadline))
	return response(XfrBlock, d.icc(), 0, 0, d.buf[:max(0, n)]), err
}

// slotStatus reads the state of the card.
func (d *iccd) slotStatus(ctx context.Context, t MessageType) (Answer, error) {
	if d.versionA {
		_, err := d.statusA(ctx)
		return response(t, d.icc(), 0, 0, nil), err
	}
	n, err := d.p.ClassRequest(ctx, usb.DirIn, requestSlotStatus, 0, d.status[:], d.p.Waits.Answer)
	if err != nil {
		return Answer{}, err
	}
	if n < statusSize {
		return Answer{}, fmt.Errorf("%w: slot status of %d bytes", ErrProtocol, n)
	}
	// The status is that of the last command; of it only the card's state is of use.
	return response(t, d.status[0]&ICCMask, 0, 0, nil), nil
}

// statusA reads version A's status. n is its length, 0 or 1.
func (d *iccd) statusA(ctx context.Context) (n int, err error) {
	return d.p.ClassRequest(ctx, usb.DirIn, requestStatusA, 0, d.status[:1], d.p.Waits.Answer)
}

// ready waits until version A is not busy, and returns its status.
func (d *iccd) ready(ctx context.Context, deadline time.Time) (uint8, error) {
	for {
		n, err := d.statusA(ctx)
		if err != nil {
			return 0, err
		}
		if n < 1 {
			return 0, fmt.Errorf("%w: empty status", ErrProtocol)
		}
		if d.status[0]&statusBusy == 0 {
			return d.status[0], nil
		}
		if time.Now().After(deadline) {
			return 0, usb.ErrTimeout
		}
		if err := wait.Pause(ctx, d.p.Waits.Poll); err != nil {
			return 0, err
		}
	}
}

// limit is the end of all waits of version B.
func (d *iccd) limit(deadline time.Time) time.Time {
	return time.Now().Add(max(d.p.Waits.Limit, time.Until(deadline)))
}

// dataBlock reads version B's answer, until the deadline if the device sends no wait, and until the
// limit if it does.
func (d *iccd) dataBlock(
	ctx context.Context, t MessageType, deadline, limit time.Time,
) (Answer, error) {
	for waits := 0; ; waits++ {
		left := max(time.Until(deadline), d.p.Waits.Answer)
		n, err := d.p.ClassRequest(ctx, usb.DirIn, requestDataBlock, 0, d.buf, left)
		if err != nil {
			return Answer{}, err
		}
		if n < 1 {
			return Answer{}, fmt.Errorf("%w: empty data block", ErrProtocol)
		}
		b := d.buf[:n]
		switch b[0] {
		case ChainWhole, ChainBegins, ChainEnds, ChainGoesOn, ChainContinue:
			return response(t, d.icc(), 0, b[0], b[1:]), nil
		case typeFailed:
			if n < statusSize {
				return Answer{}, fmt.Errorf("%w: failure of %d bytes", ErrProtocol, n)
			}
			return response(t, StatusFailed|b[1]&ICCMask, b[2], 0, nil), nil
		case typeWait:
			if n < statusSize {
				return Answer{}, fmt.Errorf("%w: wait of %d bytes", ErrProtocol, n)
			}
			pause := time.Duration(uint16(b[1])|uint16(b[2])<<8) * waitUnit
			if waits > MaxExtensions || time.Now().Add(pause).After(limit) {
				return Answer{}, usb.ErrTimeout
			}
			if err := wait.Pause(ctx, max(pause, d.p.Waits.Poll)); err != nil {
				return Answer{}, err
			}
		default:
			return Answer{}, fmt.Errorf("%w: data block of type %#02x", ErrProtocol, b[0])
		}
	}
}

// resync waits until the device has completed a command that was abandoned, and drops its answer:
// there is no abort on the control pipe, and transfers do not depend on each other (USB 2.0,
// 8.5.3). A reset ends the command too, and the state of the slot can be read at any time.
func (d *iccd) resync(ctx context.Context, s *Slot, next MessageType) error {
	switch next {
	case IccPowerOff, IccPowerOn:
		s.stale = false
		return nil
	case GetSlotStatus:
		return nil
	}
	deadline := time.Now().Add(d.p.Waits.Answer)
	var err error
	if d.versionA {
		_, err = d.ready(ctx, deadline)
	} else {
		_, err = d.dataBlock(ctx, XfrBlock, deadline, deadline)
	}
	switch {
	case errors.Is(err, usb.ErrGone), wait.Ended(err):
		return err
	case errors.Is(err, usb.ErrTimeout):
		return fmt.Errorf("%w: device stays busy: %w", ErrTimeout, err)
	}
	s.stale = false // a stall, or an answer that is malformed, is dropped
	return nil
}
