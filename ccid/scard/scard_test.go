package scard

import (
	"math/bits"
	"testing"
)

// TestNumbers compares with UEFI 2.11, 37.6.2, 37.6.4 and 37.6.6 (SCARD_CA_, SCARD_PROTOCOL_,
// states) and with winscard.h.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uint32
	}{
		{"SCARD_CA_NORESET", uint32(Leave), 0},
		{"SCARD_CA_COLDRESET", uint32(ColdReset), 1},
		{"SCARD_CA_WARMRESET", uint32(WarmReset), 2},
		{"SCARD_CA_UNPOWER", uint32(Unpower), 3},
		{"SCARD_CA_EJECT", uint32(Eject), 4},
		{"SCARD_PROTOCOL_UNDEFINED", uint32(Undefined), 0},
		{"SCARD_PROTOCOL_T0", uint32(T0), 1},
		{"SCARD_PROTOCOL_T1", uint32(T1), 2},
		{"SCARD_PROTOCOL_RAW", uint32(Raw), 4},
		{"SCARD_UNKNOWN", uint32(Unknown), 0},
		{"SCARD_ABSENT", uint32(Absent), 1},
		{"SCARD_INACTIVE", uint32(Inactive), 2},
		{"SCARD_ACTIVE", uint32(Active), 3},
		{"SCARD_LEAVE_CARD", uint32(LeaveCard), 0},
		{"SCARD_RESET_CARD", uint32(ResetCard), 1},
		{"SCARD_UNPOWER_CARD", uint32(UnpowerCard), 2},
		{"SCARD_EJECT_CARD", uint32(EjectCard), 3},
		{"SCARD_ATTR_VENDOR_NAME", uint32(AttrVendorName), 1<<16 | 0x0100},
		{"SCARD_ATTR_CHANNEL_ID", uint32(AttrChannelID), 2<<16 | 0x0110},
		{"SCARD_ATTR_MAXINPUT", uint32(AttrMaxInput), 7<<16 | 0xA007},
		{"SCARD_ATTR_CURRENT_PROTOCOL_TYPE", uint32(AttrCurrentProtocol), 8<<16 | 0x0201},
		{"SCARD_ATTR_ICC_PRESENCE", uint32(AttrICCPresence), 9<<16 | 0x0300},
		{"SCARD_ATTR_ATR_STRING", uint32(AttrATRString), 9<<16 | 0x0303},
		{"SCARD_ATTR_DEVICE_SYSTEM_NAME_W", uint32(AttrSystemNameW), 0x7FFF<<16 | 6},
		{"CM_IOCTL_GET_FEATURE_REQUEST", GetFeatureRequest, 0x42000D48},
		{"SCARD_CTL_CODE(1)", ControlCode(1), 0x42000001},
		{"SCARD_CTL_CODE(3400)", ControlCode(3400), GetFeatureRequest},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, c.got, c.want)
		}
	}
}

func TestDispositions(t *testing.T) {
	for _, c := range []struct {
		d                   Disposition
		connect, disconnect Action
	}{
		{LeaveCard, Leave, Leave},
		{ResetCard, WarmReset, WarmReset},
		{UnpowerCard, ColdReset, Unpower},
		{EjectCard, ColdReset, Eject},
	} {
		if got := c.d.AtConnect(); got != c.connect {
			t.Errorf("disposition %d at connection: %d, want %d", c.d, got, c.connect)
		}
		if got := c.d.AtDisconnect(); got != c.disconnect {
			t.Errorf("disposition %d at disconnection: %d, want %d", c.d, got, c.disconnect)
		}
	}
}

func TestHostOrder(t *testing.T) {
	for _, code := range []uint32{GetFeatureRequest, GetFeatureRequestWindows, 0x42330006,
		0x42000001} {
		if a, b := HostOrder(code), HostOrder(bits.ReverseBytes32(code)); a != code || b != code {
			t.Errorf("%#08x: %#08x, turned %#08x", code, a, b)
		}
	}
	if got := HostOrder(0x12345678); got != 0x12345678 {
		t.Errorf("a number that is no control code: %#08x", got)
	}
}
