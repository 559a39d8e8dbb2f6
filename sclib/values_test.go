package sclib_test

import (
	"testing"

	"tamaccid/sclib"
)

func TestProtocolsAndStatesInWords(t *testing.T) {
	protocols := map[sclib.Protocol]string{
		sclib.ProtocolUndefined:                  "undefined",
		sclib.ProtocolT0:                         "T=0",
		sclib.ProtocolAny:                        "T=0 or T=1",
		sclib.ProtocolAny | sclib.ProtocolRaw:    "T=0 or T=1 or raw",
		sclib.Protocol(0x80000000):               "undefined",
		sclib.ProtocolT1 | sclib.Protocol(1<<20): "T=1",
	}
	for protocol, want := range protocols {
		if got := protocol.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint32(protocol), got, want)
		}
	}
	states := map[sclib.CardState]string{
		0:                                       "unknown",
		sclib.CardUnknown:                       "unknown",
		sclib.CardAbsent:                        "no card",
		sclib.CardPresent:                       "card present",
		sclib.CardPresent | sclib.CardSwallowed: "card present",
		sclib.CardPresent | sclib.CardPowered | sclib.CardNegotiable: "card present and powered",
		sclib.CardPresent | sclib.CardPowered | sclib.CardSpecific:   "card present and ready",
	}
	for state, want := range states {
		if got := state.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint32(state), got, want)
		}
	}
}

func TestErrorsInWords(t *testing.T) {
	if got := sclib.ErrRemovedCard.Error(); got != "the card was removed" {
		t.Error(got)
	}
	if got := sclib.Error(0x80100099).Error(); got != "PC/SC error 0x80100099" {
		t.Error(got)
	}
}

// TestNumbers compares with winscard.h, as published by Microsoft, and pcsc-lite's pcsclite.h and
// reader.h.
func TestNumbers(t *testing.T) {
	numbers := []struct {
		name      string
		got, want uint32
	}{
		{"SCARD_E_INSUFFICIENT_BUFFER", uint32(sclib.ErrInsufficientBuffer), 0x80100008},
		{"SCARD_E_SHARING_VIOLATION", uint32(sclib.ErrSharing), 0x8010000B},
		{"SCARD_E_NO_SMARTCARD", uint32(sclib.ErrNoCard), 0x8010000C},
		{"SCARD_E_PROTO_MISMATCH", uint32(sclib.ErrProtocolMismatch), 0x8010000F},
		{"SCARD_E_READER_UNAVAILABLE", uint32(sclib.ErrReaderUnavailable), 0x80100017},
		{"SCARD_E_NO_READERS_AVAILABLE", uint32(sclib.ErrNoReaders), 0x8010002E},
		{"SCARD_W_REMOVED_CARD", uint32(sclib.ErrRemovedCard), 0x80100069},
		{"SCARD_W_WRONG_CHV", uint32(sclib.ErrWrongCHV), 0x8010006B},
		{"SCARD_W_CHV_BLOCKED", uint32(sclib.ErrCHVBlocked), 0x8010006C},
		{"SCARD_W_EOF", uint32(sclib.ErrEOF), 0x8010006D},
		{"SCARD_W_CANCELLED_BY_USER", uint32(sclib.ErrCanceledByUser), 0x8010006E},
		{"SCARD_W_CARD_NOT_AUTHENTICATED", uint32(sclib.ErrCardNotAuthenticated), 0x8010006F},
		{"SCARD_STATE_ATRMATCH", uint32(sclib.StateATRMatch), 0x0040},
		{"SCARD_STATE_MUTE", uint32(sclib.StateMute), 0x0200},
		{"SCARD_STATE_UNPOWERED", uint32(sclib.StateUnpowered), 0x0400},
		{"CM_IOCTL_GET_FEATURE_REQUEST", sclib.CMIoctlGetFeatureRequest, 0x42000D48},
		{"SCARD_CTL_CODE(1)", sclib.CtlCode(1), 0x42000001},
		{"SCARD_CTL_CODE(3400)", sclib.CtlCode(3400), sclib.CMIoctlGetFeatureRequest},
		{"longest extended command", sclib.MaxCommand, 65544},
	}
	for _, number := range numbers {
		if number.got != number.want {
			t.Errorf("%s is %#x, want %#x", number.name, number.got, number.want)
		}
	}
}
