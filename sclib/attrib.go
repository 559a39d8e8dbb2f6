package sclib

// An Attrib identifies a property of a reader or card: the upper 16 bits are the class, the lower
// 16 the tag (PC/SC part 3, 3.1.4).
type Attrib uint32

// Attributes of PC/SC part 3, with their types and units.
const (
	AttrVendorName         Attrib = 0x00010100 // SCARD_ATTR_VENDOR_NAME, text
	AttrVendorIFDType      Attrib = 0x00010101 // SCARD_ATTR_VENDOR_IFD_TYPE, text
	AttrVendorIFDVersion   Attrib = 0x00010102 // SCARD_ATTR_VENDOR_IFD_VERSION, 0xMMmmbbbb
	AttrVendorIFDSerial    Attrib = 0x00010103 // SCARD_ATTR_VENDOR_IFD_SERIAL_NO, text
	AttrChannelID          Attrib = 0x00020110 // SCARD_ATTR_CHANNEL_ID, 0xDDDDCCCC
	AttrAsyncProtocolTypes Attrib = 0x00030120 // SCARD_ATTR_ASYNC_PROTOCOL_TYPES
	AttrDefaultClock       Attrib = 0x00030121 // SCARD_ATTR_DEFAULT_CLK, kHz
	AttrMaxClock           Attrib = 0x00030122 // SCARD_ATTR_MAX_CLK, kHz
	AttrDefaultDataRate    Attrib = 0x00030123 // SCARD_ATTR_DEFAULT_DATA_RATE, bit/s
	AttrMaxDataRate        Attrib = 0x00030124 // SCARD_ATTR_MAX_DATA_RATE, bit/s
	AttrMaxIFSD            Attrib = 0x00030125 // SCARD_ATTR_MAX_IFSD, bytes
	AttrSyncProtocolTypes  Attrib = 0x00030126 // SCARD_ATTR_SYNC_PROTOCOL_TYPES
	AttrPowerManagement    Attrib = 0x00040131 // SCARD_ATTR_POWER_MGMT_SUPPORT
	AttrCharacteristics    Attrib = 0x00060150 // SCARD_ATTR_CHARACTERISTICS
	AttrMaxInput           Attrib = 0x0007A007 // SCARD_ATTR_MAXINPUT, bytes
	AttrCurrentProtocol    Attrib = 0x00080201 // SCARD_ATTR_CURRENT_PROTOCOL_TYPE
	AttrCurrentClock       Attrib = 0x00080202 // SCARD_ATTR_CURRENT_CLK, kHz
	AttrCurrentF           Attrib = 0x00080203 // SCARD_ATTR_CURRENT_F
	AttrCurrentD           Attrib = 0x00080204 // SCARD_ATTR_CURRENT_D
	AttrCurrentN           Attrib = 0x00080205 // SCARD_ATTR_CURRENT_N
	AttrCurrentW           Attrib = 0x00080206 // SCARD_ATTR_CURRENT_W
	AttrCurrentIFSC        Attrib = 0x00080207 // SCARD_ATTR_CURRENT_IFSC
	AttrCurrentIFSD        Attrib = 0x00080208 // SCARD_ATTR_CURRENT_IFSD
	AttrCurrentBWT         Attrib = 0x00080209 // SCARD_ATTR_CURRENT_BWT
	AttrCurrentCWT         Attrib = 0x0008020A // SCARD_ATTR_CURRENT_CWT
	AttrCurrentEBCEncoding Attrib = 0x0008020B // SCARD_ATTR_CURRENT_EBC_ENCODING
	AttrICCPresence        Attrib = 0x00090300 // SCARD_ATTR_ICC_PRESENCE, one byte
	AttrICCInterfaceStatus Attrib = 0x00090301 // SCARD_ATTR_ICC_INTERFACE_STATUS, one byte
	AttrATRString          Attrib = 0x00090303 // SCARD_ATTR_ATR_STRING
	AttrICCTypePerATR      Attrib = 0x00090304 // SCARD_ATTR_ICC_TYPE_PER_ATR, one byte
	AttrDeviceUnit         Attrib = 0x7FFF0001 // SCARD_ATTR_DEVICE_UNIT
	AttrFriendlyName       Attrib = 0x7FFF0003 // SCARD_ATTR_DEVICE_FRIENDLY_NAME, text
	AttrSystemName         Attrib = 0x7FFF0004 // SCARD_ATTR_DEVICE_SYSTEM_NAME, text
)

// CtlCode returns the control code of a function of the reader's driver (SCARD_CTL_CODE of PC/SC
// part 10, 2.2, with the value of pcsc-lite).
func CtlCode(function uint16) uint32 { return 0x42000000 + uint32(function) }

// CMIoctlGetFeatureRequest is the control code that returns the features of a reader
// (CM_IOCTL_GET_FEATURE_REQUEST, PC/SC part 10, 2.2). [Card.Features] uses it.
const CMIoctlGetFeatureRequest uint32 = 0x42000000 + 3400
