package ccid

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/apdu"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/quirk"
	"tamaccid/ccid/scard"
)

// Secure PIN entry: the user types on the reader, and the reader puts the PIN into the command. A
// program passes a structure of PC/SC part 10, 2.5; the reader takes one of CCID 1.1, 6.1.11. The
// latter lacks bTimeOut2 and ulDataLength, and the number of its message indices depends on
// bNumberMessage.
//
//	part 10, verification          bytes    part 10, modification          bytes
//	bTimeOut, bTimeOut2            0, 1     bTimeOut, bTimeOut2            0, 1
//	bmFormatString ... Length      2-4      bmFormatString ... Length      2-4
//	wPINMaxExtraDigit              5-6      bInsertionOffsetOld, New       5, 6
//	bEntryValidationCondition      7        wPINMaxExtraDigit              7-8
//	bNumberMessage                 8        bConfirmPIN                    9
//	wLangId, bMsgIndex             9-11     bEntryValidationCondition      10
//	bTeoPrologue                   12-14    bNumberMessage, wLangId        11-13
//	ulDataLength, abData           15-      bMsgIndex1, 2, 3               14-16
//	                                        bTeoPrologue                   17-19
//	                                        ulDataLength, abData           20-
const (
	verifySize = 19
	modifySize = 24

	pinOperationVerify = 0
	pinOperationModify = 1

	messagesThree   = 3
	messagesDefault = 0xFF // the reader's own
)

// Status bytes for a PIN entry that was not completed (PC/SC part 10, 2.5).
var (
	swPINTimeout   = []byte{0x64, 0x00}
	swPINCancelled = []byte{0x64, 0x01}
)

// pinTail is added to the user's time in the wait for the reader (policy).
const pinTail = 10 * time.Second

// splitPIN checks the length of the command in a structure, in either byte order, and returns both
// parts.
func splitPIN(in []byte, size int) (fields, command []byte, err error) {
	if len(in) < size+apdu.HeaderSize || len(in) > size+apdu.MaxShortCommand {
		return nil, nil, fmt.Errorf("%w: PIN structure of %d bytes", ErrInvalid, len(in))
	}
	fields, command = in[:size], in[size:]
	length := fields[size-4:]
	n := uint32(len(command))
	if binary.LittleEndian.Uint32(length) != n && binary.BigEndian.Uint32(length) != n {
		return nil, nil, fmt.Errorf("%w: PIN structure's data length", ErrInvalid)
	}
	return fields, command, nil
}

// condition replaces values of bEntryValidationCondition that are undefined, on which Cherry XX44
// crashes (libccid 1.8.2, commands.c), and those that the reader does not take.
func (s *Slot) condition(v byte) byte {
	if c := s.r.quirk.PIN.Condition; c != 0 {
		return c
	}
	if v == 0 || v > scard.ValidationAll {
		v = scard.ValidationEnter
	}
	if f := s.r.firmware; f.ok && f.conditions != 0 {
		if v &= f.conditions; v == 0 {
			v = scard.ValidationEnter
		}
	}
	return v
}

// verifyPIN runs a PIN verification (CCID 1.1, 6.1.11.1). The result is the card's status.
func (s *Slot) verifyPIN(ctx context.Context, in []byte) ([]byte, error) {
	f, command, err := splitPIN(in, verifySize)
	if err != nil {
		return nil, err
	}
	if err := s.readyForPIN(ctx); err != nil {
		return nil, err
	}
	q := &s.r.quirk.PIN
	if len(command) == apdu.HeaderSize && len(q.Case1Escape) > 0 {
		if _, err := s.escape(ctx, q.Case1Escape); err != nil {
			return nil, err
		}
	}
	if q.EnterWait > 0 {
		if err := wait.Pause(ctx, q.EnterWait); err != nil {
			return nil, err
		}
	}
	messages := f[8]
	if q.VerifyMessages != quirk.NoOverride {
		messages = byte(q.VerifyMessages)
	}
	b := append(s.pipe.Payload(), pinOperationVerify, f[0], f[2], f[3], f[4])
	b = s.appendSizes(b, f[5], f[6])
	b = append(b, s.condition(f[7]), messages, f[9], f[10], f[11])
	return s.secure(ctx, b, f[12:15], command, f[0])
}

