package ccid

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Control codes (PC/SC part 10, 2.2; UEFI 2.11, 37.6.6). Control takes them in both byte orders: the codes that programs read out
// of the feature list come in either, and the two sets do not meet.
const (
	// ControlEscape passes a vendor command to the reader's firmware, as far as Options.Escape lets it.
	ControlEscape = 0x42000001
	// ControlGetFeatures is CM_IOCTL_GET_FEATURE_REQUEST.
	ControlGetFeatures = 0x42000D48
	// controlGetFeaturesWindows is the same request as Windows numbers it.
	controlGetFeaturesWindows = 0x00313520
	// ControlPath asks where the reader is: a text, in the backend's words.
	ControlPath = 0x42000E11
	// controlFeature is what the tag of a feature is added to.
	controlFeature = 0x42330000
)

// Features (PC/SC part 10, 2.3).
const (
	FeatureVerifyPINDirect          = 0x06
	FeatureModifyPINDirect          = 0x07
	FeatureMCTReaderDirect          = 0x08
	FeatureIFDPINProperties         = 0x0A
	FeatureGetTLVProperties         = 0x12
	FeatureCCIDEscapeCommand        = 0x13
	ControlVerifyPIN                = controlFeature + FeatureVerifyPINDirect
	ControlModifyPIN                = controlFeature + FeatureModifyPINDirect
	ControlMCTReaderDirect          = controlFeature + FeatureMCTReaderDirect
	ControlPINProperties            = controlFeature + FeatureIFDPINProperties
	ControlGetTLVProperties         = controlFeature + FeatureGetTLVProperties
	featureRecord                   = 4 // length of each record's value
	codePrefix                      = 0x42
	codePrefixMask           uint32 = 0xFF000000
)

// hostOrder brings a control code into this machine's order: all of them but one start with 42.
func hostOrder(code uint32) uint32 {
	if code&codePrefixMask>>24 == codePrefix || code == controlGetFeaturesWindows {
		return code
	}
	if turned := bits.ReverseBytes32(code); turned&codePrefixMask>>24 == codePrefix || turned == controlGetFeaturesWindows {
		return turned
	}
	return code
}

// Control carries out a control code with the input that belongs to it. Codes that are not known, and features that the reader
// does not have, fail with ErrUnsupported. PIN entry needs a connected card, the others need none. A PIN never passes through
// here: it stays in the reader.
func (s *Slot) Control(ctx context.Context, code uint32, in []byte) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	switch code = hostOrder(code); code {
	case ControlGetFeatures, controlGetFeaturesWindows:
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
		if s.r.quirk.mct {
			return s.secoder(ctx, in)
		}
	case ControlEscape, controlFeature + FeatureCCIDEscapeCommand:
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

// features is the answer to CM_IOCTL_GET_FEATURE_REQUEST: tag, length, control code of each (PC/SC part 10, 2.2).
func (s *Slot) features(context.Context) []byte {
	var list []byte
	add := func(tag byte, code uint32) {
		list = append(list, tag, featureRecord)
		if s.r.o.FeatureOrder == BigEndian {
			list = binary.BigEndian.AppendUint32(list, code)
		} else {
			list = binary.LittleEndian.AppendUint32(list, code)
		}
	}
	if s.r.class.PINSupport&pinVerify != 0 {
		add(FeatureVerifyPINDirect, ControlVerifyPIN)
	}
	if s.r.class.PINSupport&pinModify != 0 {
		add(FeatureModifyPINDirect, ControlModifyPIN)
	}
	if s.r.class.PINSupport != 0 {
		add(FeatureIFDPINProperties, ControlPINProperties)
	}
	if s.r.quirk.mct {
		add(FeatureMCTReaderDirect, ControlMCTReaderDirect)
	}
	add(FeatureGetTLVProperties, ControlGetTLVProperties)
	if s.r.o.Escape == EscapeAlways {
		add(FeatureCCIDEscapeCommand, ControlEscape)
	}
	return list
}

// secoder passes a Secoder command (20 70 to 20 75) to the readers that take them as escape commands.
func (s *Slot) secoder(ctx context.Context, in []byte) ([]byte, error) {
	const cla, first, last = 0x20, 0x70, 0x75
	if len(in) < 4 || in[0] != cla || in[1] < first || in[1] > last {
		return nil, fmt.Errorf("%w: not a Secoder command", ErrInvalid)
	}
	return s.escapeCopy(ctx, in)
}
