package ccid

import (
	"context"
	"encoding/binary"
	"fmt"

	"tamaccid/ccid/scard"
)

// Control codes (PC/SC part 10, 2.2; UEFI 2.11, 37.6.6). Control takes them in both byte orders.
const (
	// ControlEscape sends a vendor command to the reader's firmware, as far as Options.Escape
	// allows it.
	ControlEscape = 0x42000001
	// ControlPath returns where the reader is: Path of the transport's usb.Device.
	ControlPath = 0x42000E11
	// controlFeature plus the tag of a feature is its control code (policy: the numbers of
	// libccid).
	controlFeature = 0x42330000

	ControlVerifyPIN        = controlFeature + uint32(scard.FeatureVerifyPINDirect)
	ControlModifyPIN        = controlFeature + uint32(scard.FeatureModifyPINDirect)
	ControlMCTReaderDirect  = controlFeature + uint32(scard.FeatureMCTReaderDirect)
	ControlPINProperties    = controlFeature + uint32(scard.FeatureIFDPINProperties)
	ControlGetTLVProperties = controlFeature + uint32(scard.FeatureTLVProperties)
	controlEscapeFeature    = controlFeature + uint32(scard.FeatureCCIDEscape)
)

// Control carries out a control code with its input, and returns the output. Codes that are not
// implemented, and features that the reader does not have, fail with ErrUnsupported. PIN entry
// needs a connected card, other codes need none. A PIN that the user enters stays in the reader.
func (s *Slot) Control(ctx context.Context, code uint32, in []byte) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	switch code = scard.HostOrder(code); code {
	case scard.GetFeatureRequest, scard.GetFeatureRequestWindows:
		return s.features(ctx), nil
	case ControlPath:
		return []byte(s.r.dev.Path), nil
	case ControlGetTLVProperties:
		return s.tlvProperties(ctx)
	case ControlPINProperties:
		if s.r.class.PINSupport != 0 {
			return s.pinProperties(ctx)
		}
	case ControlVerifyPIN:
		if s.r.class.PINSupport&pinVerify != 0 {
			return s.verifyPIN(ctx, in)
		}
	case ControlModifyPIN:
		if s.r.class.PINSupport&pinModify != 0 {
			return s.modifyPIN(ctx, in)
		}
	case ControlMCTReaderDirect:
		if s.r.quirk.MCT {
			return s.secoder(ctx, in)
		}
	case ControlEscape, controlEscapeFeature:
		if len(in) == 0 {
			return nil, fmt.Errorf("%w: empty escape command", ErrInvalid)
		}
		if err := s.mayEscape(in); err != nil {
			return nil, err
		}
		return s.escapeCopy(ctx, in)
	}
	return nil, fmt.Errorf("%w: control code %#08x", ErrUnsupported, code)
}

func (s *Slot) escapeCopy(ctx context.Context, in []byte) ([]byte, error) {
	b, err := s.escape(ctx, in)
	if err != nil {
		return nil, err
	}
	return append(make([]byte, 0, len(b)), b...), nil
}

// features is the answer to CM_IOCTL_GET_FEATURE_REQUEST: tag, length, control code of each (PC/SC
// part 10, 2.2).
func (s *Slot) features(context.Context) []byte {
	var list []byte
	add := func(tag scard.Feature, code uint32) {
		list = append(list, byte(tag), scard.FeatureRecord)
		if s.r.o.FeatureOrder == BigEndian {
			list = binary.BigEndian.AppendUint32(list, code)
		} else {
			list = binary.LittleEndian.AppendUint32(list, code)
		}
	}
	if s.r.class.PINSupport&pinVerify != 0 {
		add(scard.FeatureVerifyPINDirect, ControlVerifyPIN)
	}
	if s.r.class.PINSupport&pinModify != 0 {
		add(scard.FeatureModifyPINDirect, ControlModifyPIN)
	}
	if s.r.class.PINSupport != 0 {
		add(scard.FeatureIFDPINProperties, ControlPINProperties)
	}
	if s.r.quirk.MCT {
		add(scard.FeatureMCTReaderDirect, ControlMCTReaderDirect)
	}
	add(scard.FeatureTLVProperties, ControlGetTLVProperties)
	if s.r.o.Escape == EscapeAlways {
		add(scard.FeatureCCIDEscape, ControlEscape)
	}
	return list
}

// secoder sends a Secoder command (20 70 to 20 75) to a reader that takes them as escape commands.
func (s *Slot) secoder(ctx context.Context, in []byte) ([]byte, error) {
	const cla, first, last = 0x20, 0x70, 0x75
	if len(in) < 4 || in[0] != cla || in[1] < first || in[1] > last {
		return nil, fmt.Errorf("%w: not a Secoder command", ErrInvalid)
	}
	return s.escapeCopy(ctx, in)
}
