package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/usb"
)

// An ICCD is a card with a USB plug: control requests in place of messages, one slot, a card that is always there (ICCD 1.0).
// This pipe makes messages of them, so that the rest of the driver sees a reader.
//
//	message          version A                           version B
//	IccPowerOn       ready; IN 62: ATR                   OUT 62, value 1; IN 6F: type, ATR
//	IccPowerOff      OUT 63                              OUT 63
//	GetSlotStatus    IN A0: busy, mute                   IN 81: status, error, clock
//	XfrBlock         OUT 65; ready; IN 6F: data          OUT 65, value level << 8; IN 6F: type, data
//	others           not supported                       not supported
//
//	type (B)   meaning                              becomes
//	00         whole                                bChainParameter 0
//	01 02 03   begins, ends, goes on                the same
//	10         next part of the command wanted      the same
//	40         failed: status, error                failed
//	80         busy for n x 10 ms                   asked again, until the command's wait is over
//
// Version A says by its status when it is ready, and is asked every PollICCD until then.
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
	statusBusy  = 0x40
	statusMute  = 0x80
	statusData  = 0x10
	statusReady = 0x20
)

// Types of version B's data block beyond the chain parameters (ICCD 1.0, 7.2).
const (
	typeFailed = 0x40
	typeWait   = 0x80
)

// waitUnit is what version B counts its waits in (ICCD 1.0, 7.2).
const waitUnit = 10 * time.Millisecond

// maxControl bounds a data stage (policy: more than any ICCD has, and what host controllers take).
const maxControl = 4096

// iccd is the pipe.
type iccd struct {
	r   *Reader
	buf []byte
	on  bool
}

func newICCD(r *Reader) (*iccd, error) {
	if r.class.MaxSlotIndex != 0 {
		return nil, fmt.Errorf("%w: %v with %d slots", ErrDescriptor, r.iface.Kind, int(r.class.MaxSlotIndex)+1)
	}
	if r.iface.Kind == KindICCDA || r.iface.Class.Features.Level() != LevelExtendedAPDU {
		// No header goes with a command: what the device takes is all payload, a whole short APDU. Chained parts stay below it.
		r.maxPayload = int(min(r.class.MaxMessageLength, maxControl))
	}
	r.maxPayload = min(r.maxPayload, maxControl)
	return &iccd{r: r, buf: make([]byte, maxControl)}, nil
}

// request does a class request to the interface.
func (d *iccd) request(ctx context.Context, direction, request uint8, value uint16, data []byte, wait time.Duration) (int, error) {
	if err := d.r.control.enter(ctx); err != nil {
		return 0, err
	}
	defer d.r.control.leave()
	n, err := d.r.t.Control(ctx, usb.Setup{
		RequestType: direction | usb.TypeClass | usb.ToInterface,
		Request:     request, Value: value, Index: uint16(d.r.iface.Number), Length: uint16(len(data)),
	}, data, wait)
	if err == nil && (n < 0 || n > len(data)) {
		err = usb.ErrBabble
	}
	return n, err
}

// wipe clears the buffer of data stages.
func (d *iccd) wipe() { clear(d.buf) }

// reply makes the answer of a message.
func reply(t messageType, status, code, last uint8, data []byte) answer {
	return answer{header: header{typ: t.reply(), length: uint32(len(data)), status: status, error: code, last: last}, data: data}
}

// icc is the state of the card as bStatus has it.
func (d *iccd) icc() uint8 {
	if d.on {
		return iccActive
	}
	return iccInactive
}

// roundTrip turns a message into requests.
func (d *iccd) roundTrip(ctx context.Context, s *Slot, c *command) (answer, error) {
	deadline := time.Now().Add(c.wait)
	a, err := d.do(ctx, s, c, deadline)
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, usb.ErrStall) && (c.typ == msgIccPowerOn || c.typ == msgXfrBlock): // the card does not answer
		return reply(c.typ, cmdStatusFailed|d.icc(), errMute, 0, nil), nil
	case errors.Is(err, usb.ErrStall): // the request is not known
		return reply(c.typ, cmdStatusFailed|d.icc(), errCommandNotSupported, 0, nil), nil
	case !errors.Is(err, usb.ErrGone):
		s.stale = true
		return answer{}, fmt.Errorf("%w (%w)", err, errLost)
	}
	return answer{}, err
}

func (d *iccd) do(ctx context.Context, s *Slot, c *command, deadline time.Time) (answer, error) {
	payload := s.out[headerSize : headerSize+c.n]
	write := d.r.timing.Write
	versionA := d.r.iface.Kind == KindICCDA
	switch c.typ {
	case msgIccPowerOn:
		d.on = false
		if versionA {
			if _, err := d.ready(ctx, deadline); err != nil {
				return answer{}, err
			}
			n, err := d.request(ctx, usb.DirIn, requestPowerOn, 0, d.buf[:atr.MaxSize], time.Until(deadline))
			if err != nil {
				return answer{}, err
			}
			d.on = true
			return reply(c.typ, iccActive, 0, 0, d.buf[:n]), nil
		}
		if _, err := d.request(ctx, usb.DirOut, requestPowerOn, 1, nil, write); err != nil {
			return answer{}, err
		}
		a, err := d.dataBlock(ctx, c.typ, deadline, d.limit(deadline))
		d.on = err == nil && a.cmd() == cmdStatusOK
		a.status = a.status&^iccStatusMask | d.icc()
		return a, err
	case msgIccPowerOff:
		d.on = false
		_, err := d.request(ctx, usb.DirOut, requestPowerOff, 0, nil, write)
		return reply(c.typ, iccInactive, 0, 0, nil), err
	case msgGetSlotStatus:
		return d.slotStatus(ctx, c.typ)
	case msgXfrBlock:
		value := uint16(0)
		if !versionA {
			value = uint16(c.p[1]) << 8
		}
		if c.n > 0 || !versionA {
			if _, err := d.request(ctx, usb.DirOut, requestXfrBlock, value, payload, write); err != nil {
				return answer{}, err
			}
		}
		if !versionA {
			return d.dataBlock(ctx, c.typ, deadline, d.limit(deadline))
		}
		status, err := d.ready(ctx, deadline)
		if err != nil {
			return answer{}, err
		}
		if status&statusMute != 0 {
			return reply(c.typ, cmdStatusFailed|d.icc(), errMute, 0, nil), nil
		}
		n, err := d.request(ctx, usb.DirIn, requestDataBlock, 0, d.buf, time.Until(deadline))
		return reply(c.typ, d.icc(), 0, 0, d.buf[:max(0, n)]), err
	}
	return reply(c.typ, cmdStatusFailed|d.icc(), errCommandNotSupported, 0, nil), nil
}

