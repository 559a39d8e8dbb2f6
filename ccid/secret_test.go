package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// secretPIN has no eight bytes in common with other data.
var secretPIN = []byte("\xd1\x86PIN of forty bytes: " +
	"\x90\x31\x41\x59\x26\x53\x58\x97\x93\x23\x84\x62\x64\x33\x83\x27")

// secretPiece is how many bytes of a secret make a copy of it.
const secretPiece = 8

// secretIn searches all memory that is reached from a value, buffers up to their capacity, for
// pieces of the secret, and returns where the first one is. Transports are left out: behind them is
// the reader.
func secretIn(v any, secret []byte) (where string) {
	seen := map[unsafe.Pointer]reflect.Type{}
	holds := func(b []byte) bool {
		for i := range len(secret) - secretPiece + 1 {
			if bytes.Contains(b, secret[i:i+secretPiece]) {
				return true
			}
		}
		return false
	}
	var walk func(v reflect.Value, path string) string
	each := func(n int, path string, at func(i int) reflect.Value) string {
		for i := range n {
			if found := walk(at(i), fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found
			}
		}
		return ""
	}
	walk = func(v reflect.Value, path string) string {
		switch v.Kind() {
		case reflect.Interface:
			if v.IsNil() || v.Type() == reflect.TypeFor[usb.Transport]() {
				return ""
			}
			return walk(v.Elem(), path)
		case reflect.Pointer:
			if v.IsNil() || seen[v.UnsafePointer()] == v.Type() {
				return ""
			}
			seen[v.UnsafePointer()] = v.Type()
			return walk(v.Elem(), path)
		case reflect.Struct:
			for i := range v.NumField() {
				if found := walk(v.Field(i), path+"."+v.Type().Field(i).Name); found != "" {
					return found
				}
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() != reflect.Uint8 {
				return each(v.Len(), path, v.Index)
			}
			if holds(unsafe.Slice((*byte)(v.UnsafePointer()), v.Cap())) {
				return path
			}
		case reflect.Array:
			if v.Type().Elem().Kind() != reflect.Uint8 || !v.CanAddr() {
				return each(v.Len(), path, v.Index)
			}
			if holds(unsafe.Slice((*byte)(unsafe.Pointer(v.UnsafeAddr())), v.Len())) {
				return path
			}
		case reflect.String:
			if holds([]byte(v.String())) {
				return path
			}
		}
		return ""
	}
	return walk(reflect.ValueOf(v), "reader")
}

// watched calls a function before the transfer at which a countdown ends.
type watched struct {
	usb.Transport
	left int
	do   func() error
}

func (w *watched) happens() error {
	if w.do == nil {
		return nil
	}
	if w.left--; w.left >= 0 {
		return nil
	}
	do := w.do
	w.do = nil
	return do()
}

func (w *watched) In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int,
	error) {
	n, err := w.Transport.In(ctx, endpoint, buf, timeout)
	return n, errors.Join(err, w.happens())
}

func (w *watched) Out(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int,
	error) {
	if err := w.happens(); err != nil {
		return 0, err
	}
	return w.Transport.Out(ctx, endpoint, buf, timeout)
}

func (w *watched) Control(ctx context.Context, setup usb.Setup, data []byte,
	timeout time.Duration) (int, error) {
	n, err := w.Transport.Control(ctx, setup, data, timeout)
	return n, errors.Join(err, w.happens())
}

// errInduced is a panic's value.
var errInduced = errors.New("induced")

