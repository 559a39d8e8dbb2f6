//go:build !tamago

package ccid_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/reader"
)

// dumpFolder is where printed descriptors of real readers are looked for without -readers.
const dumpFolder = "../../shared/data/readers"

// update writes the table of real readers.
var update = flag.Bool("update", false, "write the table of real readers")

// dump is a file of printed descriptors.
type dump struct {
	file   string
	text   string
	models []reader.Model
	err    error // of ParseDump
}

// readDumps reads the files of a folder.
func readDumps(t *testing.T, folder string) []dump {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no printed descriptors (*.txt) in %s: %v", folder, err)
	}
	var list []dump
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d := dump{file: filepath.Base(path), text: string(b)}
		d.models, d.err = reader.ParseDump(bytes.NewReader(b))
		list = append(list, d)
	}
	return list
}

// dumps reads the folder of -readers or the one beside the repository, or skips the test.
func dumps(t *testing.T) []dump {
	t.Helper()
	folder := *readersFlag
	if folder == "" {
		folder = dumpFolder
		if _, err := os.Stat(folder); err != nil {
			t.Skip("no printed descriptors of real readers beside the repository: name a folder " +
				"by -readers")
		}
	}
	list := readDumps(t, folder)
	for _, d := range list {
		if d.err != nil {
			t.Errorf("%s: %v", d.file, d.err)
		}
	}
	return list
}

// TestTableIsGenerated compares the table with what the printed descriptors give, byte for byte.
// With -update it writes the table.
func TestTableIsGenerated(t *testing.T) {
	var models []reader.Model
	interfaces := 0
	for _, d := range dumps(t) {
		models = append(models, d.models...)
		for _, m := range d.models {
			interfaces += len(m.Functions)
		}
	}
	want := reader.AppendTable(nil, models)
	if *update && !t.Failed() {
		if err := os.WriteFile(realReaders, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(realReaders)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the printed descriptors: generate it with -update", realReaders)
	}
	t.Logf("%d devices, %d interfaces: %d bytes", len(models), interfaces, len(got))
}

// TestDescriptorsOfRealReaders compares what Probe makes of each class descriptor in the table with
// the descriptor's fields.
func TestDescriptorsOfRealReaders(t *testing.T) {
	models, err := readTable(realReaders)
	if err != nil {
		t.Fatal(err)
	}
	levels := map[ccid.Level]int{}
	for _, m := range join(nil, "", models) {
		i, err := m.probe()
		if (err != nil) != m.unusable() {
			t.Errorf("%s: %v", m.name, err)
		}
		if err != nil {
			continue
		}
		f := m.model.Functions[m.function]
		c := f.CCID
		want := ccid.ClassDescriptor{
			Version: c.Version, MaxSlotIndex: c.MaxSlotIndex, VoltageSupport: c.VoltageSupport,
			Protocols: c.Protocols, DefaultClock: c.DefaultClock, MaximumClock: c.MaximumClock,
			ClocksSupported: c.NumClocks, DataRate: c.DataRate, MaxDataRate: c.MaxDataRate,
			DataRates: c.NumDataRates, MaxIFSD: c.MaxIFSD, SynchProtocols: c.SynchProtocols,
			Mechanical: c.Mechanical, Features: ccid.Features(c.Features),
			MaxMessageLength: c.MaxMessageLength, ClassGetResponse: c.ClassGetResponse,
			ClassEnvelope: c.ClassEnvelope, LcdLines: uint8(c.LCDLayout >> 8),
			LcdCharacters: uint8(c.LCDLayout), PINSupport: c.PINSupport,
			MaxBusySlots:      c.MaxBusySlots,
			DescriptorTypeRaw: f.DescriptorType,
		}
		if i.Class != want {
			t.Errorf("%s: %+v, not %+v", m.name, i.Class, want)
		}
		levels[i.Class.Features.Level()]++
	}
	t.Logf("%d devices: %v", len(models), levels)
}

// blocks splits a file of printed descriptors into the texts of its interfaces.
func (d *dump) blocks() []string {
	const first = "idVendor:"
	return strings.Split(d.text, first)[1:]
}

// TestWordsOfPrintedDescriptors compares the features that Probe finds with the explanations that
// the printing tool added, which are an independent reading of the same bits.
func TestWordsOfPrintedDescriptors(t *testing.T) {
	interfaces := 0
	for _, d := range dumps(t) {
		members, blocks := join(nil, d.file, d.models), d.blocks()
		if len(members) != len(blocks) {
			t.Errorf("%s: %d interfaces in %d blocks", d.file, len(members), len(blocks))
			continue
		}
		for n, m := range members {
			if m.unusable() {
				continue
			}
			i, err := m.probe()
			if err != nil {
				t.Errorf("%s: %v", d.file, err)
				continue
			}
			interfaces++
			compareWords(t, d.file, i.Class.Features, blocks[n])
		}
	}
	t.Logf("%d interfaces", interfaces)
}

// compareWords compares features with the explanations in the text of an interface.
func compareWords(t *testing.T, file string, f ccid.Features, text string) {
	t.Helper()
	printed := func(words string) bool { return strings.Contains(text, words) }
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
		if f.Has(bit.f) != printed(bit.words) {
			t.Errorf("%s: bit %#x and words disagree", file, uint32(bit.f))
		}
	}
	level := ccid.LevelCharacter
	switch {
	case printed("Short and Extended APDU level exchange"), printed("Extended APDU level exchange"):
		level = ccid.LevelExtendedAPDU
	case printed("Short APDU level exchange"):
		level = ccid.LevelShortAPDU
	case printed("TPDU level exchange"):
		level = ccid.LevelTPDU
	}
	if f.Level() != level {
		t.Errorf("%s: %v, printed %v", file, f.Level(), level)
	}
}
