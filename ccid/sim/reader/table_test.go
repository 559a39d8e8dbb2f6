//go:build !tamago

package reader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/usb"
)

// tableFile holds the descriptors of real readers.
const tableFile = "../../testdata/readers.txt"

func realReaders(t *testing.T) (models []Model, text []byte) {
	t.Helper()
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	models, err = ParseTable(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return models, text
}

func TestDescriptorsOfRealReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		models, _ := realReaders(t)
		interfaces := 0
		for _, m := range models {
			d := NewDevice(m)
			all, err := usb.Interfaces(m.ConfigDescriptor())
			name := fmt.Sprintf("%04X:%04X", m.Vendor, m.Product)
			if err != nil || len(all) != len(m.Functions) {
				t.Errorf("%s: %d interfaces in the configuration, %v", name, len(all), err)
				continue
			}
			for i, f := range m.Functions {
				interfaces++
				other := all[i].Other
				if len(all[i].Endpoints) != f.Endpoints || len(other) != 1 ||
					len(other[0]) != classDescriptorSize {
					t.Errorf("%s: interface %d is %+v", name, i, all[i])
				} else if got := binary.LittleEndian.Uint32(other[0][40:]); got != f.CCID.Features {
					t.Errorf("%s: dwFeatures %08X", name, got)
				}
				if r := d.Reader(i); r == nil || r.Slots() != int(f.CCID.MaxSlotIndex)+1 {
					t.Errorf("%s: no reader %d with its slots", name, i)
				}
			}
		}
		t.Logf("%d devices, %d interfaces", len(models), interfaces)
	})
}

// TestTableOfRealReaders checks that the models of the table give the same table, byte for byte.
func TestTableOfRealReaders(t *testing.T) {
	models, text := realReaders(t)
	if got := AppendTable(nil, models); !bytes.Equal(got, text) {
		t.Errorf("%d bytes became %d other ones", len(text), len(got))
	}
}

func TestPrintedDescriptorInATable(t *testing.T) {
	one, err := ParseDump(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	const text = "058F:9540 0120\n" +
		" 00 0B 00 00 03 36211001000703000000740E0000E02E000001DA26000048DB040002" +
		"FE0000000000000000000000BE0404000F010000FFFF10020301 3700 9946,318280\n"
	second := one[0]
	second.Version = 0x0110
	second.Functions = []Function{second.Functions[0], second.Functions[0]}
	second.Functions[1].Number = 2
	second.Functions[1].Rates = []uint32{0, 0, 0, 1<<32 - 1, 7, 7}
	for i := range 2 { // a long list that occurs twice
		second.Functions[i].Clocks = []uint32{1000000, 2000000, 3000000, 4000000, 5000000, 6000000}
	}
	named := one[0]
	named.ProductName = "another name of the same device"
	b := AppendTable(nil, []Model{one[0], second, named})
	count := func(part string) int { return strings.Count(string(b), part) }
	if !strings.HasSuffix(string(b), text) || count(text) != 1 || count("1000000,2") != 1 {
		t.Errorf("expected %s at the end of:\n%s", text, b)
	}
	models, err := ParseTable(bytes.NewReader(b))
	if err != nil || len(models) != 2 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	if !reflect.DeepEqual(models[0].Functions, second.Functions) ||
		!reflect.DeepEqual(models[1].Functions, one[0].Functions) {
		t.Errorf("%+v\nfrom %s", models, b)
	}
}

func TestInvalidTables(t *testing.T) {
	const device = "058F:9540 0120\n"
	class := strings.Repeat("00", classDescriptorSize-1)
	for name, text := range map[string]string{
		"empty":                             "",
		"comments alone":                    "# nothing\n",
		"a device without interfaces":       device,
		"an interface without a device":     " 00 0B 00 00 03 36" + class + " - -\n",
		"an identity that is no number":     "058F:95ZZ 0120\n 00 0B 00 00 03 36" + class + " - -\n",
		"an identity without a version":     "058F:9540\n 00 0B 00 00 03 36" + class + " - -\n",
		"a field too few":                   device + " 00 0B 00 00 03 36" + class + " -\n",
		"not a number":                      device + " 00 0B 00 00 XX 36" + class + " - -\n",
		"a class descriptor too short":      device + " 00 0B 00 00 03 36" + class[2:] + " - -\n",
		"a class descriptor with bLength 8": device + " 00 0B 00 00 03 08" + class + " - -\n",
		"a clock that is no number":         device + " 00 0B 00 00 03 36" + class + " x -\n",
		"a rate of 33 bits":                 device + " 00 0B 00 00 03 36" + class + " - 4294967296\n",
		"a list that is not there":          device + " 00 0B 00 00 03 36" + class + " @1 -\n",
		"a list of words": "@1 many\n" + device + " 00 0B 00 00 03 36" + class +
			" @1 -\n",
		"a repetition that is no number": device + " 00 0B 00 00 03 36" + class + " - 0*x\n",
		"more values than a transfer": device + " 00 0B 00 00 03 36" + class +
			" - 0*16000,1*16000\n",
	} {
		if _, err := ParseTable(strings.NewReader(text)); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	table := device + " 00 0B 00 00 03 36" + class + " - 0*2,1\n"
	if _, err := ParseTable(strings.NewReader(table)); err != nil {
		t.Errorf("a table: %v", err)
	}
}

// FuzzParseTable checks that the models of an accepted table give an equal table.
func FuzzParseTable(f *testing.F) {
	class := strings.Repeat("00", classDescriptorSize-1)
	f.Add("058F:9540 0120\n 00 0B 00 00 03 36" + class + " 3700 0*2,1\n")
	f.Add("@1 1,2\n058F:9540 0120\n 01 FF 5C 01 00 36" + class + " @1 -\n")
	f.Fuzz(func(t *testing.T, text string) {
		models, err := ParseTable(strings.NewReader(text))
		if err != nil {
			return
		}
		first := AppendTable(nil, models)
		if models, err = ParseTable(bytes.NewReader(first)); err != nil {
			t.Fatalf("%v in:\n%s", err, first)
		}
		if second := AppendTable(nil, models); !bytes.Equal(second, first) {
			t.Errorf("%s became\n%s", first, second)
		}
	})
}