// pinSlot is the connected first slot of a reader, both of the catalogues, with a card that accepts
// any PIN and returns it.
func pinSlot(t *testing.T, kind, chip string) (*ccid.Slot, *watched, *reader.Device) {
	t.Helper()
	m, err := reader.Named(kind)
	if err != nil {
		t.Fatal(err)
	}
	named, err := card.Named(chip)
	if err != nil {
		t.Fatal(err)
	}
	d := reader.NewDevice(m)
	d.Reader(0).Insert(0,
		card.New(card.Options{ATR: named.ATR(), Applets: []card.Applet{&card.PIN{Always: true}}}))
	raw, err := d.Open(d.Reader(0).Interface())
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{Transport: raw}
	r, err := ccid.Open(t.Context(), w, ccid.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	s := r.Slots()[0]
	if _, err := s.Connect(t.Context(), ccid.T0|ccid.T1, ccid.ColdReset); err != nil {
		t.Fatal(err)
	}
	return s, w, d
}

// pinReaders are kinds of readers, and of cards in them, that differ in the buffers and locks of
// the driver.
var pinReaders = []struct{ kind, card string }{
	{"character", "t0"}, {"character", "t1"}, {"tpdu", "t0"}, {"tpdu", "t1"}, {"tpdu", "t1-crc"},
	{"short", "t0"}, {"extended", "t1"},
	{"high-speed", "t1"}, {"tiny-messages", "t1"}, {"slots", "t1"}, {"slots", "t0"},
	{"no-zlp", "t1"}, {"pinpad", "t0"}, {"pinpad", "t1"},
	{"iccd-a", "t0"}, {"iccd-b", "t1"}, {"iccd-b-extended", "t1"},
}

// Commands of card.PIN.
var (
	verifySecret   = append([]byte{0, 0x20, 0, 0x80, byte(len(secretPIN))}, secretPIN...)
	readSecretBack = []byte{0, 0x40, 0, 0, 0}
)

// manyTransfers is more than VERIFY and its answer take.
const manyTransfers = 12

// TestSecretsDoNotStayInTheDriver sends a PIN to a card and has it read back, and looks for copies
// in the driver's memory: when all goes well, and when at each transfer on the way something else
// happens.
func TestSecretsDoNotStayInTheDriver(t *testing.T) {
	for _, k := range pinReaders {
		for _, way := range []struct {
			name string
			do   func(s *ccid.Slot, d *reader.Device) error
		}{
			{"all goes well", nil},
			{"a panic", func(*ccid.Slot, *reader.Device) error { panic(errInduced) }},
			{"a fatal error", func(s *ccid.Slot, _ *reader.Device) error {
				s.Wipe()
				if found := secretIn(s, secretPIN); found != "" {
					t.Errorf("the secret is in %s", found)
				}
				panic(errInduced) // the call never goes on
			}},
			{"a stall", func(*ccid.Slot, *reader.Device) error { return usb.ErrStall }},
			{"no answer", func(*ccid.Slot, *reader.Device) error { return usb.ErrTimeout }},
			{"a broken transfer", func(*ccid.Slot,
				*reader.Device) error {
				return usb.ErrTransfer
			}},
			{"unplugged",
				func(_ *ccid.Slot, d *reader.Device) error { d.Unplug(); return usb.ErrGone }},
		} {
			t.Run(fmt.Sprintf("%s, %s, %s", k.kind, k.card, way.name), func(t *testing.T) {
				for left := range manyTransfers {
					synctest.Test(t, func(t *testing.T) {
						s, w, d := pinSlot(t, k.kind, k.card)
						for _, command := range [][]byte{verifySecret, readSecretBack} {
							for _, room := range []int{258, 8} {
								if way.do != nil {
									w.left, w.do = left, func() error { return way.do(s, d) }
								}
								exchange(t, s, command, room, way.do == nil)
								w.do = nil
								if found := secretIn(s.Reader(), secretPIN); found != "" {
									t.Fatalf("transfer %d of INS %02X: the secret is in %s", left,
										command[1], found)
								}
							}
						}
					})
					if way.do == nil {
						break
					}
				}
			})
		}
	}
}

// TestAPanicCostsOneCall has a panic at each transfer of a call, and expects the next calls to
// succeed at once: no lock is held, and no answer taken for another command's.
func TestAPanicCostsOneCall(t *testing.T) {
	// longer than any reader here takes, shorter than any wait for one that is silent
	const atOnce = time.Second
	for _, k := range pinReaders {
		t.Run(k.kind+", "+k.card, func(t *testing.T) {
			for left := range manyTransfers {
				synctest.Test(t, func(t *testing.T) {
					s, w, _ := pinSlot(t, k.kind, k.card)
					w.left, w.do = left, func() error { panic(errInduced) }
					exchange(t, s, verifySecret, 258, false)
					w.do = nil
					began := time.Now()
					if state, err := s.State(t.Context()); err != nil || state != ccid.Active {
						t.Errorf("transfer %d: %v, %v", left, state, err)
					}
					if _, err := s.Connect(t.Context(), ccid.T0|ccid.T1,
						ccid.ColdReset); err != nil {
						t.Fatalf("transfer %d: connect: %v", left, err)
					}
					exchange(t, s, verifySecret, 258, true)
					if d := time.Since(began); d > atOnce {
						t.Errorf("transfer %d: after %v", left, d)
					}
				})
			}
		})
	}
}

// exchange sends a command, which may end by the induced panic.
func exchange(t *testing.T, s *ccid.Slot, command []byte, room int, well bool) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil && v != errInduced {
			panic(v)
		}
	}()
	n, err := s.Transmit(t.Context(), slices.Clone(command), make([]byte, room))
	if short := errors.Is(err, ccid.ErrShortBuffer); well && (err != nil || n < 2) &&
		(!short || room > 8) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
