//go:build !tamago

package ccid_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// realReaders is the table of the descriptors of real readers.
const realReaders = "testdata/readers.txt"

// readersFlag names other descriptors, and asks for the report on the standard output.
var readersFlag = flag.String("readers", "",
	"folder of printed descriptors of readers, or a table of "+
		"descriptors: exchange with each interface, and print a line for it")

// fleetTiming keeps the waits of readers short that do not answer at all.
var fleetTiming = &ccid.Timing{
	Write: time.Second, Answer: 2 * time.Second, Power: 2 * time.Second,
	Abort: 200 * time.Millisecond, Halt: 200 * time.Millisecond,
	PollICCD: 100 * time.Microsecond,
}

// member is one interface of a reader.
type member struct {
	name     string // of the file, or the identity of the device
	model    reader.Model
	function int
	line     string // of the report
	failed   bool
}

// join makes members of the models' interfaces. Without a name, each device is named by its
// identity.
func join(fleet []*member, name string, models []reader.Model) []*member {
	for _, m := range models {
		label := name
		if label == "" {
			label = fmt.Sprintf("%04X:%04X %X.%02X", m.Vendor, m.Product, m.Version>>8,
				m.Version&0xFF)
		}
		for i := range m.Functions {
			fleet = append(fleet, &member{name: label, model: m, function: i})
		}
	}
	return fleet
}

// probe parses the descriptors of the member's virtual reader.
func (m *member) probe() (ccid.Interface, error) {
	return ccid.Probe(m.model.ConfigDescriptor(), uint8(m.function), 0)
}

// unusable reports whether the member is a CCID without bulk endpoints, which Probe rejects.
func (m *member) unusable() bool {
	f := m.model.Functions[m.function]
	return f.Endpoints < 2 && f.Protocol == reader.BulkCCID
}

// readTable reads a table of descriptors.
func readTable(path string) ([]reader.Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return reader.ParseTable(f)
}

// TestReaders makes a virtual reader of every descriptor of a real one. A card with each protocol
// that the descriptor declares is powered, and exchanges all four cases at all lengths, with
// extended lengths where the level allows. The descriptors are those of the table; with -readers
// those of another table or of a folder.
func TestReaders(t *testing.T) {
	var fleet []*member
	var source string
	failed := 0
	path := *readersFlag
	if path == "" {
		path = realReaders
	}
	if info, err := os.Stat(path); err != nil {
		t.Fatal(err)
	} else if info.IsDir() {
		files := readDumps(t, path)
		for _, d := range files {
			if d.err != nil {
				failed++
				t.Errorf("%s: %v", d.file, d.err)
			}
			fleet = join(fleet, d.file, d.models)
		}
		source = fmt.Sprintf("%d files", len(files))
	} else {
		models, err := readTable(path)
		if err != nil {
			t.Fatal(err)
		}
		fleet = join(fleet, "", models)
		source = fmt.Sprintf("%d devices", len(models))
	}
	work := make(chan *member)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for m := range work {
				m.exchange(t)
			}
		}()
	}
	for _, m := range fleet {
		work <- m
	}
	close(work)
	workers.Wait()
	for _, m := range fleet {
		if m.failed {
			failed++
			t.Error(m.line)
		}
		if *readersFlag != "" {
			fmt.Println(m.line)
		}
	}
	closing := fmt.Sprintf("readers: %s, %d interfaces, %d passed, %d failed", source, len(fleet),
		len(fleet)-failed, failed)
	if *readersFlag != "" {
		fmt.Println(closing)
	} else {
		t.Log(closing)
	}
}

