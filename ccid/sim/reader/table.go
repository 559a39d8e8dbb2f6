package reader

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// tableHead opens a table and describes its format.
const tableHead = `# Descriptors of real smart card readers, as numbers.
# Each distinct device has one entry; the entries are sorted.
#
# A device is a line "idVendor:idProduct bcdDevice" (hexadecimal). Each of its smart card interfaces
# is an indented line of eight fields:
#   bInterfaceNumber bInterfaceClass bInterfaceSubClass bInterfaceProtocol bNumEndpoints
#                    two hexadecimal digits each
#   class descriptor 54 bytes in hexadecimal (CCID 1.1, table 5.1-1)
#   clocks           kHz, the answer to GET_CLOCK_FREQUENCIES (CCID 1.1, 5.3.2)
#   data rates       bit/s, the answer to GET_DATA_RATES (CCID 1.1, 5.3.3)
# The lists are in decimal and separated by commas. "0*4" stands for four times 0, and "-" for no
# values. "@1" stands for the list in the line "@1 values": long lists that recur have such lines at
# the top. Endpoint addresses and packet sizes are not known.
#
# The numbers are what the devices themselves report. Generated, not to be edited, from a folder of
# descriptors printed by the "parse" tool of the libccid project (a relative path starts at ccid):
#   go test ./ccid -run '^TestTableIsGenerated$' -readers FOLDER -update
`

// ErrTable means that a text is not a table of descriptors.
var ErrTable = errors.New("reader: not a table of descriptors")

// AppendTable appends a table of the models to b. Models that differ only in their strings are one
// entry.
func AppendTable(b []byte, models []Model) []byte {
	var entries []string
	for i := range models {
		entries = append(entries, models[i].entry())
	}
	slices.Sort(entries)
	text := strings.Join(slices.Compact(entries), "")
	b = append(b, tableHead...)
	for n, l := range recurring(text) {
		name := listMark + strconv.Itoa(n+1)
		b = fmt.Appendf(b, "%s %s\n", name, l)
		text = strings.ReplaceAll(text, " "+l+"\n", " "+name+"\n")
		text = strings.ReplaceAll(text, " "+l+" ", " "+name+" ")
	}
	return append(b, text...)
}

// listMark begins the name of a list.
const listMark = "@"

// recurring returns the lists of the entries that are long and occur more than once, sorted.
func recurring(text string) (lists []string) {
	const long = 32 // characters (policy)
	uses := map[string]int{}
	for field := range strings.FieldsSeq(text) {
		if strings.Contains(field, ",") && len(field) >= long {
			uses[field]++
		}
	}
	for l, n := range uses {
		if n > 1 {
			lists = append(lists, l)
		}
	}
	slices.Sort(lists)
	return lists
}

// entry returns the model's entry of a table.
func (m *Model) entry() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%04X:%04X %04X\n", m.Vendor, m.Product, m.Version)
	for _, f := range m.Functions {
		fmt.Fprintf(&b, " %02X %02X %02X %02X %02X %X %s %s\n", f.Number, f.Class, f.SubClass,
			uint8(f.Protocol), f.Endpoints, f.CCID.Bytes(f.DescriptorType), list(f.Clocks), list(
				f.Rates))
	}
	return b.String()
}

// list formats a list of clocks or data rates.
func list(values []uint32) string {
	if len(values) == 0 {
		return "-"
	}
	var fields []string
	for len(values) > 0 {
		n := 1
		for n < len(values) && values[n] == values[0] {
			n++
		}
		field := strconv.FormatUint(uint64(values[0]), 10)
		if n > 1 {
			field += "*" + strconv.Itoa(n)
		}
		fields, values = append(fields, field), values[n:]
	}
	return strings.Join(fields, ",")
}

// ParseTable reads a table and returns a model for each device, with a function for each interface.
func ParseTable(r io.Reader) ([]Model, error) {
	var models []Model
	lists := map[string][]uint32{"-": nil}
	lines := bufio.NewScanner(io.LimitReader(r, maxText))
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		var err error
		switch {
		case text == "" || text[0] == '#':
			continue
		case strings.HasPrefix(text, listMark):
			name, values, _ := strings.Cut(text, " ")
			lists[name], err = parseList(lists, values)
		case text[0] != ' ':
			var m Model
			m, err = parseDevice(text)
			models = append(models, m)
		case len(models) == 0:
			err = errors.New("an interface without a device")
		default:
			m := &models[len(models)-1]
			var f Function
			f, err = parseInterface(lists, strings.Fields(text))
			m.Functions = append(m.Functions, f)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrTable, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	for _, m := range models {
		if len(m.Functions) == 0 {
			return nil, fmt.Errorf("%w: %04X:%04X has no interface", ErrTable, m.Vendor, m.Product)
		}
	}
	if len(models) == 0 {
		return nil, ErrTable
	}
	return models, nil
}

// parseDevice parses the line of a device.
func parseDevice(text string) (Model, error) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	if err != nil {
		return Model{}, err
	}
	if len(b) != 6 {
		return Model{}, errors.New("not an identity of three numbers")
	}
	be := binary.BigEndian
	return Model{Vendor: be.Uint16(b), Product: be.Uint16(b[2:]), Version: be.Uint16(b[4:])}, nil
}

// parseInterface parses the fields of an interface. lists has the named lists.
func parseInterface(lists map[string][]uint32, fields []string) (f Function, err error) {
	const numbers, all = 5, 8
	if len(fields) != all {
		return f, fmt.Errorf("%d fields, not %d", len(fields), all)
	}
	b, err := hex.DecodeString(strings.Join(fields[:numbers], ""))
	if err != nil {
		return f, err
	}
	class, err := hex.DecodeString(fields[numbers])
	if err != nil {
		return f, err
	}
	if len(b) != numbers || len(class) != classDescriptorSize || class[0] != classDescriptorSize {
		return f, errors.New("not five bytes and a class descriptor")
	}
	f = Function{
		Number: b[0], Class: b[1], SubClass: b[2], Protocol: Kind(b[3]), Endpoints: int(b[4]),
		DescriptorType: class[1], CCID: new(Class),
	}
	if _, err := binary.Decode(class[2:], binary.LittleEndian, f.CCID); err != nil {
		return f, err
	}
	if f.Clocks, err = parseList(lists, fields[numbers+1]); err != nil {
		return f, err
	}
	f.Rates, err = parseList(lists, fields[numbers+2])
	return f, err
}

// maxList is the greatest number of values in the data stage of a control transfer (USB 2.0, table
// 9-2: wLength has 16 bits).
const maxList = 0xFFFF / 4

// parseList parses a list of clocks or data rates, or the name of a list.
func parseList(lists map[string][]uint32, text string) (values []uint32, err error) {
	if values, ok := lists[text]; ok {
		return values, nil
	}
	for field := range strings.SplitSeq(text, ",") {
		number, times, repeated := strings.Cut(field, "*")
		v, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, err
		}
		n := uint64(1)
		if repeated {
			if n, err = strconv.ParseUint(times, 10, 16); err != nil {
				return nil, err
			}
		}
		if uint64(len(values))+n > maxList {
			return nil, errors.New("too many values")
		}
		values = append(values, slices.Repeat([]uint32{uint32(v)}, int(n))...)
	}
	return values, nil
}
