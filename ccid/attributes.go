package ccid

import (
	"context"
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"tamaccid/ccid/atr"
)

// Attributes by their tags, class << 16 | number (PC/SC part 3, 3.1.2, and the identifiers that PC/SC programs use).
const (
	AttrVendorName           = 0x00010100
	AttrVendorIFDType        = 0x00010101
	AttrVendorIFDVersion     = 0x00010102
	AttrVendorIFDSerial      = 0x00010103
	AttrChannelID            = 0x00020110
	AttrAsyncProtocolTypes   = 0x00030120
	AttrDefaultClock         = 0x00030121
	AttrMaxClock             = 0x00030122
	AttrDefaultDataRate      = 0x00030123
	AttrMaxDataRate          = 0x00030124
	AttrMaxIFSD              = 0x00030125
	AttrSyncProtocolTypes    = 0x00030126
	AttrPowerMgmtSupport     = 0x00040131
	AttrCharacteristics      = 0x00060150
	AttrMaxInput             = 0x0007A007
	AttrCurrentProtocolType  = 0x00080201
	AttrCurrentClock         = 0x00080202
	AttrCurrentF             = 0x00080203
	AttrCurrentD             = 0x00080204
	AttrCurrentN             = 0x00080205
	AttrCurrentW             = 0x00080206
	AttrCurrentIFSC          = 0x00080207
	AttrCurrentIFSD          = 0x00080208
	AttrCurrentBWT           = 0x00080209
	AttrCurrentCWT           = 0x0008020A
	AttrCurrentEBCEncoding   = 0x0008020B
	AttrICCPresence          = 0x00090300
	AttrICCInterfaceStatus   = 0x00090301
	AttrATRString            = 0x00090303
	AttrICCTypePerATR        = 0x00090304
	AttrDeviceUnit           = 0x7FFF0001
	AttrDeviceFriendlyName   = 0x7FFF0003
	AttrDeviceSystemName     = 0x7FFF0004
	AttrDeviceFriendlyNameW  = 0x7FFF0005
	AttrDeviceSystemNameW    = 0x7FFF0006
	tagATRString             = AttrATRString & 0xFFFF // without its class, as some programs ask for it
	attrMaskCurrent          = 0xFFFFFF00
	attrClassProtocolCurrent = 0x00080200
)

// Values of ICC_PRESENCE and ICC_INTERFACE_STATUS (PC/SC part 3, 3.1.2).
const (
	presenceAbsent  = 0
	presenceSwallow = 2 // present, and in position: no reader here tells the two apart
	interfaceOff    = 0
	interfaceOn     = 1
)

// Bits of CHARACTERISTICS (PC/SC part 3, 3.1.2).
const (
	characteristicEject   = 1 << 1
	characteristicCapture = 1 << 2
)

// channelUSB is the upper half of CHANNEL_ID (PC/SC part 3, 3.1.2: 0x0020 is USB).
const channelUSB = 0x0020 << 16

// iccTypeAsync is the only kind of card that this driver talks to (PC/SC part 3, 3.1.2: ISO 7816 asynchronous).
const iccTypeAsync = 1

