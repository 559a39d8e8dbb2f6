//go:build linux && !tamago

package efitest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/vscard"
)

// pinReaders are readers that differ in the buffers that a PIN passes through.
var pinReaders = []fleetReader{
	{name: "TPDU level, T=0", kind: "tpdu", cards: []string{"t0"}},
	{name: "TPDU level, T=1", kind: "tpdu", cards: []string{"t1"}},
	{name: "extended APDU level, high speed", kind: "high-speed", cards: []string{"t1"}},
	{name: "several slots at a time", kind: "slots", cards: []string{"t1", "t0", "t1", "t0"}},
	{name: "character level, T=1", kind: "character", cards: []string{"t1"}},
	{name: "extended APDU level, messages of 64 bytes", kind: "tiny-messages",
		cards: []string{"t1"}},
	{name: "ICCD version A", kind: "iccd-a", cards: []string{"t0"}},
	{name: "ICCD version B", kind: "iccd-b", cards: []string{"t1"}},
}

// Readers that each have a case of their own, plugged in after pinReaders.
const (
	keypadT0 = iota
	keypadT1
	unplugged
)

var pinOthers = []fleetReader{
	keypadT0:  {kind: "pinpad", cards: []string{"t0"}},
	keypadT1:  {kind: "pinpad", cards: []string{"t1"}},
	unplugged: {kind: "tpdu", cards: []string{"t1"}},
}

// pinWork is how long a card takes for a PIN: some ticks of the firmware's timer, whose interrupt
// saves registers.
const pinWork = 100 * time.Millisecond

// pinCard accepts every PIN and returns it on request.
func pinCard(atr []byte) *card.Chip {
	return card.New(card.Options{ATR: atr, Applets: []card.Applet{&card.PIN{Always: true,
		Work: pinWork}}})
}

// secret is a random PIN.
func secret(t *testing.T, n int) []byte {
	t.Helper()
	pin := make([]byte, n)
	_, err := rand.Read(pin)
	must(t, err)
	return pin
}

// masked is a PIN as the program expects it on its command line.
func masked(pin []byte) string {
	b := make([]byte, len(pin))
	for i := range pin {
		b[i] = pin[i] ^ 0xA5
	}
	return fmt.Sprintf("%x", b)
}

// searched runs the program and searches memory for the secrets whenever the program waits. They
// may be in its buffers only, in the number that is given for each wait. It returns what the
// program printed.
func searched(t *testing.T, c *harness.Case, line string, held []int, secrets ...[]byte) string {
	t.Helper()
	command := c.Background(line)
	for _, want := range held {
		m := c.Expect(command,
			`(?s)buffer (0x[0-9a-f]+) (\d+)\s+buffer (0x[0-9a-f]+) (\d+)\s+ready`)
		traces, err := c.Machine.FindInMemory(c.Ctx, secrets...)
		must(t, err)
		var in [2]bool
		for _, trace := range traces {
			ours := false
			for i := range in {
				start, err := strconv.ParseUint(m[1+2*i], 0, 64)
				must(t, err)
				size, err := strconv.ParseUint(m[2+2*i], 0, 64)
				must(t, err)
				if trace.Address >= start && trace.End() <= start+size {
					ours, in[i] = true, true
				}
			}
			if !ours {
				t.Errorf("a copy at %v", trace)
			}
		}
		found := 0
		for _, is := range in {
			if is {
				found++
			}
		}
		if found != want {
			t.Errorf("the secret is in %d of the program's buffers, not in %d", found, want)
		}
		must(t, c.Machine.Console.Send(c.Ctx, "\r"))
	}
	return c.Wait(command).Output
}

