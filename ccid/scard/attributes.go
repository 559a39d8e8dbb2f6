package scard

// Attrib is the tag of an attribute of a reader or a card, class << 16 | number (PC/SC part 3,
// 3.1.2). Numbers in values are little-endian; text has no terminator unless the comment of the
// constant requires one.
type Attrib uint32

// The attributes of PC/SC part 3, 3.1.2 that readers commonly have, and those that PC/SC programs
// use beside them (winscard.h).
const (
	AttrVendorName         Attrib = 0x00010100 // SCARD_ATTR_VENDOR_NAME, text
	AttrVendorIFDType      Attrib = 0x00010101 // SCARD_ATTR_VENDOR_IFD_TYPE, text
	AttrVendorIFDVersion   Attrib = 0x00010102 // SCARD_ATTR_VENDOR_IFD_VERSION, 0xMMmmbbbb
	AttrVendorIFDSerial    Attrib = 0x00010103 // SCARD_ATTR_VENDOR_IFD_SERIAL_NO, text
	AttrChannelID          Attrib = 0x00020110 // SCARD_ATTR_CHANNEL_ID, 0xDDDDCCCC
	AttrAsyncProtocolTypes Attrib = 0x00030120 // SCARD_ATTR_ASYNC_PROTOCOL_TYPES, a Protocol
	AttrDefaultClock       Attrib = 0x00030121 // SCARD_ATTR_DEFAULT_CLK, kHz
	AttrMaxClock           Attrib = 0x00030122 // SCARD_ATTR_MAX_CLK, kHz
	AttrDefaultDataRate    Attrib = 0x00030123 // SCARD_ATTR_DEFAULT_DATA_RATE, bit/s
	AttrMaxDataRate        Attrib = 0x00030124 // SCARD_ATTR_MAX_DATA_RATE, bit/s
	AttrMaxIFSD            Attrib = 0x00030125 // SCARD_ATTR_MAX_IFSD, bytes
	AttrSyncProtocolTypes  Attrib = 0x00030126 // SCARD_ATTR_SYNC_PROTOCOL_TYPES
	AttrPowerManagement    Attrib = 0x00040131 // SCARD_ATTR_POWER_MGMT_SUPPORT
	AttrCharacteristics    Attrib = 0x00060150 // SCARD_ATTR_CHARACTERISTICS, Characteristic bits
	AttrMaxInput           Attrib = 0x0007A007 // SCARD_ATTR_MAXINPUT, bytes
	AttrCurrentProtocol    Attrib = 0x00080201 // SCARD_ATTR_CURRENT_PROTOCOL_TYPE, a Protocol
	AttrCurrentClock       Attrib = 0x00080202 // SCARD_ATTR_CURRENT_CLK, kHz
	AttrCurrentF           Attrib = 0x00080203 // SCARD_ATTR_CURRENT_F
	AttrCurrentD           Attrib = 0x00080204 // SCARD_ATTR_CURRENT_D
	AttrCurrentN           Attrib = 0x00080205 // SCARD_ATTR_CURRENT_N
	AttrCurrentW           Attrib = 0x00080206 // SCARD_ATTR_CURRENT_W
	AttrCurrentIFSC        Attrib = 0x00080207 // SCARD_ATTR_CURRENT_IFSC, bytes
	AttrCurrentIFSD        Attrib = 0x00080208 // SCARD_ATTR_CURRENT_IFSD, bytes
	AttrCurrentBWT         Attrib = 0x00080209 // SCARD_ATTR_CURRENT_BWT
	AttrCurrentCWT         Attrib = 0x0008020A // SCARD_ATTR_CURRENT_CWT
	AttrCurrentEBCEncoding Attrib = 0x0008020B // SCARD_ATTR_CURRENT_EBC_ENCODING: 0 LRC, 1 CRC
	AttrICCPresence        Attrib = 0x00090300 // SCARD_ATTR_ICC_PRESENCE, one byte, Presence
	AttrICCInterfaceStatus Attrib = 0x00090301 // SCARD_ATTR_ICC_INTERFACE_STATUS, one byte: 0 off
	AttrATRString          Attrib = 0x00090303 // SCARD_ATTR_ATR_STRING
	AttrICCTypePerATR      Attrib = 0x00090304 // SCARD_ATTR_ICC_TYPE_PER_ATR, one byte, ICCType
	AttrDeviceUnit         Attrib = 0x7FFF0001 // SCARD_ATTR_DEVICE_UNIT
	AttrFriendlyName       Attrib = 0x7FFF0003 // SCARD_ATTR_DEVICE_FRIENDLY_NAME_A, text with NUL
	AttrSystemName         Attrib = 0x7FFF0004 // SCARD_ATTR_DEVICE_SYSTEM_NAME_A, text with NUL
	// SCARD_ATTR_DEVICE_FRIENDLY_NAME_W, UTF-16LE with NUL
	AttrFriendlyNameW Attrib = 0x7FFF0005
	AttrSystemNameW   Attrib = 0x7FFF0006 // SCARD_ATTR_DEVICE_SYSTEM_NAME_W, UTF-16LE with NUL
)

// Values of AttrICCPresence (PC/SC part 3, 3.1.2).
const (
	PresenceAbsent    = 0
	PresencePresent   = 1 // present, and not swallowed
	PresenceSwallowed = 2 // present, and in position
)

// Bits of AttrCharacteristics (PC/SC part 3, 3.1.2).
const (
	CharacteristicEject   = 1 << 1
	CharacteristicCapture = 1 << 2
)

// ChannelUSB is the upper half of AttrChannelID for USB (PC/SC part 3, 3.1.2).
const ChannelUSB = 0x0020

// ICCTypeAsync is the value of AttrICCTypePerATR for asynchronous cards (PC/SC part 3, 3.1.2).
const ICCTypeAsync = 1
