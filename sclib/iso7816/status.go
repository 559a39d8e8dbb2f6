package iso7816

import "strconv"

// A StatusWord is SW1 SW2, the last two bytes of each response APDU (ISO/IEC 7816-4:2013, 5.6). It
// is the error of a command that the card refused.
type StatusWord uint16

// Status words for comparisons (ISO/IEC 7816-4:2013, tables 5 and 6).
const (
	SWSuccess               StatusWord = 0x9000
	SWFileInvalidated       StatusWord = 0x6283
	SWVerificationFailed    StatusWord = 0x6300
	SWMemoryFailure         StatusWord = 0x6581
	SWWrongLength           StatusWord = 0x6700
	SWSecurityStatus        StatusWord = 0x6982
	SWAuthenticationBlocked StatusWord = 0x6983
	SWConditions            StatusWord = 0x6985
	SWWrongData             StatusWord = 0x6A80
	SWFunctionNotSupported  StatusWord = 0x6A81
	SWNotFound              StatusWord = 0x6A82
	SWRecordNotFound        StatusWord = 0x6A83
	SWWrongP1P2             StatusWord = 0x6A86
	SWReferenceNotFound     StatusWord = 0x6A88
	SWWrongOffset           StatusWord = 0x6B00
	SWInstruction           StatusWord = 0x6D00
	SWClass                 StatusWord = 0x6E00
	SWUnknown               StatusWord = 0x6F00
)

// SW1 returns the first byte, the category of the status.
func (sw StatusWord) SW1() byte { return byte(sw >> 8) }

// SW2 returns the second byte, the details of the status.
func (sw StatusWord) SW2() byte { return byte(sw) }

// OK reports normal processing: 90 00, or 61 xx if more data is available.
func (sw StatusWord) OK() bool { return sw == SWSuccess || sw.SW1() == 0x61 }

// Warning reports warning processing: 62 xx or 63 xx. The card executed the command.
func (sw StatusWord) Warning() bool { return sw.SW1() == 0x62 || sw.SW1() == 0x63 }

// TriesLeft returns the counter of 63 Cx, the number of PIN verifications that are left.
func (sw StatusWord) TriesLeft() (tries int, ok bool) {
	if sw&0xFFF0 != 0x63C0 {
		return 0, false
	}
	return int(sw & 0x0F), true
}

// String returns the two bytes in hexadecimal: "90 00".
func (sw StatusWord) String() string {
	const digits = "0123456789ABCDEF"
	return string([]byte{digits[sw>>12], digits[sw>>8&15], ' ', digits[sw>>4&15], digits[sw&15]})
}

// Error returns the two bytes and their description.
func (sw StatusWord) Error() string { return "status " + sw.String() + ": " + sw.Text() }

// Text returns a description of the status word (ISO/IEC 7816-4:2013, tables 5 and 6).
func (sw StatusWord) Text() string {
	if text, ok := exact[sw]; ok {
		return text
	}
	if tries, ok := sw.TriesLeft(); ok {
		if tries == 1 {
			return "verification failed, 1 try left"
		}
		return "verification failed, " + strconv.Itoa(tries) + " tries left"
	}
	switch sw.SW1() {
	case 0x61:
		return strconv.Itoa(count(sw.SW2())) + " more bytes available"
	case 0x6C:
		return "wrong expected length, " + strconv.Itoa(count(sw.SW2())) + " bytes available"
	}
	if text, ok := kinds[sw.SW1()]; ok {
		return text
	}
	return "not a status of ISO/IEC 7816-4"
}

// count returns the length in SW2. 0 means 256.
func count(sw2 byte) int {
	if sw2 == 0 {
		return MaxShortNe
	}
	return int(sw2)
}

// kinds has the descriptions of SW1 (ISO/IEC 7816-4:2013, table 5).
var kinds = map[byte]string{
	0x62: "warning, card state unchanged",
	0x63: "warning, card state changed",
	0x64: "execution error, card state unchanged",
	0x65: "execution error, card state changed",
	0x66: "execution error, security related",
	0x67: "wrong length",
	0x68: "function of the class byte not supported",
	0x69: "command not allowed",
	0x6A: "wrong parameters",
	0x6B: "wrong parameters P1 P2",
	0x6D: "instruction not supported or invalid",
	0x6E: "class not supported",
	0x6F: "no precise diagnosis",
}

// exact has the descriptions of both bytes (ISO/IEC 7816-4:2013, table 6).
var exact = map[StatusWord]string{
	SWSuccess:               "success",
	0x6281:                  "part of the returned data may be corrupted",
	0x6282:                  "end of file or record reached before the expected length",
	SWFileInvalidated:       "the selected file is deactivated",
	0x6284:                  "file control information is badly formatted",
	0x6285:                  "the selected file is terminated",
	0x6286:                  "no input data from a sensor on the card",
	SWVerificationFailed:    "verification failed",
	0x6381:                  "file filled up by the last write",
	0x6401:                  "the card needs an immediate response",
	SWMemoryFailure:         "memory failure",
	SWWrongLength:           "wrong length",
	0x6881:                  "logical channel not supported",
	0x6882:                  "secure messaging not supported",
	0x6883:                  "last command of the chain expected",
	0x6884:                  "command chaining not supported",
	0x6981:                  "command incompatible with the file structure",
	SWSecurityStatus:        "security status not satisfied",
	SWAuthenticationBlocked: "authentication method blocked",
	0x6984:                  "reference data not usable",
	SWConditions:            "conditions of use not satisfied",
	0x6986:                  "command not allowed, no current file",
	0x6987:                  "secure messaging data objects missing",
	0x6988:                  "secure messaging data objects incorrect",
	SWWrongData:             "wrong data",
	SWFunctionNotSupported:  "function not supported",
	SWNotFound:              "file or application not found",
	SWRecordNotFound:        "record not found",
	0x6A84:                  "not enough memory in the file",
	0x6A85:                  "length inconsistent with the TLV structure",
	SWWrongP1P2:             "wrong parameters P1 P2",
	0x6A87:                  "length inconsistent with P1 P2",
	SWReferenceNotFound:     "referenced data not found",
	0x6A89:                  "file exists already",
	0x6A8A:                  "application name exists already",
}
