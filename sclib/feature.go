package sclib

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// A Feature is something that a reader can do besides exchanging APDUs (PC/SC part 10, 2.3, table of features).
type Feature byte

const (
	FeatureVerifyPINStart   Feature = 0x01
	FeatureVerifyPINFinish  Feature = 0x02
	FeatureModifyPINStart   Feature = 0x03
	FeatureModifyPINFinish  Feature = 0x04
	FeatureGetKeyPressed    Feature = 0x05
	FeatureVerifyPINDirect  Feature = 0x06
	FeatureModifyPINDirect  Feature = 0x07
	FeatureMCTReaderDirect  Feature = 0x08
	FeatureMCTUniversal     Feature = 0x09
	FeatureIFDPINProperties Feature = 0x0A
	FeatureAbort            Feature = 0x0B
	FeatureTLVProperties    Feature = 0x12
	FeatureCCIDEscape       Feature = 0x13
	FeatureExecutePACE      Feature = 0x20
)

// Features maps what a reader can do to the control codes that make it do so.
type Features map[Feature]uint32

// ErrFeatures says that a reader's list of features is malformed.
var ErrFeatures = errors.New("malformed list of reader features")

// featureLength is the length of a control code in the list (PC/SC part 10, 2.2).
const featureLength = 4

// ParseFeatures reads the answer to CMIoctlGetFeatureRequest: records of tag, length 4, control code. The code is big-endian
// (PC/SC part 10, 2.2); EFI drivers give it little-endian. Its own form tells which.
func ParseFeatures(b []byte) (Features, error) {
	features := Features{}
	for len(b) > 0 {
		if len(b) < 2+featureLength || b[1] != featureLength {
			return nil, ErrFeatures
		}
		value := b[2 : 2+featureLength]
		controlCode := binary.BigEndian.Uint32(value)
		if reversed := binary.LittleEndian.Uint32(value); !isCtlCode(controlCode) && isCtlCode(reversed) {
			controlCode = reversed
		}
		features[Feature(b[0])] = controlCode
		b = b[2+featureLength:]
	}
	return features, nil
}

// isCtlCode recognises control codes: pcsc-lite's and EFI's 42 xx xx xx, and Windows' device type 31 (PC/SC part 10, 2.2).
func isCtlCode(controlCode uint32) bool {
	return controlCode>>24 == 0x42 || controlCode>>16 == 0x0031
}

// Features asks the reader what it can do. A reader without any is no error.
func (k *Card) Features(ctx context.Context) (Features, error) {
	answer, err := k.Control(ctx, CMIoctlGetFeatureRequest, nil)
	switch {
	case errors.Is(err, ErrUnsupportedFeature):
		return Features{}, nil
	case err != nil:
		return nil, err
	}
	features, err := ParseFeatures(answer)
	if err != nil {
		return nil, failed("features of", k.slot.name, fmt.Errorf("%w: %w", ErrInvalidValue, err))
	}
	return features, nil
}
