package ccid_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

// readersFlag names a folder of printed descriptors; the report goes to the standard output then.
var readersFlag = flag.String("readers", "", "folder of printed descriptors of readers: exchange with each, and print a line for each interface")

// fleetTiming keeps the waits of readers short that do not answer at all.
var fleetTiming = &ccid.Timing{
	Write: time.Second, Answer: 2 * time.Second, Power: 2 * time.Second, Abort: 200 * time.Millisecond, Halt: 200 * time.Millisecond,
	PollICCD: 100 * time.Microsecond,
}

// member is one interface of one printed device.
type member struct {
	file     string
	model    reader.Model
	function int
	line     string // of the report
	failed   bool
}

// TestReaders makes a virtual reader of every printed descriptor, and has a card with each protocol that it declares powered, spoken
// to in all four cases at all lengths, and with extended lengths where the level allows.
func TestReaders(t *testing.T) {
	folders := dumpFolders
	if *readersFlag != "" {
		folders = []string{*readersFlag}
	}
	var paths []string
	for _, folder := range folders {
		if paths, _ = filepath.Glob(filepath.Join(folder, "*.txt")); len(paths) > 0 {
			break
		}
	}
	if len(paths) == 0 {
		if *readersFlag != "" {
			t.Fatalf("no printed descriptors (*.txt) in %s", *readersFlag)
		}
		t.Skip("no printed descriptors of real readers beside the repository (shared/data/readers)")
	}
	var fleet []*member
	failed := 0
	for _, path := range paths {
		models, err := parseDump(path)
		if err != nil {
			failed++
			t.Errorf("%s: %v", filepath.Base(path), err)
			continue
		}
		for _, m := range models {
			for i := range m.Functions {
				fleet = append(fleet, &member{file: filepath.Base(path), model: m, function: i})
			}
		}
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
	closing := fmt.Sprintf("readers: %d files, %d interfaces, %d passed, %d failed", len(paths), len(fleet), len(fleet)-failed, failed)
	if *readersFlag != "" {
		fmt.Println(closing)
	} else {
		t.Log(closing)
	}
}

func parseDump(path string) ([]reader.Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return reader.ParseDump(f)
}

// exchange runs everything with the member and writes its line.
func (m *member) exchange(t *testing.T) {
	i, err := ccid.Probe(m.model.ConfigDescriptor(), uint8(m.function), 0)
	name := fmt.Sprintf("%s interface %d", m.file, m.function)
	switch {
	case err != nil && m.model.Functions[m.function].Endpoints < 2 && m.model.Functions[m.function].Protocol == reader.BulkCCID:
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
		m.line = fmt.Sprintf("%s: passed as far as it can: declares no protocol (dwProtocols %#x)", name, i.Class.Protocols)
	case len(notes) > 0:
		m.line = fmt.Sprintf("%s, %s: passed as far as it can: %s", name, strings.Join(done, " and "), strings.Join(notes, "; "))
	default:
		m.line = fmt.Sprintf("%s, %s: passed", name, strings.Join(done, " and "))
	}
}

// exchangeWith runs everything with one protocol. Note says which step the descriptor itself rules out.
func (m *member) exchangeWith(t *testing.T, p ccid.Protocol, i ccid.Interface) (note string, err error) {
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
	r, err := ccid.Open(context.Background(), transport, ccid.Options{AllowOldFirmware: true, Timing: fleetTiming})
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
	skipped, err := exchangeSome(s, all(256), extended, func(err error) bool { return small && tooLong(err) })
	if len(skipped) > 0 {
		note = fmt.Sprintf("messages of %d bytes are too short for %d exchanges, the first of them %s", i.Class.MaxMessageLength, len(skipped), skipped[0])
	}
	return note, err
}

// hello runs the two commands of the Hello world applet.
func hello(s *ccid.Slot) error {
	ctx := context.Background()
	var r [64]byte
	if n, err := s.Transmit(ctx, append([]byte{0, 0xA4, 4, 0, byte(len(card.HelloAID))}, card.HelloAID...), r[:]); err != nil || r[0] != 0x90 {
		return fmt.Errorf("hello: select: % X, %w", r[:n], err)
	}
	n, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:])
	if err != nil || string(r[:n]) != "Hello world!\x90\x00" {
		return fmt.Errorf("hello: %q, %w", r[:n], err)
	}
	return nil
}

// tooLong says whether an exchange failed because a message of the reader's declared size cannot hold it: in the driver, or in the
// virtual reader, whose firmware keeps to the letter of its descriptor.
func tooLong(err error) bool {
	const badLength, overrun = 1, 0xFC
	var e *ccid.SlotError
	return errors.Is(err, ccid.ErrTooLong) || errors.As(err, &e) && (e.Code == badLength || e.Code == overrun)
}
