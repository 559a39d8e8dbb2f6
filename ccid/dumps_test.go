package ccid_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/reader"
)

// dumpFolders is where printed descriptors of real readers are looked for, from this folder.
var dumpFolders = []string{"../../shared/data/readers", "../shared/data/readers"}

// dump is one interface of a printed descriptor, with the printer's own words about it.
type dump struct {
	file   string
	model  reader.Model
	words  string // everything after the class descriptor's heading
	usable bool   // has endpoints to talk through
}

var number = regexp.MustCompile(`^(0x[0-9A-Fa-f]+|[0-9.]+)`)

// field returns the number behind a label; MHz become kHz.
func field(lines map[string]string, label string) uint64 {
	v := strings.TrimSpace(lines[label])
	if label == "dwProtocols" { // two halves: synchronous and asynchronous
		parts := strings.Fields(v)
		if len(parts) == 2 {
			high, _ := strconv.ParseUint(parts[0], 0, 32)
			low, _ := strconv.ParseUint(parts[1], 0, 32)
			return high<<16 | low
		}
	}
	n := number.FindString(v)
	if strings.HasSuffix(v, "MHz") {
		f, _ := strconv.ParseFloat(n, 64)
		return uint64(f*1000 + 0.5)
	}
	u, _ := strconv.ParseUint(n, 0, 64)
	return u
}

// bcd reads "1.10" as 0x0110.
func bcd(v string) uint16 {
	high, low, _ := strings.Cut(number.FindString(strings.TrimSpace(v)), ".")
	h, _ := strconv.ParseUint(high, 16, 16)
	l, _ := strconv.ParseUint(low, 16, 16)
	return uint16(h<<8 | l)
}

// readDump reads the interfaces of a file.
func readDump(path string) ([]dump, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []dump
	var words strings.Builder
	lines := map[string]string{}
	var rates, clocks []uint32
	flush := func() {
		if _, ok := lines["bMaxCCIDBusySlots"]; !ok {
			if _, ok := lines["bPINSupport"]; !ok {
				return
			}
		}
		n := func(label string) uint32 { return uint32(field(lines, label)) }
		function := reader.Function{
			Class: uint8(n("bInterfaceClass")), SubClass: uint8(n("bInterfaceSubClass")), Protocol: reader.Kind(n("bInterfaceProtocol")),
			Endpoints: int(n("bNumEndpoints")), Rates: rates, Clocks: clocks, DescriptorType: uint8(n("class bDescriptorType")),
			CCID: &reader.Class{
				Version: bcd(lines["bcdCCID"]), MaxSlotIndex: uint8(n("bMaxSlotIndex")), VoltageSupport: uint8(n("bVoltageSupport")),
				Protocols: n("dwProtocols"), DefaultClock: n("dwDefaultClock"), MaximumClock: n("dwMaximumClock"),
				NumClocks: uint8(n("bNumClockSupported")), DataRate: n("dwDataRate"), MaxDataRate: n("dwMaxDataRate"),
				NumDataRates: uint8(n("bNumDataRatesSupported")), MaxIFSD: n("dwMaxIFSD"), SynchProtocols: n("dwSynchProtocols"),
				Mechanical: n("dwMechanical"), Features: n("dwFeatures"), MaxMessageLength: n("dwMaxCCIDMessageLength"),
				ClassGetResponse: uint8(n("bClassGetResponse")), ClassEnvelope: uint8(n("bClassEnvelope")),
				LCDLayout: uint16(n("wLcdLayout")), PINSupport: uint8(n("bPINSupport")), MaxBusySlots: uint8(n("bMaxCCIDBusySlots")),
			},
		}
		d := dump{file: filepath.Base(path), words: words.String(), usable: function.Endpoints >= 2 || function.Protocol != reader.BulkCCID}
		d.model = reader.Model{
			Vendor: uint16(n("idVendor")), Product: uint16(n("idProduct")), Version: bcd(lines["bcdDevice"]),
			Manufacturer: strings.TrimSpace(lines["iManufacturer"]), ProductName: strings.TrimSpace(lines["iProduct"]),
			Functions: []reader.Function{function},
		}
		all = append(all, d)
	}
	scan := bufio.NewScanner(f)
	inClass := false
	for scan.Scan() {
		line := scan.Text()
		label, value, found := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case strings.Contains(line, "CCID Class Descriptor"):
			inClass = true
			words.Reset()
			rates, clocks = nil, nil
			delete(lines, "bMaxCCIDBusySlots")
			delete(lines, "bPINSupport")
		case found && label == "bLength" && inClass && !strings.HasPrefix(line, "  "):
			flush()
			inClass = false
		case found && label == "idVendor" && inClass:
			flush()
			inClass = false
			lines[label] = value
		case found && inClass && label == "bDescriptorType":
			lines["class bDescriptorType"] = value
		case found:
			lines[label] = value
		}
		if inClass {
			words.WriteString(line + "\n")
			rest := strings.TrimSpace(line)
			var v uint32
			switch {
			case strings.HasSuffix(rest, "bps") && strings.HasPrefix(rest, "Support "):
				if _, err := fmt.Sscanf(rest, "Support %d bps", &v); err == nil {
					rates = append(rates, v)
				}
			case strings.HasSuffix(rest, "kHz") && strings.HasPrefix(rest, "Support "):
				if _, err := fmt.Sscanf(rest, "Support %d kHz", &v); err == nil {
					clocks = append(clocks, v)
				}
			}
		}
	}
	if inClass {
		flush()
	}
	return all, scan.Err()
}

