//go:build !tamago

package driver

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

const hostile = "a\u009b2Jb\u202ec\ufeffd\u2028e\x1b[31mf\r\n"

// messages are what is printed until the test ends.
func messages(t *testing.T) *[]string {
	lines := new([]string)
	before := output
	output = func(line string) { *lines = append(*lines, line) }
	t.Cleanup(func() { output = before })
	return lines
}

// shown fails the test when a line is not fit to be shown.
func shown(t *testing.T, line string) {
	t.Helper()
	text, ended := strings.CutSuffix(line, "\n")
	if !ended || !strings.HasPrefix(line, "smart card reader: ") ||
		len(line) > maxMessage+len("smart card reader: \n") || !utf8.ValidString(line) {
		t.Errorf("%d bytes: %q", len(line), line)
	}
	for _, r := range text {
		if !usb.Printable(r) {
			t.Fatalf("%U in %q", r, line)
		}
	}
}

func TestAMessageIsOneBoundedLine(t *testing.T) {
	lines := messages(t)
	printMessage("%s", hostile)
	printMessage("%v", errors.New(strings.Repeat(hostile, 5000)))
	printMessage("%s", strings.Repeat("漢", 60<<10))
	if len(*lines) != 3 {
		t.Fatalf("%d messages", len(*lines))
	}
	for _, line := range *lines {
		shown(t, line)
	}
}

func TestUnknownLoadOptionsAreNamedInOneBoundedLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"one", "usb=direct speed=high", `"speed=high"`},
		{"several", "a b", `"a b"`},
		{"as long as is shown", strings.Repeat("x", maxQuoted),
			`"` + strings.Repeat("x", maxQuoted) + `"`},
		{"one longer", strings.Repeat("x", maxQuoted+1),
			`"` + strings.Repeat("x", maxQuoted) + `"...`},
		{"60 KB in one word", strings.Repeat("x", 60<<10),
			`"` + strings.Repeat("x", maxQuoted) + `"...`},
		{"60 KB in many words", strings.Repeat("x ", 30<<10),
			`"` + strings.TrimSpace(strings.Repeat("x ", maxQuoted/2)) + `"...`},
		{"characters that steer a terminal", `"` + hostile + `"`, `"a 2Jb c d e [31mf"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, unknown := parseOptions(c.text)
			if got := quoted(unknown); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestTheNameOfADeviceThatIsNoReader(t *testing.T) {
	descriptor := make([]byte, 18)
	descriptor[0], descriptor[1] = 18, usb.TypeDevice
	copy(descriptor[8:], []byte{0x34, 0x12, 0x78, 0x56})
	for _, c := range []struct{ name, maker, product, want string }{
		{"its product", "Maker", "Keyboard", "Keyboard"},
		{"its maker", "Maker", "", "Maker"},
		{"its numbers", "", "", "1234:5678"},
		{"characters that steer a terminal", "", hostile, "a 2Jb c d e [31mf"},
		{"nothing but such characters", "Maker", "\u202e\u009b", "Maker"},
		{"a long one", "", strings.Repeat("x", 126), strings.Repeat("x", maxTitle)},
	} {
		if got := title(&usb.Device{Descriptor: descriptor, Manufacturer: c.maker,
			Product: c.product}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAComplaintIsPrintedOnce(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(2), 0)
	lines := messages(t)
	start := func(want uefi.Status, count int) {
		t.Helper()
		for range 3 { // firmware tries again whenever something is connected
			if st := d.startOn(u.Handle); st != want && st != uefi.AlreadyStarted {
				t.Errorf("status %v", st)
			}
		}
		if len(*lines) != count {
			t.Errorf("%d messages, want %d: %q", len(*lines), count, *lines)
		}
	}
	refuse := func(st uefi.Status) {
		fw.Refuse = uefitest.Only("install", st, uefi.DevicePathGUID)
	}
	refuse(uefi.OutOfResources)
	start(uefi.OutOfResources, 1)
	refuse(uefi.InvalidParameter)
	start(uefi.DeviceError, 2) // another reason
	fw.Refuse = nil
	start(uefi.Success, 2)
	must(t, d.stopOn(u.Handle, d.slots(u.Handle)[1]))
	for round := range 2 {
		u.PollStatus = uefi.DeviceError
		for range 3 {
			if st := d.stopOn(u.Handle); st != uefi.DeviceError {
				t.Errorf("Stop: %v", st)
			}
		}
		if len(*lines) != 3+round { // Stop has succeeded in between
			t.Errorf("round %d: %d messages: %q", round, len(*lines), *lines)
		}
		u.PollStatus = uefi.Success
		check(t, d.stopOn(u.Handle))
		start(uefi.Success, 3+round)
		check(t, d.stopOn(u.Handle, d.slots(u.Handle)[1]))
	}
	check(t, d.stopOn(u.Handle))
	u.device.Unplug()
	start(uefi.DeviceError, 5)
	for _, line := range *lines {
		shown(t, line)
	}
}

func TestComplaintsAreBounded(t *testing.T) {
	_, d := newDriver(t)
	messages(t)
	for h := range uefi.Handle(10 * maxPrinted) {
		d.printOnce(h, errors.New("injected"))
	}
	if n := len(d.printed); n > maxPrinted {
		t.Errorf("%d printed are kept", n)
	}
}
