package ccid

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/quirk"
)

// PowerOn resets the card cold and returns its answer to reset. It ends the agreement on a
// protocol. Connect does this and negotiates a protocol too.
func (s *Slot) PowerOn(ctx context.Context) ([]byte, error) { return s.reset(ctx, true) }

// WarmReset resets the card while it is powered, and one that is not powered cold.
func (s *Slot) WarmReset(ctx context.Context) ([]byte, error) { return s.reset(ctx, false) }

func (s *Slot) reset(ctx context.Context, cold bool) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.activate(ctx, cold); err != nil {
		return nil, err
	}
	return s.ATR(), nil
}

// PowerOff switches the card off. An empty slot is no error.
func (s *Slot) PowerOff(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.deactivate(ctx)
}

// deactivate sends IccPowerOff (CCID 1.1, 6.1.2).
func (s *Slot) deactivate(ctx context.Context) error {
	_, err := s.command(ctx, pipe.Command{Type: pipe.IccPowerOff, Wait: s.r.timing.Answer,
		Repeat: true})
	s.update((*cardState).unpowered)
	if e := refusal(err); e != nil && e.Status&pipe.ICCMask != pipe.ICCActive {
		return nil // there was nothing to switch off
	}
	return err
}

// deactivateFirst is deactivate before IccPowerOn. A reader that refuses IccPowerOff with a card that
// stays active may take IccPowerOn nevertheless.
func (s *Slot) deactivateFirst(ctx context.Context) error {
	err := s.deactivate(ctx)
	if refusal(err) != nil {
		return nil
	}
	return err
}

// voltages are the voltages to try, in their order. A reader that chooses itself gets one command
// (CCID 1.1, 6.1.1).
func (s *Slot) voltages() []Voltage {
	f := s.r.class.Features
	if f.Has(FeatureAutoVoltage) || s.r.activates() {
		return []Voltage{VoltageAuto}
	}
	order := s.r.o.Voltages
	if len(order) == 0 {
		order = []Voltage{Voltage5, Voltage1v8, Voltage3}
	}
	var list []Voltage
	for _, v := range order {
		if s.r.supplies(v) {
			list = append(list, v)
		}
	}
	if len(list) == 0 { // neither descriptor nor caller has one that exists
		return []Voltage{Voltage5}
	}
	return list
}

// supplies reports whether the reader has a voltage.
func (r *Reader) supplies(v Voltage) bool {
	switch v {
	case Voltage5:
		return r.class.VoltageSupport&volt50 != 0
	case Voltage3:
		return r.class.VoltageSupport&volt30 != 0
	case Voltage1v8:
		return r.class.VoltageSupport&volt18 != 0
	}
	return false
}

// activate resets the card and takes its answer to reset. The caller holds the slot. Where
// IccPowerOn shows a card in a slot that was empty, its insertion is still to be reported
// (state.go): the card is reset once more after that.
func (s *Slot) activate(ctx context.Context, cold bool) error {
	for again := false; ; again = true {
		if err := s.powerUp(ctx, cold || again); err != nil {
			return err
		}
		if usable, err := s.usable(ctx); usable || err != nil || again {
			return err
		}
	}
}

// powerUp is activate without regard to a notification that is expected afterwards.
func (s *Slot) powerUp(ctx context.Context, cold bool) error {
	if err := s.r.takeNotifications(ctx); err != nil {
		return err
	}
	s.update((*cardState).repaired)
	if c := s.known(); !cold && c.powered() {
		return s.answerToReset(ctx, s.power)
	}
	// The answer shows whether there is a card.
	if err := s.deactivateFirst(ctx); err != nil {
		return err
	}
	if err := s.awaitReport(ctx); err != nil {
		return err
	}
	var err error
	for i, v := range s.voltages() {
		if i > 0 {
			if err := s.deactivateFirst(ctx); err != nil {
				return err
			}
		}
		if err = s.answerToReset(ctx, v); err == nil {
			return s.matchClass(ctx, v)
		}
		if !tryOtherVoltage(err) {
			break
		}
	}
	return err
}

// tryOtherVoltage reports whether an activation may have failed because of the voltage.
func tryOtherVoltage(err error) bool {
	if errors.Is(err, ErrBadATR) {
		return true
	}
	e := slotError(err)
	if e == nil || errors.Is(err, ErrNoCard) {
		return false
	}
	switch e.Code {
	case pipe.CodeMute, pipe.CodeParity, pipe.CodeHardware, pipe.CodeBadTS, pipe.CodeBadTCK,
		pipe.CodeProtocolNotSupported, pipe.CodeClassNotSupported, pipe.CodeOffsetPower:
		return true
	}
	return false
}

