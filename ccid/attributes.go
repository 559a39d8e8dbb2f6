package ccid

import (
	"context"
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/scard"
)

// tagATRString is AttrATRString without its class, as some programs ask for it.
const tagATRString = scard.AttrATRString & 0xFFFF

// The attributes of the protocol in use have class 8, numbers 0201 to 02FF (PC/SC part 3, 3.1.2).
const (
	attrMaskCurrent scard.Attrib = 0xFFFFFF00
	attrCurrent     scard.Attrib = 0x00080200
)

// Values of AttrICCInterfaceStatus (PC/SC part 3, 3.1.2).
const (
	interfaceOff = 0
	interfaceOn  = 1
)

func dword(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// GetAttrib returns an attribute of the reader, or of the card in the slot; numbers are
// little-endian. ErrUnsupported is the error for an attribute that this driver does not implement,
// or that the device does not have; attributes of the card fail with ErrNoCard or ErrNotPowered
// without one. Only AttrICCPresence and AttrICCInterfaceStatus make traffic.
func (s *Slot) GetAttrib(ctx context.Context, tag scard.Attrib) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if tag&attrMaskCurrent == attrCurrent {
		return s.currentAttrib(ctx, tag)
	}
	c, dev := &s.r.class, s.r.dev
	switch tag {
	case scard.AttrVendorName:
		return text(dev.Manufacturer)
	case scard.AttrVendorIFDType:
		return text(dev.Product)
	case scard.AttrVendorIFDSerial:
		return text(dev.Serial)
	case scard.AttrVendorIFDVersion: // major << 24, minor << 16, build
		_, _, version := dev.ID()
		return dword(uint32(version) << 16), nil
	case scard.AttrChannelID:
		return dword(scard.ChannelUSB<<16 | uint32(dev.Bus)<<8 | uint32(dev.Address)), nil
	case scard.AttrAsyncProtocolTypes:
		return dword(c.Protocols & uint32(T0|T1)), nil
	case scard.AttrDefaultClock:
		return dword(c.DefaultClock), nil
	case scard.AttrMaxClock:
		return dword(c.MaximumClock), nil
	case scard.AttrDefaultDataRate:
		return dword(c.DataRate), nil
	case scard.AttrMaxDataRate:
		return dword(c.MaxDataRate), nil
	case scard.AttrMaxIFSD:
		return dword(c.MaxIFSD), nil
	case scard.AttrSyncProtocolTypes:
		return dword(c.SynchProtocols), nil
	case scard.AttrPowerManagement: // 0: no power management that a program could use
		return dword(0), nil
	case scard.AttrCharacteristics:
		return dword(s.characteristics()), nil
	case scard.AttrMaxInput:
		return dword(uint32(s.r.maxPayload)), nil
	case scard.AttrDeviceUnit:
		return dword(uint32(s.r.o.Unit)), nil
	case scard.AttrFriendlyName, scard.AttrSystemName:
		return append([]byte(s.name), 0), nil
	case scard.AttrFriendlyNameW, scard.AttrSystemNameW:
		return wide(s.name), nil
	case scard.AttrICCPresence:
		return s.stateAttrib(ctx, func(state State) byte {
			if state == Absent {
				return scard.PresenceAbsent
			}
			// present, and in position: CCID does not distinguish the two
			return scard.PresenceSwallowed
		})
	case scard.AttrICCInterfaceStatus:
		return s.stateAttrib(ctx, func(state State) byte {
			if state == Active {
				return interfaceOn
			}
			return interfaceOff
		})
	case scard.AttrATRString, tagATRString:
		if answer := s.ATR(); answer != nil {
			return answer, nil
		}
		return nil, s.missing(ctx, ErrNotPowered)
	case scard.AttrICCTypePerATR:
		if s.ATR() != nil {
			return []byte{scard.ICCTypeAsync}, nil
		}
		return nil, s.missing(ctx, ErrNotPowered)
	}
	return nil, fmt.Errorf("%w: attribute %#08x", ErrUnsupported, tag)
}

// currentAttrib returns an attribute of the protocol that was agreed on.
func (s *Slot) currentAttrib(ctx context.Context, tag scard.Attrib) ([]byte, error) {
	p, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	l := s.line
	switch tag {
	case scard.AttrCurrentProtocol:
		return dword(uint32(p)), nil
	case scard.AttrCurrentClock:
		return dword(l.Clock), nil
	case scard.AttrCurrentF:
		return dword(uint32(atr.F(l.FiDi))), nil
	case scard.AttrCurrentD:
		return dword(uint32(atr.D(l.FiDi))), nil
	case scard.AttrCurrentN:
		return dword(uint32(l.ExtraGuard)), nil
	}
	switch {
	case p == T0 && tag == scard.AttrCurrentW:
		return dword(uint32(l.WI)), nil
	case p == T1 && tag == scard.AttrCurrentIFSC:
		if s.r.level <= LevelTPDU {
			return dword(uint32(s.t1.IFSC())), nil
		}
		return dword(uint32(s.info.IFSC)), nil
	case p == T1 && tag == scard.AttrCurrentIFSD:
		if s.r.level <= LevelTPDU {
			return dword(uint32(s.t1.IFSD())), nil
		}
		return dword(s.r.class.MaxIFSD), nil
	case p == T1 && tag == scard.AttrCurrentBWT:
		return dword(uint32(l.BWI)), nil
	case p == T1 && tag == scard.AttrCurrentCWT:
		return dword(uint32(l.CWI)), nil
	case p == T1 && tag == scard.AttrCurrentEBCEncoding:
		if s.info.CRC {
			return dword(1), nil
		}
		return dword(0), nil
	}
	return nil, fmt.Errorf("%w: attribute %#08x of %v", ErrUnsupported, tag, p)
}

// stateAttrib is an attribute of one byte that follows from the slot's state.
func (s *Slot) stateAttrib(ctx context.Context, value func(State) byte) ([]byte, error) {
	state, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	return []byte{value(state)}, nil
}

func (s *Slot) characteristics() (bits uint32) {
	if s.r.class.Mechanical&mechanicalEject != 0 {
		bits |= scard.CharacteristicEject
	}
	if s.r.class.Mechanical&mechanicalCapture != 0 {
		bits |= scard.CharacteristicCapture
	}
	return bits
}

// text is a device's string without characters that cannot be shown.
func text(v string) ([]byte, error) {
	if v = clean(v); v == "" {
		return nil, fmt.Errorf("%w: the device has no such string", ErrUnsupported)
	}
	return []byte(v), nil
}

// wide is a string in UTF-16LE, with its terminator.
func wide(v string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(v)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return append(b, 0, 0)
}
