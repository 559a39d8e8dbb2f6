package sclib

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// A Feature is a function of a reader beside the exchange of APDUs (PC/SC part 10, 2.3, table of
// features).
type Feature byte

// The features of PC/SC part 10.
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

// Features maps each feature of a reader to the control code of its command.
type Features map[Feature]uint32

// ErrFeatures is the error for a malformed list of features.
var ErrFeatures = errors.New("malformed list of reader features")

// featureLength is the length of a control code in the list (PC/SC part 10, 2.2).
const featureLength = 4

// ParseFeatures parses the answer to CMIoctlGetFeatureRequest: records of a tag, the length 4 and a
// control code. Control codes are big-endian (PC/SC part 10, 2.2). EFI drivers give them
// little-endian: if only the reversed value is a control code, it is the result. The error is
// ErrFeatures.
func ParseFeatures(b []byte) (Features, error) {
	features := Features{}
	for len(b) > 0 {
		if len(b) < 2+featureLength || b[1] != featureLength {
			return nil, ErrFeatures
		}
		value := b[2 : 2+featureLength]
		controlCode := binary.BigEndian.Uint32(value)
		reversed := binary.LittleEndian.Uint32(value)
		if !isCtlCode(controlCode) && isCtlCode(reversed) {
			controlCode = reversed
		}
		features[Feature(b[0])] = controlCode
		b = b[2+featureLength:]
	}
	return features, nil
}

// isCtlCode reports whether a value has the form of a control code: 42xxxxxx of pcsc-lite and EFI,
// or the device type 0031 of Windows (PC/SC part 10, 2.2).
func isCtlCode(controlCode uint32) bool {
	return controlCode>>24 == 0x42 || controlCode>>16 == 0x0031
}

// Features returns the features of the reader, with CMIoctlGetFeatureRequest. A reader without
// features is no error. A malformed list is ErrFeatures.
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