// matchClass activates the card again at another voltage if its class indicator excludes the one
// that was used (ISO/IEC 7816-3:2006, 6.2.4).
func (s *Slot) matchClass(ctx context.Context, used Voltage) error {
	if used == VoltageAuto || !s.info.HasClasses || s.info.Classes&classOf(used) != 0 {
		return nil
	}
	for _, v := range [...]Voltage{Voltage5, Voltage3, Voltage1v8} {
		if s.info.Classes&classOf(v) == 0 || !s.r.supplies(v) {
			continue
		}
		if err := s.deactivateFirst(ctx); err != nil {
			return err
		}
		return s.answerToReset(ctx, v)
	}
	return nil // the reader has no voltage of the card's classes
}

func classOf(v Voltage) uint8 {
	switch v {
	case Voltage5:
		return atr.ClassA
	case Voltage3:
		return atr.ClassB
	case Voltage1v8:
		return atr.ClassC
	}
	return 0
}

// answerToReset sends IccPowerOn (CCID 1.1, 6.1.1) and takes the answer to reset. If its check
// character is wrong, or it ends too early, the card is reset once more: an answer that was damaged
// differs then. One that is the same twice is a fault of the card, and is accepted, as libccid
// 1.8.2 accepts it.
func (s *Slot) answerToReset(ctx context.Context, v Voltage) error {
	first, err := s.iccPowerOn(ctx, v)
	if err != nil {
		return err
	}
	a, parseErr := atr.Parse(first.Bytes())
	if !sound(&a, parseErr) {
		second, err := s.iccPowerOn(ctx, v)
		if err != nil {
			return err
		}
		b, secondErr := atr.Parse(second.Bytes())
		same := bytes.Equal(first.Bytes(), second.Bytes())
		if !sound(&b, secondErr) && (!same || parseErr != nil &&
			!errors.Is(parseErr, atr.ErrTruncated)) {
			s.update((*cardState).unpowered)
			return fmt.Errorf("%w: % X", ErrBadATR, second.Bytes())
		}
		a = b
	}
	s.power = v
	s.info = a.Interpret()
	quirk.ForCard(a.Bytes(), &s.info)
	s.line = atr.Line{
		FiDi: atr.DefaultFiDi, Clock: s.r.clock(), ExtraGuard: s.info.ExtraGuard,
		WI: s.info.WI, BWI: s.info.BWI, CWI: s.info.CWI,
	}
	s.params = parameters{}
	// Notifications until now report what the answer has shown.
	if err := s.r.takeNotifications(ctx); err != nil {
		return err
	}
	s.update(func(c *cardState) {
		s.atr = a
		c.reset()
	})
	return nil
}

// maxClock is the fastest clock that any card takes (ISO/IEC 7816-3:2006, table 7), in kHz.
const maxClock = 20000

// clock is the reader's default clock in kHz, 0 (not known) where the descriptor has an impossible
// one.
func (r *Reader) clock() uint32 {
	if r.class.DefaultClock > maxClock {
		return 0
	}
	return r.class.DefaultClock
}

func sound(a *atr.ATR, err error) bool {
	return err == nil && (a.Check() == atr.CheckNone || a.Check() == atr.CheckGood)
}

// rawATR is a copy of an answer to reset.
type rawATR struct {
	b [atr.MaxSize]byte
	n int
}

// Bytes is a view.
func (r *rawATR) Bytes() []byte { return r.b[:r.n] }

func (s *Slot) iccPowerOn(ctx context.Context, v Voltage) (r rawATR, err error) {
	for again := false; ; again = true {
		a, err := s.command(ctx, pipe.Command{
			Type: pipe.IccPowerOn, P: [3]byte{byte(v)}, Want: atr.MaxSize, Wait: s.r.timing.Power,
			Repeat: true,
		})
		if e := slotError(err); e != nil && !again && s.r.quirk.ISOMode && e.Code == errWrongMode {
			if err := s.isoMode(ctx); err != nil {
				return r, err
			}
			continue
		}
		switch {
		case err != nil:
			return r, err
		case a.ICC() == pipe.ICCAbsent:
			return r, ErrNoCard
		case len(a.Data) > atr.MaxSize:
			return r, fmt.Errorf("%w: %d bytes", ErrBadATR, len(a.Data))
		}
		r.n = copy(r.b[:], a.Data)
		return r, nil
	}
}