// slotStatus asks for the state of the card.
func (d *iccd) slotStatus(ctx context.Context, t messageType) (answer, error) {
	if d.r.iface.Kind == KindICCDA {
		if _, err := d.request(ctx, usb.DirIn, requestStatusA, 0, d.buf[:1], d.r.timing.Answer); err != nil {
			return answer{}, err
		}
		return reply(t, d.icc(), 0, 0, nil), nil
	}
	n, err := d.request(ctx, usb.DirIn, requestSlotStatus, 0, d.buf[:3], d.r.timing.Answer)
	if err != nil {
		return answer{}, err
	}
	if n < 3 {
		return answer{}, fmt.Errorf("%w: slot status of %d bytes", ErrProtocol, n)
	}
	// The status is that of the last command; of it only the card's state is of use.
	return reply(t, d.buf[0]&iccStatusMask, 0, 0, nil), nil
}

// ready waits until version A is not busy, and returns its status.
func (d *iccd) ready(ctx context.Context, deadline time.Time) (uint8, error) {
	for {
		n, err := d.request(ctx, usb.DirIn, requestStatusA, 0, d.buf[:1], d.r.timing.Answer)
		if err != nil {
			return 0, err
		}
		if n < 1 {
			return 0, fmt.Errorf("%w: empty status", ErrProtocol)
		}
		if d.buf[0]&statusBusy == 0 {
			return d.buf[0], nil
		}
		if time.Now().After(deadline) {
			return 0, usb.ErrTimeout
		}
		if err := pause(ctx, d.r.timing.PollICCD); err != nil {
			return 0, err
		}
	}
}

// limit is the end of all waits that version B asks for.
func (d *iccd) limit(deadline time.Time) time.Time {
	return time.Now().Add(max(d.r.timing.Limit, time.Until(deadline)))
}

// dataBlock reads version B's answer, which comes before the deadline when the device asks for no time, and before the limit.
func (d *iccd) dataBlock(ctx context.Context, t messageType, deadline, limit time.Time) (answer, error) {
	for waits := 0; ; waits++ {
		n, err := d.request(ctx, usb.DirIn, requestDataBlock, 0, d.buf, max(time.Until(deadline), d.r.timing.Answer))
		if err != nil {
			return answer{}, err
		}
		if n < 1 {
			return answer{}, fmt.Errorf("%w: empty data block", ErrProtocol)
		}
		b := d.buf[:n]
		switch b[0] {
		case chainWhole, chainBegins, chainEnds, chainGoesOn, chainContinue:
			return reply(t, d.icc(), 0, b[0], b[1:]), nil
		case typeFailed:
			if n < 3 {
				return answer{}, fmt.Errorf("%w: failure of %d bytes", ErrProtocol, n)
			}
			return reply(t, cmdStatusFailed|b[1]&iccStatusMask, b[2], 0, nil), nil
		case typeWait:
			if n < 3 {
				return answer{}, fmt.Errorf("%w: wait of %d bytes", ErrProtocol, n)
			}
			wait := time.Duration(uint16(b[1])|uint16(b[2])<<8) * waitUnit
			if waits > maxExtensions || time.Now().Add(wait).After(limit) {
				return answer{}, usb.ErrTimeout
			}
			if err := pause(ctx, max(wait, d.r.timing.PollICCD)); err != nil {
				return answer{}, err
			}
		default:
			return answer{}, fmt.Errorf("%w: data block of type %#02x", ErrProtocol, b[0])
		}
	}
}

// resync waits until the device has done with a command that was given up, and throws its answer away: there is no abort on the
// control pipe, but every transfer is a matter of its own (USB 2.0, 8.5.3). A reset ends the command too, and the state of the slot
// can be asked for all the time.
func (d *iccd) resync(ctx context.Context, s *Slot, next messageType) error {
	switch next {
	case msgIccPowerOff, msgIccPowerOn:
		s.stale = false
		return nil
	case msgGetSlotStatus:
		return nil
	}
	deadline := time.Now().Add(d.r.timing.Answer)
	var err error
	if d.r.iface.Kind == KindICCDA {
		_, err = d.ready(ctx, deadline)
	} else {
		_, err = d.dataBlock(ctx, msgXfrBlock, deadline, deadline)
	}
	switch {
	case errors.Is(err, usb.ErrGone), cancelled(err):
		return err
	case errors.Is(err, usb.ErrTimeout):
		return fmt.Errorf("%w: device stays busy: %w", ErrTimeout, err)
	}
	s.stale = false // a stall, or nonsense, is what is thrown away
	return nil
}
