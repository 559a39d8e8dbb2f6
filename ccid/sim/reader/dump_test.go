//go:build !tamago

package reader

import (
	"errors"
	"strings"
	"testing"

	"tamaccid/ccid/usb"
)

const printed = ` idVendor: 0x058F
  iManufacturer: Generic
 idProduct: 0x9540
  iProduct: EMV Smartcard Reader
 bcdDevice: 1.20 (firmware release?)
 bLength: 9
 bDescriptorType: 4
 bInterfaceNumber: 0
 bAlternateSetting: 0
 bNumEndpoints: 3
  bulk-IN, bulk-OUT and Interrupt-IN
 bInterfaceClass: 0x0B [Chip Card Interface Device Class (CCID)]
 bInterfaceSubClass: 0
 bInterfaceProtocol: 0
  bulk transfer, optional interrupt-IN (CCID)
 Can't get iInterface string
 CCID Class Descriptor
  bLength: 0x36
  bDescriptorType: 0x21
  bcdCCID: 1.10
  bMaxSlotIndex: 0x00
  bVoltageSupport: 0x07
   5.0V
  dwProtocols: 0x0000 0x0003
   T=0
   T=1
  dwDefaultClock: 3.700 MHz
  dwMaximumClock: 12.000 MHz
  bNumClockSupported: 1
   Support 3700 kHz
  dwDataRate: 9946 bps
  dwMaxDataRate: 318280 bps
  bNumDataRatesSupported: 2
   Support 9946 bps
   Support 318280 bps
  dwMaxIFSD: 254
  dwSynchProtocols: 0x00000000
  dwMechanical: 0x00000000
   No special characteristics
  dwFeatures: 0x000404BE
   ....02 Automatic parameter configuration based on ATR data
  dwMaxCCIDMessageLength: 271 bytes
  bClassGetResponse: 0xFF
   echoes the APDU class
  bClassEnvelope: 0xFF
   echoes the APDU class
  wLcdLayout: 0x0210
   2 lines
  bPINSupport: 0x03
  bMaxCCIDBusySlots: 1
`

func TestPrintedDescriptorToBytes(t *testing.T) {
	models, err := ParseDump(strings.NewReader(printed))
	if err != nil || len(models) != 1 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	m := models[0]
	if m.Vendor != 0x058F || m.Product != 0x9540 || m.Version != 0x0120 ||
		m.Manufacturer != "Generic" || m.ProductName != "EMV Smartcard Reader" {
		t.Errorf("identity %+v", m)
	}
	want := unhex(t, `36 21 10 01 00 07 03 00 00 00 74 0E 00 00 E0 2E 00 00 01 DA 26 00 00 48 DB 04 00 02
		FE 00 00 00 00 00 00 00 00 00 00 00 BE 04 04 00 0F 01 00 00 FF FF 10 02 03 01`)
	if got := m.Functions[0].CCID.Bytes(m.Functions[0].DescriptorType); string(got) != string(
		want) {
		t.Errorf("class descriptor % X\nexpected         % X", got, want)
	}
	if f := m.Functions[0]; len(f.Clocks) != 1 || f.Clocks[0] != 3700 || len(f.Rates) != 2 ||
		f.Rates[1] != 318280 {
		t.Errorf("clocks %v, rates %v", f.Clocks, f.Rates)
	}
}

func TestInvalidPrintedDescriptors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                   "",
		"another text":            "hello: world\n",
		"not a number":            " idVendor: 0x05ZZ\n",
		"an identity alone":       " idVendor: 0x058F\n idProduct: 0x9540\n",
		"protocols of one word":   strings.Replace(printed, "0x0000 0x0003", "0x0003", 1),
		"a version without a dot": strings.Replace(printed, "1.20", "120", 1),
		"a value too large": strings.Replace(printed, "dwMaxIFSD: 254",
			"dwMaxIFSD: 99999999999", 1),
		"a rate that is no number": strings.Replace(printed, "Support 9946", "Support x", 1),
		"a descriptor without a size": strings.Replace(printed,
			"  dwMaxCCIDMessageLength: 271 bytes\n", "", 1),
	} {
		if _, err := ParseDump(strings.NewReader(text)); !errors.Is(err, ErrDump) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseDump(f *testing.F) {
	f.Add(printed)
	f.Fuzz(func(t *testing.T, text string) {
		models, err := ParseDump(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, m := range models {
			if len(m.Functions) > 16 {
				continue
			}
			NewDevice(m).Control(usb.Setup{RequestType: usb.DirIn,
				Request: usb.RequestGetDescriptor, Value: usb.TypeConfiguration << 8, Length: 9},
				make([]byte, 9))
		}
	})
}