// modifyPIN runs a PIN modification (CCID 1.1, 6.1.11.2).
func (s *Slot) modifyPIN(ctx context.Context, in []byte) ([]byte, error) {
	f, command, err := splitPIN(in, modifySize)
	if err != nil {
		return nil, err
	}
	if err := s.readyForPIN(ctx); err != nil {
		return nil, err
	}
	q := &s.r.quirk.PIN
	messages, indices := f[11], [3]byte{f[14], f[15], f[16]}
	if messages > messagesThree && messages != messagesDefault {
		return nil, fmt.Errorf("%w: %d messages", ErrInvalid, messages)
	}
	if q.ModifyMessages != quirk.NoOverride {
		messages = byte(q.ModifyMessages)
	}
	if q.ZeroIsFF && messages == 0 {
		messages = messagesDefault
	}
	if q.ModifyNoIndices {
		indices = [3]byte{}
	}
	b := append(s.pipe.Payload(), pinOperationModify, f[0], f[2], f[3], f[4], f[5], f[6])
	b = s.appendSizes(b, f[7], f[8])
	b = append(b, f[9], s.condition(f[10]), messages, f[12], f[13], indices[0])
	// Gemalto readers without bNumberMessageFix expect three indices whatever the count is
	all := s.r.quirk.Gemalto && !s.r.firmware.modifyFixed
	if all || messages != 0 {
		b = append(b, indices[1])
	}
	if all || messages == messagesThree {
		b = append(b, indices[2])
	}
	return s.secure(ctx, b, f[17:20], command, f[0])
}

// appendSizes appends wPINMaxExtraDigit.
func (s *Slot) appendSizes(b []byte, low, high byte) []byte {
	if s.r.quirk.PIN.SwapSizes {
		low, high = high, low
	}
	return append(b, low, high)
}

// readyForPIN checks what PIN entry needs.
func (s *Slot) readyForPIN(ctx context.Context) error {
	if _, err := s.session(ctx); err != nil {
		return err
	}
	if s.r.level == LevelCharacter {
		return fmt.Errorf("%w: PIN entry at character level", ErrUnsupported)
	}
	return s.readFirmware(ctx)
}

// secure sends the PIN operation in b, which begins at the slot's payload and gets prologue and
// command appended, and returns the card's response.
func (s *Slot) secure(ctx context.Context, b, prologue, command []byte, seconds byte) ([]byte,
	error) {
	p := s.Protocol()
	block := p == T1 && s.r.level == LevelTPDU
	if block {
		own := s.t1.Prologue(len(command))
		prologue = own[:]
		if len(command) > s.t1.IFSC() {
			return nil, fmt.Errorf("%w: PIN command of %d bytes", ErrTooLong, len(command))
		}
	}
	if len(b)+len(prologue)+len(command) > s.r.maxPayload {
		return nil, fmt.Errorf("%w: PIN command of %d bytes", ErrTooLong, len(command))
	}
	b = append(append(b, prologue...), command...)
	limit := s.r.timing.PIN
	if seconds != 0 { // 0 is the reader's own time
		limit = max(limit, time.Duration(seconds)*time.Second+pinTail)
	}
	a, err := s.command(ctx, pipe.Command{
		Type: pipe.Secure, N: len(b), Want: apdu.MaxShortResponse, Wait: limit,
	})
	switch {
	case errors.Is(err, ErrPINTimeout):
		return append([]byte(nil), swPINTimeout...), nil
	case errors.Is(err, ErrPINCancelled):
		return append([]byte(nil), swPINCancelled...), nil
	case err != nil:
		if block {
			s.t1.Lose()
		}
		return nil, err
	}
	if !block {
		if len(a.Data) < statusSize {
			return nil, fmt.Errorf("%w: response of %d bytes", ErrProtocol, len(a.Data))
		}
		return append([]byte(nil), a.Data...), nil
	}
	response, got := make([]byte, apdu.MaxShortResponse), 0
	defer func() { clear(response[got:]) }()
	got, err = s.t1.Complete(ctx, a.Data, response)
	if err != nil {
		return nil, s.protocolError(err)
	}
	return response[:got:got], nil
}