// exchange runs everything with the member and writes its line.
func (m *member) exchange(t *testing.T) {
	i, err := m.probe()
	name := fmt.Sprintf("%s interface %d", m.name, m.function)
	switch {
	case err != nil && m.unusable():
		m.line = fmt.Sprintf("%s: passed as far as it can: a CCID without bulk endpoints", name)
		return
	case err != nil:
		m.line, m.failed = fmt.Sprintf("%s: FAILED: %v", name, err), true
		return
	}
	name += fmt.Sprintf(": %v, %v", i.Kind, i.Class.Features.Level())
	var done, notes []string
	for _, p := range []ccid.Protocol{ccid.T0, ccid.T1} {
		if ccid.Protocol(i.Class.Protocols)&p == 0 {
			continue
		}
		var note string
		synctest.Test(t, func(t *testing.T) { note, err = m.exchangeWith(t, p, i) })
		if err != nil {
			m.line, m.failed = fmt.Sprintf("%s, %v: FAILED: %v", name, p, err), true
			return
		}
		done = append(done, p.String())
		if note != "" {
			notes = append(notes, note)
		}
	}
	switch {
	case len(done) == 0:
		m.line = fmt.Sprintf("%s: passed as far as it can: declares no protocol (dwProtocols %#x)",
			name, i.Class.Protocols)
	case len(notes) > 0:
		m.line = fmt.Sprintf("%s, %s: passed as far as it can: %s", name,
			strings.Join(done, " and "), strings.Join(notes, "; "))
	default:
		m.line = fmt.Sprintf("%s, %s: passed", name, strings.Join(done, " and "))
	}
}

// exchangeWith runs everything with one protocol. note is the step that the descriptor rules out.
func (m *member) exchangeWith(t *testing.T, p ccid.Protocol, i ccid.Interface) (note string,
	err error) {
	device := reader.NewDevice(m.model)
	c := card.T0()
	if p == ccid.T1 {
		c = card.T1()
	}
	device.Reader(m.function).Insert(0, c)
	transport, err := device.Open(m.function)
	if err != nil {
		return "", err
	}
	r, err := ccid.Open(context.Background(), transport,
		ccid.Options{AllowOldFirmware: true, Timing: fleetTiming})
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	defer r.Close()
	s := r.Slots()[0]
	got, err := s.Connect(context.Background(), ccid.T0|ccid.T1, ccid.ColdReset)
	if err != nil || got != p {
		return "", fmt.Errorf("connect: %v, %w", got, err)
	}
	if err := hello(s); err != nil {
		return "", err
	}
	level := i.Class.Features.Level()
	var extended []int
	if level != ccid.LevelShortAPDU {
		extended = extendedLengths(reader.Level(level), p, "")
	}
	const wholeShort = 10 + 261
	small := i.Class.MaxMessageLength < wholeShort && level != ccid.LevelExtendedAPDU
	skipped, err := exchangeSome(s, all(256), extended,
		func(err error) bool { return small && tooLong(err) })
	if len(skipped) > 0 {
		note = fmt.Sprintf("messages of %d bytes are too short for %d exchanges, the first "+
			"of them %s", i.Class.MaxMessageLength, len(skipped), skipped[0])
	}
	return note, err
}

// hello runs the two commands of the Hello world applet.
func hello(s *ccid.Slot) error {
	ctx := context.Background()
	var r [64]byte
	if n, err := s.Transmit(ctx, append([]byte{0, 0xA4, 4, 0, byte(len(card.HelloAID))},
		card.HelloAID...), r[:]); err != nil || r[0] != 0x90 {
		return fmt.Errorf("hello: select: % X, %w", r[:n], err)
	}
	n, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:])
	if err != nil || string(r[:n]) != "Hello world!\x90\x00" {
		return fmt.Errorf("hello: %q, %w", r[:n], err)
	}
	return nil
}

// tooLong reports whether an exchange failed because it is longer than a message of the reader's
// declared size: in the driver, or in the virtual reader, which takes its descriptor literally.
func tooLong(err error) bool {
	const badLength, overrun = 1, 0xFC
	var e *ccid.SlotError
	return errors.Is(err, ccid.ErrTooLong) || errors.As(err, &e) &&
		(e.Code == badLength || e.Code == overrun)
}
