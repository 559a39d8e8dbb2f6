//go:build !tamago

package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// conversation returns the capture of a short session.
func conversation(t *testing.T) []byte {
	t.Helper()
	m := reader.New(reader.TPDU)
	var b bytes.Buffer
	w, err := NewWriter(&b, m.DeviceDescriptor(), m.ConfigDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	w.Transfer(0x82, usb.InterruptTransfer, 8, []byte{0x50, 0x03}, nil)
	w.Transfer(0x01, usb.BulkTransfer, 10, []byte{0x62, 0, 0, 0, 0, 0, 1, 0, 0, 0}, nil)
	w.Transfer(0x81, usb.BulkTransfer, 512,
		append([]byte{0x80, 10, 0, 0, 0, 0, 1, 0, 0, 0, 0x3B, 8}, "tamaccid"...), nil)
	w.Transfer(0x81, usb.BulkTransfer, 512, nil, usb.ErrStall)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	return b.Bytes()
}

func TestEachBlockHasItsLengthAtBothEnds(t *testing.T) {
	b := conversation(t)
	kinds := map[uint32]int{}
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint32(b[4:]))
		if n%4 != 0 || n < 12 || n > len(b) || binary.LittleEndian.Uint32(b[n-4:]) != uint32(n) {
			t.Fatalf("block of %d bytes with %d left", n, len(b))
		}
		kinds[binary.LittleEndian.Uint32(b)]++
		b = b[n:]
	}
	// Two descriptors and four transfers, each submitted and completed.
	if kinds[blockSection] != 1 || kinds[blockInterface] != 1 || kinds[blockPacket] != 12 {
		t.Errorf("blocks %v", kinds)
	}
}

// TestLibpcap checks that libpcap reads the file's blocks and usbmon's headers, with all data.
func TestLibpcap(t *testing.T) {
	const program = "tcpdump"
	if _, err := exec.LookPath(program); err != nil {
		// as for other programs that tests need: board/qemu/harness
		if os.Getenv("QEMU_REQUIRED") != "" {
			t.Fatal(err)
		}
		t.Skip("no " + program + " on this machine")
	}
	cmd := exec.Command(program, "-nn", "-t", "-x", "-r", "-")
	// from standard input, since tcpdump drops its privileges before it opens a file
	cmd.Stdin = bytes.NewReader(conversation(t))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, &complaints)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); line[0] == '\t' && len(got) > 0 { // "0x0010:  6d61 6363"
			got[len(got)-1] += strings.Join(fields[1:], "")
		} else {
			got = append(got, strings.TrimSpace(line)+" ")
		}
	}
	m := reader.New(reader.TPDU)
	want := []string{
		"USB CONTROL SUBMIT to 1:2:0 ",
		"USB CONTROL COMPLETE from 1:2:0 " + hex.EncodeToString(m.DeviceDescriptor()),
		"USB CONTROL SUBMIT to 1:2:0 ",
		"USB CONTROL COMPLETE from 1:2:0 " + hex.EncodeToString(m.ConfigDescriptor()),
		"USB INTERRUPT SUBMIT from 1:2:2 ",
		"USB INTERRUPT COMPLETE to 1:2:2 5003",
		"USB BULK SUBMIT to 1:2:1 62000000000001000000",
		"USB BULK COMPLETE from 1:2:1 ",
		"USB BULK SUBMIT to 1:2:1 ",
		"USB BULK COMPLETE from 1:2:1 800a00000000010000003b0874616d6163636964",
		"USB BULK SUBMIT to 1:2:1 ",
		"USB BULK COMPLETE from 1:2:1 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s reads\n%s\nnot\n%s", program, strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
}

// TestWireshark runs only if Wireshark is installed, which is a large package. TestLibpcap always
// runs.
func TestWireshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("no tshark on this machine")
	}
	name := filepath.Join(t.TempDir(), "reader.pcapng")
	if err := os.WriteFile(name, conversation(t), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tshark", "-r", name, "-Y", "usbccid", "-T", "fields", "-e",
		"usb.endpoint_address", "-e", "usbccid.bMessageType").CombinedOutput()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	for _, want := range []string{"0x01\t0x62", "0x81\t0x80"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("tshark does not show %q as USB CCID:\n%s", want, out)
		}
	}
	out, err = exec.Command("tshark", "-r", name, "-Y", "_ws.malformed").CombinedOutput()
	if err != nil || strings.Contains(string(out), "Malformed") {
		t.Errorf("tshark finds malformed packets (%v):\n%s", err, out)
	}
}
