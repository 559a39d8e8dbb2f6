package scard

import "math/bits"

// Feature is the tag of something that a reader can do besides exchanging APDUs (PC/SC part 10,
// 2.3, table of features).
type Feature byte

// The features.
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

// controlBase is SCARD_CTL_CODE(0), as pcsc-lite and UEFI 2.11, 37.6.6 number control codes.
const controlBase = 0x42000000

// GetFeatureRequest is CM_IOCTL_GET_FEATURE_REQUEST, SCARD_CTL_CODE(3400) (PC/SC part 10, 2.2; UEFI
// 2.11, 37.6.6). The answer has a record for each feature: tag, length 4, control code.
const GetFeatureRequest uint32 = controlBase + 3400

// GetFeatureRequestWindows is the same request as Windows numbers it.
const GetFeatureRequestWindows uint32 = 0x00313520

// FeatureRecord is the length of the value of each record (PC/SC part 10, 2.2).
const FeatureRecord = 4

// ControlCode is SCARD_CTL_CODE(function) (PC/SC part 10, 2.2; UEFI 2.11, 37.6.6).
func ControlCode(function uint16) uint32 { return controlBase + uint32(function) }

// HostOrder returns a control code in this machine's byte order. Programs take codes out of the
// feature list in either order, and the two sets do not meet: a code begins with 42 (pcsc-lite,
// EFI), or with 00 31 (Windows' device type). Other values are returned as they are.
func HostOrder(code uint32) uint32 {
	if turned := bits.ReverseBytes32(code); !isControlCode(code) && isControlCode(turned) {
		return turned
	}
	return code
}

func isControlCode(code uint32) bool {
	return code&^0x00FFFFFF == controlBase || code>>16 == 0x0031
}

// Bits of bEntryValidationCondition (PC/SC part 10, 2.5; CCID 1.1, 6.1.11.4): the entry of a PIN
// ends at its largest size, with the Enter key, or in time.
const (
	ValidationMax     = 1
	ValidationEnter   = 2
	ValidationTimeout = 4
	ValidationAll     = ValidationMax | ValidationEnter | ValidationTimeout
)

// Tags of the properties that FeatureTLVProperties returns (PC/SC part 10, 2.6.14).
const (
	PropertyLcdLayout     = 1
	PropertyValidation    = 2 // bEntryValidationCondition
	PropertyTimeOut2      = 3
	PropertyLcdCharacters = 4
	PropertyLcdLines      = 5
	PropertyMinPIN        = 6
	PropertyMaxPIN        = 7
	PropertyFirmware      = 8
	PropertyPPDU          = 9 // pseudo APDUs
	PropertyMaxAPDUData   = 10
	PropertyVendor        = 11
	PropertyProduct       = 12
)