// dumps reads all files, or skips the test where there are none.
func dumps(t *testing.T) (list []dump, files int) {
	t.Helper()
	for _, folder := range dumpFolders {
		paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
		if err != nil || len(paths) == 0 {
			continue
		}
		for _, path := range paths {
			got, err := readDump(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				t.Errorf("%s: no class descriptor found", path)
			}
			list = append(list, got...)
		}
		return list, len(paths)
	}
	t.Skip("no printed descriptors of real readers beside the repository (shared/data/readers)")
	return nil, 0
}

// probe parses the descriptors that the dump's model has.
func (d *dump) probe() (ccid.Interface, error) {
	return ccid.Probe(d.model.ConfigDescriptor(), 0, 0)
}

// TestDescriptorsOfRealReaders compares what the parser makes of each descriptor with what the printer of the descriptor said
// in words, which is somebody else's reading of the same bits.
func TestDescriptorsOfRealReaders(t *testing.T) {
	list, files := dumps(t)
	levels := map[ccid.Level]int{}
	for _, d := range list {
		if !d.usable {
			continue
		}
		i, err := d.probe()
		if err != nil {
			t.Errorf("%s: %v", d.file, err)
			continue
		}
		c, want := i.Class, d.model.Functions[0].CCID
		if uint32(c.Features) != want.Features || c.MaxMessageLength != want.MaxMessageLength || c.MaxIFSD != want.MaxIFSD ||
			c.DefaultClock != want.DefaultClock || c.MaxDataRate != want.MaxDataRate || c.MaxBusySlots != want.MaxBusySlots ||
			c.PINSupport != want.PINSupport || c.Version != want.Version || c.Protocols != want.Protocols ||
			uint16(c.LcdLines)<<8|uint16(c.LcdCharacters) != want.LCDLayout {
			t.Errorf("%s: %+v from %+v", d.file, c, *want)
		}
		said := func(words string) bool { return strings.Contains(d.words, words) }
		for _, bit := range []struct {
			f     ccid.Features
			words string
		}{
			{ccid.FeatureAutoATR, "Automatic parameter configuration based on ATR data"},
			{ccid.FeatureAutoActivation, "Automatic activation of ICC on inserting"},
			{ccid.FeatureAutoVoltage, "Automatic ICC voltage selection"},
			{ccid.FeatureAutoClock, "Automatic ICC clock frequency change"},
			{ccid.FeatureAutoBaud, "Automatic baud rate change"},
			{ccid.FeatureAutoParameters, "Automatic parameters negotiation made by the CCID"},
			{ccid.FeatureAutoPPS, "Automatic PPS made by the CCID"},
			{ccid.FeatureClockStop, "CCID can set ICC in clock stop mode"},
			{ccid.FeatureNAD, "NAD value other than"},
			{ccid.FeatureAutoIFSD, "Automatic IFSD exchange as first exchange"},
		} {
			if c.Features.Has(bit.f) != said(bit.words) {
				t.Errorf("%s: bit %#x and words disagree", d.file, uint32(bit.f))
			}
		}
		level := ccid.LevelCharacter
		switch {
		case said("Short and Extended APDU level exchange"), said("Extended APDU level exchange"):
			level = ccid.LevelExtendedAPDU
		case said("Short APDU level exchange"):
			level = ccid.LevelShortAPDU
		case said("TPDU level exchange"):
			level = ccid.LevelTPDU
		}
		if c.Features.Level() != level {
			t.Errorf("%s: %v, said %v", d.file, c.Features.Level(), level)
		}
		levels[level]++
	}
	t.Logf("%d files, %d interfaces: %v", files, len(list), levels)
}
