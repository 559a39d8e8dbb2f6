package quirk

import (
	"time"

	"tamaccid/ccid/scard"
)

// Where a row's fact is on record: the file of libccid 1.8.2 that acts on it.
const (
	fromOpen     = "libccid 1.8.2, ccid.c"
	fromCommands = "libccid 1.8.2, commands.c"
	fromHandler  = "libccid 1.8.2, ifdhandler.c"
	fromUSB      = "libccid 1.8.2, ccid_usb.c"
)

// table has what single readers need. The rows were derived from the behaviour that is on record
// for libccid 1.8.2 and from its authors' reader reports. Rows whose reason does not exist in this
// driver are left out: empty packets (GemPC Twin), class descriptors after the last endpoint, and
// notifications from before the start are handled for every reader.
var table = []row{
	{
		vendor: 0x09BE, product: 0x0002, name: "MySmartPad", source: fromOpen,
		effect: "descriptor is shifted: dwMaxIFSD is 254, dwDefaultClock 4 MHz, dwProtocols T=0 " +
			"and T=1",
		set: func(q *Needs) {
			q.MaxIFSD, q.DefaultClock, q.Protocols = 254, 4000, scard.T0|scard.T1
		},
	},
	{
		vendor: 0x0B81, product: 0x0200, name: "id3 CL1356D", source: fromOpen,
		effect: "1 s before the first command; answers take up to 60 s",
		set:    func(q *Needs) { q.OpenWait, q.Answer = time.Second, time.Minute },
	},
	{
		vendor: 0x0B97, product: 0x7762, name: "O2Micro OZ776", source: fromHandler,
		effect: "9600 bit/s at most, no PPS, card's first protocol; character reads never end on " +
			"a packet boundary",
		set: oz776,
	},
	{
		vendor: 0x0B97, product: 0x7772, name: "O2Micro OZ776", source: fromHandler,
		effect: "9600 bit/s at most, no PPS, card's first protocol; character reads never end on " +
			"a packet boundary",
		set: oz776,
	},
	{
		vendor: 0x09D8, product: 0x0427, name: "Elatec TWN4", source: fromOpen,
		effect: "first answer after up to 30 s",
		set:    slowStart(30 * time.Second),
	},
	{
		vendor: 0x09D8, product: 0x0428, name: "Elatec TWN4", source: fromOpen,
		effect: "first answer after up to 30 s",
		set:    slowStart(30 * time.Second),
	},
	{
		vendor: 0x072F, product: 0x2200, name: "ACS ACR122U", source: fromOpen,
		effect: "first answer after up to 30 s",
		set:    slowStart(30 * time.Second),
	},
	{
		vendor: 0x04E6, product: 0x5293, name: "SCM SCL011", source: fromOpen,
		effect: "first answer after up to 12 s",
		set:    slowStart(12 * time.Second),
	},
	{
		vendor: 0x04E6, product: 0x5790, name: "Identiv uTrust 3700 F", source: fromOpen,
		effect: "every answer after up to 12 s",
		set:    slow(12 * time.Second),
	},
	{
		vendor: 0x04E6, product: 0x5791, name: "Identiv uTrust 3701 F", source: fromOpen,
		effect: "every answer after up to 12 s",
		set:    slow(12 * time.Second),
	},
	{
		vendor: 0x04E6, product: 0x5724, name: "Identiv uTrust 4701 F", source: fromOpen,
		effect: "every answer after up to 12 s",
		set:    slow(12 * time.Second),
	},
	{
		vendor: 0x058F, product: 0x9540, name: "Alcor Micro AU9540", source: fromHandler,
		effect: "200000 bit/s at most; where SetParameters for T=1 fails, two resets instead",
		set:    func(q *Needs) { q.MaxRate, q.ResetForT1 = 200000, true },
	},
	{
		vendor: 0x0529, product: 0x0620, from: 0x0012, to: 0x0013,
		name: "SafeNet eToken 5100", source: fromOpen,
		effect: "no IFSD negotiation",
		set:    func(q *Needs) { q.NoIFSD = true },
	},
	{
		vendor: 0x08E6, any: true, name: "Gemalto", source: fromOpen,
		effect: "feature block read by escape 6A where PIN entry is asked for; escape 02 " +
			"(firmware version) allowed",
		set: func(q *Needs) {
			q.Gemalto = true
			q.Escapes = append(q.Escapes, []byte{0x02})
		},
	},
	{
		vendor: 0x08E6, product: 0x4433, name: "Gemalto GemPC433", source: fromCommands,
		effect: "power-on error BB: escape 1F 01 (ISO mode), then once more",
		set:    func(q *Needs) { q.ISOMode = true },
	},
	{
		vendor: 0x046A, product: 0x0005, name: "Cherry XX33", source: fromCommands,
		effect: "power-on error BB: escape 1F 01 (ISO mode), then once more",
		set:    func(q *Needs) { q.ISOMode = true },
	},
	{
		vendor: 0x08E6, product: 0x34D2, name: "Thales Fusion NFC", source: fromHandler,
		effect: "5 min more for every T=1 block: keys are generated on the device",
		set:    func(q *Needs) { q.ExtraT1Wait = 5 * time.Minute },
	},
	{
		vendor: 0x08E6, product: 0x3480, to: 0x01FF,
		name: "Gemalto GemCore SIM Pro", source: fromHandler,
		effect: "GetSlotStatus does not report whether a card is there; other slots 125000 bit/s " +
			"at most",
		set: func(q *Needs) { q.StatusLies, q.SecondaryMaxRate = true, 125000 },
	},
	{
		vendor: 0x08E6, product: 0x3480, from: 0x0200,
		name: "Gemalto GemCore SIM Pro", source: fromHandler,
		effect: "other slots 125000 bit/s at most",
		set:    func(q *Needs) { q.SecondaryMaxRate = 125000 },
	},
	{
		vendor: 0x08E6, product: 0x3479, name: "Gemalto GemCore POS Pro", source: fromUSB,
		effect: "other slots 125000 bit/s at most",
		set:    func(q *Needs) { q.SecondaryMaxRate = 125000 },
	},
	{
		vendor: 0x08E6, product: 0x5503, name: "Gemalto Prox-DU", source: fromHandler,
		effect: "escape 52 F8 04 01 00 (interface switch) allowed",
		set: func(q *Needs) {
			q.Escapes = append(q.Escapes, []byte{0x52, 0xF8, 0x04, 0x01, 0x00})
		},
	},
	{
		vendor: 0x076B, product: 0x5427, name: "HID Omnikey 5427 CK", source: fromHandler,
		effect: "every escape command allowed",
		set:    func(q *Needs) { q.Escapes = append(q.Escapes, []byte{}) },
	},
	// Exchange levels that the descriptor gets wrong.
	{
		vendor: 0x076B, product: 0x3A21, name: "HID Aviator", source: fromOpen,
		effect: pinOffChains,
		set:    chainsNoPIN,
	},
	{
		vendor: 0x076B, product: 0x3031, name: "HID Omnikey 3x21", source: fromOpen,
		effect: pinOffChains,
		set:    chainsNoPIN,
	},
	{
		vendor: 0x076B, product: 0x6632, name: "HID Omnikey 6121", source: fromOpen,
		effect: pinOffChains,
		set:    chainsNoPIN,
	},
	{
		vendor: 0x046A, product: 0x00A7, name: "Cherry XX44 (076B:3031 inside)", source: fromOpen,
		effect: pinOffChains,
		set:    chainsNoPIN,
	},
	{
		vendor: 0x0BF8, product: 0x1024, name: "Fujitsu Keyboard D323", source: fromOpen,
		effect: pinOffChains,
		set:    chainsNoPIN,
	},
	{
		vendor: 0x0D46, product: 0x3010, name: "Kobil Tribank", source: fromOpen,
		effect: "short APDU level; MCT_READER_DIRECT",
		set:    func(q *Needs) { q.Level = LevelShortAPDU; q.MCT = true },
	},
	{
		vendor: 0x0D46, product: 0x4289, name: "Kobil mIDentity visual", source: fromHandler,
		effect: "MCT_READER_DIRECT",
		set:    func(q *Needs) { q.MCT = true },
	},
	{
		vendor: 0x0D46, product: 0x301D, name: "Kobil IDToken", source: fromHandler,
		effect: "pseudo APDUs FF 9A 01 01, 03, 06, 07 are answered by the driver",
		set:    func(q *Needs) { q.IDToken = true },
	},
	{
		vendor: 0x2F7C, product: 0x6007, name: "Diebold Nixdorf PN7362AU", source: fromOpen,
		effect: "extended APDU level: long answers are chained",
		set:    func(q *Needs) { q.Level = LevelExtendedAPDU },
	},
	{
		vendor: 0x046A, product: 0x00A1, from: 0x0100, to: 0x0100,
		name: "Cherry KC 1000 SC", source: fromOpen,
		effect: "extended APDU level: answers from 128 bytes on are chained; PIN of 0 to 32 " +
			"digits; modification with message count FF for 0",
		set: func(q *Needs) {
			q.Level = LevelExtendedAPDU
			q.PIN.sizes(0, 32)
			q.PIN.ZeroIsFF = true
		},
	},
	// PIN entry.
	{
		vendor: 0x03F0, product: 0x1024, name: "HP smart card keyboard", source: fromOpen,
		effect: pinLeaks,
		set:    noPIN,
	},
	{
		vendor: 0x03F0, product: 0x0036, name: "HP CCID keyboard", source: fromOpen,
		effect: pinLeaks,
		set:    noPIN,
	},
	{
		vendor: 0x0BF8, product: 0x1017, name: "Fujitsu keyboard", source: fromOpen,
		effect: pinLeaks,
		set:    noPIN,
	},
	{
		vendor: 0x04F2, product: 0x1469, name: "Chicony keyboard", source: fromOpen,
		effect: pinLeaks,
		set:    noPIN,
	},
	{
		vendor: 0x0783, product: 0x0006, name: "C3PO LTC31 v2", source: fromOpen,
		effect: "has no PIN pad",
		set:    noPIN,
	},
	{
		vendor: 0x25DD, product: 0x3111, name: "bit4id miniLector", source: fromOpen,
		effect: "has no PIN pad",
		set:    noPIN,
	},
	{
		vendor: 0x0982, product: 0x0008, name: "Covadis Vega-Alpha", source: fromCommands,
		effect: "1 s before the first command; verification with one message; condition 2; PIN " +
			"of 4 to 8 digits",
		set: func(q *Needs) { gemPinpad(q); q.PIN.sizes(4, 8) },
	},
	{
		vendor: 0x08E6, product: 0x3478, name: "Gemalto GemPC Pinpad", source: fromCommands,
		effect: "1 s before the first command; verification with one message; condition 2",
		set:    gemPinpad,
	},
	{
		vendor: 0x08E6, product: 0x3478, from: 0x0100, to: 0x0100,
		name: "Gemalto GemPC Pinpad 1.00", source: fromHandler,
		effect: "PIN of 4 to 8 digits",
		set:    func(q *Needs) { q.PIN.sizes(4, 8) },
	},
	{
		vendor: 0x413C, product: 0x2101, name: "Dell smart card keyboard", source: fromCommands,
		effect: "verification without messages, 250 ms after the Enter key",
		set:    func(q *Needs) { q.PIN.VerifyMessages, q.PIN.EnterWait = 0, 250*time.Millisecond },
	},
	{
		vendor: 0x413C, product: 0x2100, name: "Dell SK-3106", source: fromCommands,
		effect: "verification without messages, 250 ms after the Enter key; PIN sizes swapped",
		set: func(q *Needs) {
			q.PIN.VerifyMessages, q.PIN.EnterWait, q.PIN.SwapSizes = 0, 250*time.Millisecond, true
		},
	},
	{
		vendor: 0x04E6, product: 0xE003, name: "SCM SPR532", source: fromCommands,
		effect: "escape 80 02 00 before a verification without data; modification without messages",
		set: func(q *Needs) {
			q.PIN.Case1Escape = []byte{0x80, 0x02, 0x00}
			q.PIN.ModifyMessages, q.PIN.ModifyNoIndices = 0, true
		},
	},
	{
		vendor: 0x046A, product: 0x003E, name: "Cherry SmartTerminal ST-2000", source: fromCommands,
		effect: "modification without messages; condition 2; PIN of 0 to 25 digits",
		set: func(q *Needs) {
			q.PIN.ModifyMessages, q.PIN.ModifyNoIndices, q.PIN.Condition = 0, true,
				scard.ValidationEnter
			q.PIN.sizes(0, 25)
		},
	},
	{
		vendor: 0x046A, product: 0x0010, name: "Cherry XX44", source: fromCommands,
		effect: "modification with three messages",
		set:    func(q *Needs) { q.PIN.ModifyMessages = 3 },
	},
	{
		vendor: 0x076B, product: 0x3821, name: "HID Omnikey 3821", source: fromHandler,
		effect: "PIN of 1 to 31 digits",
		set:    func(q *Needs) { q.PIN.sizes(1, 31) },
	},
}

