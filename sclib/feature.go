package sclib

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"tamaccid/ccid/scard"
)

// A Feature is a function of a reader beside the exchange of APDUs (PC/SC part 10, 2.3, table of
// features).
type Feature = scard.Feature

// The features of PC/SC part 10.
const (
	FeatureVerifyPINStart   = scard.FeatureVerifyPINStart
	FeatureVerifyPINFinish  = scard.FeatureVerifyPINFinish
	FeatureModifyPINStart   = scard.FeatureModifyPINStart
	FeatureModifyPINFinish  = scard.FeatureModifyPINFinish
	FeatureGetKeyPressed    = scard.FeatureGetKeyPressed
	FeatureVerifyPINDirect  = scard.FeatureVerifyPINDirect
	FeatureModifyPINDirect  = scard.FeatureModifyPINDirect
	FeatureMCTReaderDirect  = scard.FeatureMCTReaderDirect
	FeatureMCTUniversal     = scard.FeatureMCTUniversal
	FeatureIFDPINProperties = scard.FeatureIFDPINProperties
	FeatureAbort            = scard.FeatureAbort
	FeatureTLVProperties    = scard.FeatureTLVProperties
	FeatureCCIDEscape       = scard.FeatureCCIDEscape
	FeatureExecutePACE      = scard.FeatureExecutePACE
)

// Features maps each feature of a reader to the control code of its command.
type Features map[Feature]uint32

// ErrFeatures is the error for a malformed list of features.
var ErrFeatures = errors.New("malformed list of reader features")

// featureLength is the length of a control code in the list (PC/SC part 10, 2.2).
const featureLength = scard.FeatureRecord

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
		controlCode := binary.BigEndian.Uint32(b[2 : 2+featureLength])
		features[Feature(b[0])] = scard.HostOrder(controlCode)
		b = b[2+featureLength:]
	}
	return features, nil
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