// TestPINIsInItsOwnersBuffersOnly searches the machine's memory after VERIFY.
func TestPINIsInItsOwnersBuffersOnly(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name, load string
		dies       int // the reader at which the driver meets its end
	}{
		{"through firmware's USB stack", loader + " " + faultImage + " usb=firmware", 1},
		{"on a controller of our own", loader + " " + faultImage + " usb=direct", 2},
	} {
		t.Run(mode.name, func(t *testing.T) {
			all := append(append([]fleetReader(nil), pinReaders...), pinOthers...)
			args, devices := launch(t, all)
			for i, d := range devices {
				for slot := range d.Reader(0).Slots() {
					atr := card.ATRT0
					if all[i].cards[slot] == "t1" {
						atr = card.ATRT1
					}
					d.Reader(0).Remove(slot)
					d.Reader(0).Insert(slot, pinCard(atr))
				}
			}
			own := func(ctx context.Context, conn io.ReadWriteCloser) error {
				return vscard.NewSlot(pinCard(card.ATRT0)).Serve(ctx, conn)
			}
			s := harness.NewSuite(t, harness.Config{Volume: volume, Reader: true, Card: own,
				Args: args})
			s.Boot = booting(mode.load)
			verify := func(name, product string) {
				s.Run(name, 60*time.Second, func(t *testing.T, c *harness.Case) {
					long, short := secret(t, 48), secret(t, 8)
					line := fmt.Sprintf("pin.efi %s verify %s %s", product, masked(long),
						masked(short))
					out := searched(t, c, line, []int{1, 2, 1, 2}, long, short)
					for _, want := range []string{"verify: 90 00, <nil>",
						"read back: 50 bytes, <nil>", "read back: 10 bytes, <nil>"} {
						if !strings.Contains(out, want) {
							t.Errorf("no %q in\n%s", want, out)
						}
					}
				})
			}
			fails := func(name, product, way string, before func()) {
				s.Run(name, 2*time.Minute, func(t *testing.T, c *harness.Case) {
					if before != nil {
						before()
					}
					pin := secret(t, 48)
					out := searched(t, c, fmt.Sprintf("pin.efi %s %s %s", product, way,
						masked(pin)), []int{1}, pin)
					if !strings.Contains(out, "verify: , smartcard: ") {
						t.Errorf("no error in\n%s", out)
					}
				})
			}
			verify("QEMU's own reader", "QEMU")
			for i, v := range pinReaders {
				verify(v.name, v.product(i))
			}
			for i, v := range pinReaders {
				fails(v.name+", a panic", v.product(i), "panic", nil)
			}
			at := func(other int) (product string, d *reader.Device) {
				i := len(pinReaders) + other
				return all[i].product(i), devices[i]
			}
			for name, other := range map[string]int{"keypad, T=0": keypadT0,
				"keypad, T=1": keypadT1} {
				s.Run(name, 60*time.Second, func(t *testing.T, c *harness.Case) {
					product, d := at(other)
					data := secret(t, 48)
					answer := append(append([]byte(nil), data...), 0x90, 0x00)
					if other == keypadT1 { // an I-block, the first of the card
						answer = card.AppendEDC(append([]byte{0, 0, byte(len(answer))}, answer...),
							false)
					}
					const secure = 0x69 // PC_to_RDR_Secure (CCID 1.1, 6.1.11)
					d.Inject(reader.Fault{At: reader.AtAnswer, Command: secure,
						Do: []reader.Action{reader.Payload(answer)}})
					out := searched(t, c, fmt.Sprintf("pin.efi %s secure", product), []int{1}, data)
					if !strings.Contains(out, "secure: 50 bytes, <nil>") {
						t.Errorf("no answer in\n%s", out)
					}
				})
			}
			product, d := at(unplugged)
			fails("unplugged in the middle", product, "unplug", func() {
				// PC_to_RDR_XfrBlock; INS after ten bytes of header, three of prologue, and CLA.
				const block, verifying = 0x6F, 0x20
				d.Inject(reader.Fault{At: reader.AtCommand, Command: block,
					Do: []reader.Action{reader.Unplug()},
					If: func(e *reader.Event) bool {
						return len(e.Message) > 14 && e.Message[14] == verifying
					}})
			})
			v := pinReaders[mode.dies]
			fails(v.name+", a fatal error", v.product(mode.dies), "fatal", nil)
			s.Run("the machine goes on", 30*time.Second,
				func(t *testing.T, c *harness.Case) { c.Must("ver") })
		})
	}
}