const (
	pinOffChains = "has no PIN pad; extended APDU level: the firmware chains"
	pinLeaks     = "PIN entry off: the digits reach the host"
)

func noPIN(q *Needs)       { q.PIN.Off = true }
func chainsNoPIN(q *Needs) { q.PIN.Off = true; q.Level = LevelExtendedAPDU }
func oz776(q *Needs)       { q.MaxRate, q.NoPPS, q.SplitReads = 9600, true, true }

func gemPinpad(q *Needs) {
	q.OpenWait = time.Second
	q.PIN.VerifyMessages, q.PIN.Condition = 1, scard.ValidationEnter
}

func slowStart(d time.Duration) func(*Needs) { return func(q *Needs) { q.FirstStatus = d } }
func slow(d time.Duration) func(*Needs) {
	return func(q *Needs) { q.FirstStatus, q.Answer = d, d }
}

func (p *PIN) sizes(least, most uint8) { p.Min, p.Max, p.HasSize = least, most, true }

// oldFirmware are the readers that are refused below a version (bcdDevice), as libccid 1.8.2 has
// them on record.
var oldFirmware = []struct {
	vendor, product, below uint16
	name                   string
}{
	{0x04E6, 0xE001, 0x0516, "SCR331"},
	{0x04E6, 0x5111, 0x0620, "SCR331-DI"},
	{0x04E6, 0x5291, 0x0112, "SCL010"},
	{0x04E6, 0xE003, 0x0510, "SPR532"},
	{0x0D46, 0x3001, 0x0037, "KAAN Base"},
	{0x0D46, 0x3002, 0x0037, "KAAN Advanced"},
	{0x09C3, 0x0008, 0x0203, "ActivCard V2"},
	{0x0DC3, 0x1004, 0x0502, "ASE IIIe"},
	{0x0DC3, 0x1102, 0x0607, "ASE IIIe KB"},
	{0x058F, 0x9520, 0x0102, "Alcor Micro AU9520"},
	{0x072F, 0x2200, 0x0206, "ACR122U"},
	{0x08C3, 0x0402, 0x5000, "Precise Biometrics 200 MC"},
	{0x08C3, 0x0401, 0x5000, "Precise Biometrics 250 MC"},
	{0x0B0C, 0x0050, 0x0101, "Todos Argos Mini II"},
	{0x0DC3, 0x0900, 0x0200, "Athena IDProtect"},
	{0x03F0, 0x0036, 0x0124, "HP CCID keyboard"},
	{0x062D, 0x0001, 0x0102, "THRC reader"},
}
