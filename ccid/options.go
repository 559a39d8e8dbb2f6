package ccid

import "time"

// Options are the settings of a Reader. The zero value is valid.
type Options struct {
	// Unit ends the reader's name: "<Manufacturer> <Product> <Unit>".
	Unit int
	// Name replaces manufacturer and product in the reader's name.
	Name string
	// Escape is which escape commands Control sends to the reader.
	Escape EscapePolicy
	// FeatureOrder is the byte order of the control codes within the answer to
	// CM_IOCTL_GET_FEATURE_REQUEST.
	FeatureOrder ByteOrder
	// AllowOldFirmware opens readers whose firmware is known to be broken.
	AllowOldFirmware bool
	// Notifications makes Open start a goroutine that reads the interrupt endpoint until Close.
	// Without it State asks the reader each time.
	Notifications bool
	// CheckNotifications makes State and Connect read the interrupt endpoint for so long first, if
	// it is not read otherwise: with readers that power cards by themselves nothing else shows that
	// the card was replaced. Zero is not to read it.
	CheckNotifications time.Duration
	// Voltages is the order in which supply voltages are tried when the reader does not choose
	// itself. Empty is 5 V, 1.8 V, 3 V (policy).
	Voltages []Voltage
	// Timing replaces the waits that no standard fixes. Nil, and zero members, are the policy.
	Timing *Timing
}

// ByteOrder of a number within a part 10 structure.
type ByteOrder uint8

// BigEndian is the order of PC/SC part 10, 2.2, LittleEndian that of existing EFI programs, which
// read the codes in the machine's order.
const (
	LittleEndian ByteOrder = iota
	BigEndian
)

// EscapePolicy is which vendor commands a program may send to the reader's own firmware.
type EscapePolicy uint8

// The policies. EscapeListed allows single commands for single readers, those in the quirk table.
const (
	EscapeListed EscapePolicy = iota
	EscapeAlways
	EscapeNever
)

// Voltage is a supply voltage, with the value of bPowerSelect (CCID 1.1, 6.1.1).
type Voltage uint8

// The voltages. VoltageAuto leaves the choice to the reader.
const (
	VoltageAuto Voltage = 0
	Voltage5    Voltage = 1
	Voltage3    Voltage = 2
	Voltage1v8  Voltage = 3
)

// Timing has the waits that neither CCID nor ISO/IEC 7816-3 fixes. They are policy.
type Timing struct {
	// Write is the wait for a command to be transferred.
	Write time.Duration
	// Answer is the shortest wait for an answer; what follows from the card's parameters is longer.
	Answer time.Duration
	// Power is the wait for an answer to reset: three voltages of about 1 s each, and devices that
	// start up first.
	Power time.Duration
	// Escape is the wait for the answer to an escape command, Long that for a pseudo APDU that
	// prompts the user for a PIN.
	Escape, Long time.Duration
	// PIN is the shortest wait for the end of a PIN entry.
	PIN time.Duration
	// Abort is the wait for each step of the abort sequence.
	Abort time.Duration
	// Cancel is how long a call goes on after its context has ended, to bring the reader back in
	// step. A reader that needs longer is brought back in step before its next command.
	Cancel time.Duration
	// Open bounds Open, to which the waits are added that the quirk table has for a reader.
	Open time.Duration
	// Halt is how long an answer is still waited for after a stall was cleared.
	Halt time.Duration
	// Limit bounds one command with all its time extensions (but for a command whose own wait is
	// longer), and the waiting time extensions of a T=1 card within one APDU.
	Limit time.Duration
	// Busy is the pause before a command is repeated because the slot was busy, Poll that between
	// two status requests in WaitChange to a reader without notifications, PollICCD that between
	// two to an ICCD at work.
	Busy, Poll, PollICCD time.Duration
}

// policy has the values of Timing's zero members.
var policy = Timing{
	Write:    5 * time.Second,
	Answer:   3 * time.Second,
	Power:    30 * time.Second,
	Escape:   30 * time.Second,
	Long:     90 * time.Second,
	PIN:      90 * time.Second,
	Abort:    time.Second,
	Cancel:   100 * time.Millisecond,
	Open:     10 * time.Second,
	Halt:     time.Second,
	Limit:    5 * time.Minute,
	Busy:     10 * time.Millisecond,
	Poll:     250 * time.Millisecond,
	PollICCD: 2 * time.Millisecond,
}

// withPolicy fills the zero members of t.
func (t *Timing) withPolicy() Timing {
	if t == nil {
		return policy
	}
	filled := *t
	for _, f := range [...]struct{ into, from *time.Duration }{
		{&filled.Write, &policy.Write}, {&filled.Answer, &policy.Answer},
		{&filled.Power, &policy.Power},
		{&filled.Escape, &policy.Escape}, {&filled.Long, &policy.Long}, {&filled.PIN, &policy.PIN},
		{&filled.Abort, &policy.Abort}, {&filled.Cancel, &policy.Cancel},
		{&filled.Open, &policy.Open},
		{&filled.Halt, &policy.Halt}, {&filled.Limit, &policy.Limit},
		{&filled.Busy, &policy.Busy}, {&filled.Poll, &policy.Poll},
		{&filled.PollICCD, &policy.PollICCD},
	} {
		if *f.into <= 0 {
			*f.into = *f.from
		}
	}
	return filled
}
