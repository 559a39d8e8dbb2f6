package sclib

import "tamaccid/ccid/scard"

// An Attrib identifies a property of a reader or card: the upper 16 bits are the class, the lower
// 16 the tag (PC/SC part 3, 3.1.4).
type Attrib = scard.Attrib

// Attributes of PC/SC part 3, with their types and units.
const (
	AttrVendorName         = scard.AttrVendorName         // SCARD_ATTR_VENDOR_NAME, text
	AttrVendorIFDType      = scard.AttrVendorIFDType      // SCARD_ATTR_VENDOR_IFD_TYPE, text
	AttrVendorIFDVersion   = scard.AttrVendorIFDVersion   // SCARD_ATTR_VENDOR_IFD_VERSION, MMmmbbbb
	AttrVendorIFDSerial    = scard.AttrVendorIFDSerial    // SCARD_ATTR_VENDOR_IFD_SERIAL_NO, text
	AttrChannelID          = scard.AttrChannelID          // SCARD_ATTR_CHANNEL_ID, 0xDDDDCCCC
	AttrAsyncProtocolTypes = scard.AttrAsyncProtocolTypes // SCARD_ATTR_ASYNC_PROTOCOL_TYPES
	AttrDefaultClock       = scard.AttrDefaultClock       // SCARD_ATTR_DEFAULT_CLK, kHz
	AttrMaxClock           = scard.AttrMaxClock           // SCARD_ATTR_MAX_CLK, kHz
	AttrDefaultDataRate    = scard.AttrDefaultDataRate    // SCARD_ATTR_DEFAULT_DATA_RATE, bit/s
	AttrMaxDataRate        = scard.AttrMaxDataRate        // SCARD_ATTR_MAX_DATA_RATE, bit/s
	AttrMaxIFSD            = scard.AttrMaxIFSD            // SCARD_ATTR_MAX_IFSD, bytes
	AttrSyncProtocolTypes  = scard.AttrSyncProtocolTypes  // SCARD_ATTR_SYNC_PROTOCOL_TYPES
	AttrPowerManagement    = scard.AttrPowerManagement    // SCARD_ATTR_POWER_MGMT_SUPPORT
	AttrCharacteristics    = scard.AttrCharacteristics    // SCARD_ATTR_CHARACTERISTICS
	AttrMaxInput           = scard.AttrMaxInput           // SCARD_ATTR_MAXINPUT, bytes
	AttrCurrentProtocol    = scard.AttrCurrentProtocol    // SCARD_ATTR_CURRENT_PROTOCOL_TYPE
	AttrCurrentClock       = scard.AttrCurrentClock       // SCARD_ATTR_CURRENT_CLK, kHz
	AttrCurrentF           = scard.AttrCurrentF           // SCARD_ATTR_CURRENT_F
	AttrCurrentD           = scard.AttrCurrentD           // SCARD_ATTR_CURRENT_D
	AttrCurrentN           = scard.AttrCurrentN           // SCARD_ATTR_CURRENT_N
	AttrCurrentW           = scard.AttrCurrentW           // SCARD_ATTR_CURRENT_W
	AttrCurrentIFSC        = scard.AttrCurrentIFSC        // SCARD_ATTR_CURRENT_IFSC
	AttrCurrentIFSD        = scard.AttrCurrentIFSD        // SCARD_ATTR_CURRENT_IFSD
	AttrCurrentBWT         = scard.AttrCurrentBWT         // SCARD_ATTR_CURRENT_BWT
	AttrCurrentCWT         = scard.AttrCurrentCWT         // SCARD_ATTR_CURRENT_CWT
	AttrCurrentEBCEncoding = scard.AttrCurrentEBCEncoding // SCARD_ATTR_CURRENT_EBC_ENCODING
	AttrICCPresence        = scard.AttrICCPresence        // SCARD_ATTR_ICC_PRESENCE, one byte
	AttrICCInterfaceStatus = scard.AttrICCInterfaceStatus // SCARD_ATTR_ICC_INTERFACE_STATUS, byte
	AttrATRString          = scard.AttrATRString          // SCARD_ATTR_ATR_STRING
	AttrICCTypePerATR      = scard.AttrICCTypePerATR      // SCARD_ATTR_ICC_TYPE_PER_ATR, one byte
	AttrDeviceUnit         = scard.AttrDeviceUnit         // SCARD_ATTR_DEVICE_UNIT
	AttrFriendlyName       = scard.AttrFriendlyName       // SCARD_ATTR_DEVICE_FRIENDLY_NAME, text
	AttrSystemName         = scard.AttrSystemName         // SCARD_ATTR_DEVICE_SYSTEM_NAME, text
)

// CtlCode returns the control code of a function of the reader's driver (SCARD_CTL_CODE of PC/SC
// part 10, 2.2, with the value of pcsc-lite).
func CtlCode(function uint16) uint32 { return scard.ControlCode(function) }

// CMIoctlGetFeatureRequest is the control code that returns the features of a reader
// (CM_IOCTL_GET_FEATURE_REQUEST, PC/SC part 10, 2.2). [Card.Features] uses it.
const CMIoctlGetFeatureRequest = scard.GetFeatureRequest