func dword(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// GetAttrib returns an attribute of the reader or of the card in it; numbers are little endian. ErrUnsupported means that the
// attribute is not known, or that the device does not have it; attributes of the card fail with ErrNoCard or ErrNotPowered where
// there is none. Only the card's state makes traffic.
func (s *Slot) GetAttrib(ctx context.Context, tag uint32) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if tag&attrMaskCurrent == attrClassProtocolCurrent {
		return s.currentAttrib(ctx, tag)
	}
	c, dev := &s.r.class, s.r.dev
	switch tag {
	case AttrVendorName:
		return text(dev.Manufacturer)
	case AttrVendorIFDType:
		return text(dev.Product)
	case AttrVendorIFDSerial:
		return text(dev.Serial)
	case AttrVendorIFDVersion: // major << 24, minor << 16, build
		_, _, version := dev.ID()
		return dword(uint32(version) << 16), nil
	case AttrChannelID:
		return dword(channelUSB | uint32(dev.Bus)<<8 | uint32(dev.Address)), nil
	case AttrAsyncProtocolTypes:
		return dword(c.Protocols & uint32(T0|T1)), nil
	case AttrDefaultClock:
		return dword(c.DefaultClock), nil
	case AttrMaxClock:
		return dword(c.MaximumClock), nil
	case AttrDefaultDataRate:
		return dword(c.DataRate), nil
	case AttrMaxDataRate:
		return dword(c.MaxDataRate), nil
	case AttrMaxIFSD:
		return dword(c.MaxIFSD), nil
	case AttrSyncProtocolTypes:
		return dword(c.SynchProtocols), nil
	case AttrPowerMgmtSupport: // 0: no power management that a program could use
		return dword(0), nil
	case AttrCharacteristics:
		return dword(s.characteristics()), nil
	case AttrMaxInput:
		return dword(uint32(s.r.maxPayload)), nil
	case AttrDeviceUnit:
		return dword(uint32(s.r.o.Unit)), nil
	case AttrDeviceFriendlyName, AttrDeviceSystemName:
		return append([]byte(s.name), 0), nil
	case AttrDeviceFriendlyNameW, AttrDeviceSystemNameW:
		return wide(s.name), nil
	case AttrICCPresence:
		return s.stateAttrib(ctx, func(state State) byte {
			if state == Absent {
				return presenceAbsent
			}
			return presenceSwallow
		})
	case AttrICCInterfaceStatus:
		return s.stateAttrib(ctx, func(state State) byte {
			if state == Active {
				return interfaceOn
			}
			return interfaceOff
		})
	case AttrATRString, tagATRString:
		if answer := s.ATR(); answer != nil {
			return answer, nil
		}
		return nil, s.missing(ctx, ErrNotPowered)
	case AttrICCTypePerATR:
		if s.ATR() != nil {
			return []byte{iccTypeAsync}, nil
		}
		return nil, s.missing(ctx, ErrNotPowered)
	}
	return nil, fmt.Errorf("%w: attribute %#08x", ErrUnsupported, tag)
}

// currentAttrib returns an attribute of the protocol that was agreed on.
func (s *Slot) currentAttrib(ctx context.Context, tag uint32) ([]byte, error) {
	p, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	l := s.line
	switch tag {
	case AttrCurrentProtocolType:
		return dword(uint32(p)), nil
	case AttrCurrentClock:
		return dword(l.Clock), nil
	case AttrCurrentF:
		return dword(uint32(atr.F(l.FiDi))), nil
	case AttrCurrentD:
		return dword(uint32(atr.D(l.FiDi))), nil
	case AttrCurrentN:
		return dword(uint32(l.ExtraGuard)), nil
	}
	switch {
	case p == T0 && tag == AttrCurrentW:
		return dword(uint32(l.WI)), nil
	case p == T1 && tag == AttrCurrentIFSC:
		if s.r.level <= LevelTPDU {
			return dword(uint32(s.t1.IFSC())), nil
		}
		return dword(uint32(s.info.IFSC)), nil
	case p == T1 && tag == AttrCurrentIFSD:
		if s.r.level <= LevelTPDU {
			return dword(uint32(s.t1.IFSD())), nil
		}
		return dword(s.r.class.MaxIFSD), nil
	case p == T1 && tag == AttrCurrentBWT:
		return dword(uint32(l.BWI)), nil
	case p == T1 && tag == AttrCurrentCWT:
		return dword(uint32(l.CWI)), nil
	case p == T1 && tag == AttrCurrentEBCEncoding:
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
		bits |= characteristicEject
	}
	if s.r.class.Mechanical&mechanicalCapture != 0 {
		bits |= characteristicCapture
	}
	return bits
}

// text is a device's string, without anything that is not text.
func text(v string) ([]byte, error) {
	if v = clean(v); v == "" {
		return nil, fmt.Errorf("%w: the device has no such string", ErrUnsupported)
	}
	return []byte(v), nil
}

// wide is a string in UTF-16, little endian, with its end.
func wide(v string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(v)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return append(b, 0, 0)
}
