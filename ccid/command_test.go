package ccid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

// A deviation is what a reader does once in place of answering XfrBlock.
type deviation struct {
	name string
	// do gets the command, and the answer of a healthy reader.
	do   func(f *fake, m, good []byte) [][]byte
	want error // nil: the exchange succeeds
	need bool  // the abort sequence is used
}

var deviations = []deviation{
	{"a zero-length packet comes first", func(_ *fake, _,
		good []byte) [][]byte {
		return [][]byte{{}, {}, good}
	}, nil, false},
	{"the answer to an older command comes first", func(_ *fake, _, good []byte) [][]byte {
		old := append([]byte(nil), good...)
		old[6]--
		old[pipe.HeaderSize] = 0x6F
		return [][]byte{old, good}
	}, nil, false},
	{"an answer of a slot that does not exist comes first", func(_ *fake, _, good []byte) [][]byte {
		other := append([]byte(nil), good...)
		other[5] = 7
		return [][]byte{other, good}
	}, nil, false},
	{"the answer is padded beyond dwLength", func(_ *fake, _, good []byte) [][]byte {
		return [][]byte{append(append([]byte(nil), good...), make([]byte, 40)...)}
	}, nil, false},
	{"one time extension, then the answer", func(_ *fake, m, good []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusTimeExt, 2, 0), good}
	}, nil, false},
	{"the slot is busy once", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed, pipe.CodeSlotBusy, 0)}
	}, nil, false},
	{"an answer of the card with the status of an empty slot",
		func(_ *fake, m, good []byte) [][]byte {
			return [][]byte{respond(m, pipe.DataBlock, pipe.ICCAbsent, 0, 0,
				good[pipe.HeaderSize:]...)}
		}, nil, false},
	{"IN stalls before the answer", func(_ *fake, _,
		good []byte) [][]byte {
		return [][]byte{nil, good}
	}, nil, false},

	{"IN stalls and the answer is lost", func(*fake, []byte,
		[]byte) [][]byte {
		return [][]byte{nil}
	}, ErrTimeout, true},
	{"IN stalls twice", func(*fake, []byte, []byte) [][]byte { return [][]byte{nil, nil} },
		ErrTransport, true},
	{"no answer", func(*fake, []byte, []byte) [][]byte { return nil }, ErrTimeout, true},
	{"nothing but zero-length packets", func(*fake, []byte, []byte) [][]byte {
		return bytes.Split(bytes.Repeat([]byte{','}, pipe.MaxEmpty+4), []byte{','})
	}, ErrProtocol, true},
	{"nothing but stale answers", func(_ *fake, _, good []byte) [][]byte {
		var all [][]byte
		for range pipe.MaxStale + 4 {
			old := append([]byte(nil), good...)
			old[6] -= 3
			all = append(all, old)
		}
		return all
	}, ErrProtocol, true},
	{"time extensions without end", func(_ *fake, m, _ []byte) [][]byte {
		var all [][]byte
		for range pipe.MaxExtensions + 4 {
			all = append(all, respond(m, pipe.DataBlock, pipe.StatusTimeExt, 255, 0))
		}
		return all
	}, ErrTimeout, true},
	{"a time extension and then nothing", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusTimeExt, 255, 0)}
	}, ErrTimeout, true},
	{"reserved command status", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusReserved, 0, 0)}
	}, ErrProtocol, true},
	{"a message of the wrong type", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.Parameters, 0, 0, 0, 0x90, 0)}
	}, ErrProtocol, true},
	{"the header is cut", func(_ *fake, _, good []byte) [][]byte { return [][]byte{good[:9]} },
		ErrProtocol, true},
	{"one byte", func(_ *fake, _, good []byte) [][]byte { return [][]byte{good[:1]} }, ErrProtocol,
		true},
	// libccid 58a97a6: the driver returned stack memory behind the packet.
	{"the header claims 200 bytes, the packet carries 2", lying(200), ErrProtocol, true},
	{"dwLength 80000000", lying(0x80000000), ErrProtocol, true},
	{"dwLength FFFFFFFF", lying(0xFFFFFFFF), ErrProtocol, true},
	{"dwLength 7FFFFFFF", lying(0x7FFFFFFF), ErrProtocol, true},

	{"the command failed: mute", failing(pipe.CodeMute), ErrMute, false},
	{"the command failed: parity", failing(pipe.CodeParity), ErrParity, false},
	{"the command failed: hardware", failing(pipe.CodeHardware), ErrHardware, false},
	{"the command failed: aborted", failing(pipe.CodeAborted), ErrAborted, false},
	{"the command failed: not supported", failing(pipe.CodeCommandNotSupported), ErrUnsupported,
		false},
	{"the command failed: bad byte 8", failing(8), ErrProtocol, false},
	{"a failure reported by a slot status message", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.SlotStatus, pipe.StatusFailed, pipe.CodeMute, 0)}
	}, ErrMute, false},
	{"an empty answer",
		func(_ *fake, m, _ []byte) [][]byte {
			return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0)}
		},
		ErrProtocol, false},
	{"an answer of one byte", func(_ *fake, m,
		_ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, 0x90)}
	},
		ErrProtocol, false},
	{"success with no data from an empty slot", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.ICCAbsent, 0, 0)}
	}, ErrNoCard, false},
	{"success with no data from a card without power", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.ICCInactive, 0, 0)}
	}, ErrCardChanged, false},
	{"the card is pulled out", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed|pipe.ICCAbsent, pipe.CodeMute,
			0)}
	}, ErrNoCard, false},
	{"the slot stays busy", func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed, pipe.CodeSlotBusy, 0),
			busyForever}
	}, ErrBusy, false},
}

// busyForever marks a deviation that is repeated for every XfrBlock.
var busyForever = []byte("busy")

func lying(n uint32) func(*fake, []byte, []byte) [][]byte {
	return func(_ *fake, _, good []byte) [][]byte {
		b := append([]byte(nil), good...)
		b[1], b[2], b[3], b[4] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
		return [][]byte{b}
	}
}

func failing(code byte) func(*fake, []byte, []byte) [][]byte {
	return func(_ *fake, m, _ []byte) [][]byte {
		return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed, code, 0)}
	}
}

// TestOneBadAnswer has each deviation happen once, with readers that implement the abort sequence
// and with readers that stall it, and checks that the next exchange succeeds, after a new
// connection if the session has ended.
func TestOneBadAnswer(t *testing.T) {
	for _, aborts := range []bool{true, false} {
		for _, h := range deviations {
			t.Run(fmt.Sprintf("%s, abort known %v", h.name, aborts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var pending, forever bool
					healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
					f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
					f.answer = func(f *fake, m []byte) [][]byte {
						good := healthy(f, m)
						if pipe.MessageType(m[0]) == pipe.XfrBlock && (pending || forever) {
							pending = false
							all := h.do(f, m, good[0])
							if n := len(all); n > 0 && bytes.Equal(all[n-1], busyForever) {
								forever = true
								all = all[:n-1]
							}
							return all
						}
						return good
					}
					if aborts {
						f.control = func(*fake, usb.Setup, []byte) (int, error) { return 0, nil }
					}
					s := connected(t, f, Options{})
					ctx := context.Background()
					var r [258]byte
					f.mu.Lock()
					pending = true
					f.mu.Unlock()
					started := time.Now()
					n, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:])
					if !errors.Is(err, h.want) || h.want == nil && err != nil {
						t.Fatalf("%v, want %v", err, h.want)
					}
					if err == nil && !bytes.Equal(r[:n], []byte{0x90, 0}) {
						t.Fatalf("% X", r[:n])
					}
					if d := time.Since(started); d > 20*time.Second {
						t.Fatalf("took %v", d)
					}
					f.mu.Lock()
					forever = false
					if used := f.aborts > 0; used != h.need {
						t.Errorf("abort sequence used %v", used)
					}
					f.mu.Unlock()
					if _, err := s.Connect(ctx, T0, Leave); err != nil {
						t.Fatalf("connecting again: %v", err)
					}
					if n, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); err != nil ||
						!bytes.Equal(r[:n], []byte{0x90, 0}) {
						t.Fatalf("the next exchange: % X, %v", r[:n], err)
					}
				})
			})
		}
	}
}

func TestLateAnswerIsNotTheNextOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []byte
		healthy := ordinary(atrT0, func(_, p []byte) []byte { return []byte{p[3], 0x90, 0} })
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		f.answer = func(f *fake, m []byte) [][]byte {
			good := healthy(f, m)
			if pipe.MessageType(m[0]) == pipe.XfrBlock && m[pipe.HeaderSize+3] == 1 {
				late = good[0]
				return nil
			}
			if late != nil && pipe.MessageType(m[0]) == pipe.XfrBlock {
				all := [][]byte{late, good[0]}
				late = nil
				return all
			}
			return good
		}
		s := connected(t, f, Options{})
		var r [258]byte
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 1}, r[:]); !errors.Is(err,
			ErrTimeout) {
			t.Fatal(err)
		}
		if n, err := s.Transmit(context.Background(), []byte{0, 0, 0, 2}, r[:]); err != nil ||
			r[0] != 2 {
			t.Fatalf("% X, %v", r[:n], err)
		}
	})
}

func TestCancellationLeavesTheReaderUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := true
		healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		f.answer = func(f *fake, m []byte) [][]byte {
			if pipe.MessageType(m[0]) == pipe.XfrBlock && silent {
				return nil
			}
			return healthy(f, m)
		}
		s := connected(t, f, Options{Timing: &Timing{Abort: 50 * time.Millisecond}})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(10 * time.Millisecond)
			cancel()
		}()
		var r [258]byte
		started := time.Now()
		if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if d := time.Since(started); d > time.Second {
			t.Fatalf("cancelled after %v", d)
		}
		f.mu.Lock()
		silent = false
		f.mu.Unlock()
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); !errors.Is(err, context.Canceled) {
			t.Fatalf("a context that has ended: %v", err)
		}
	})
}

func TestUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		healthy := ordinary(atrT0, nil)
		f.answer = func(f *fake, m []byte) [][]byte {
			if pipe.MessageType(m[0]) == pipe.XfrBlock {
				f.gone = true
				return nil
			}
			return healthy(f, m)
		}
		s := connected(t, f, Options{})
		var r [258]byte
		for range 2 {
			if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
				ErrGone) {
				t.Fatal(err)
			}
		}
		if _, err := s.State(context.Background()); !errors.Is(err, ErrGone) ||
			s.LastState() != Unknown || !s.Reader().Gone() {
			t.Fatal(err, s.LastState())
		}
		if err := s.Reader().Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
			ErrClosed) {
			t.Fatal(err)
		}
	})
}

func TestOutStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
			ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
		s := connected(t, f, Options{})
		var r [258]byte
		f.outFail = []error{usb.ErrStall}
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); err != nil {
			t.Fatalf("one stall: %v", err)
		}
		if len(f.halts) == 0 || f.halts[len(f.halts)-1] != fakeOut {
			t.Fatalf("halt not cleared: %x", f.halts)
		}
		f.outFail = []error{usb.ErrTransfer}
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
			ErrTransport) {
			t.Fatalf("a broken transfer: %v", err)
		}
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); err != nil {
			t.Fatalf("the next exchange: %v", err)
		}
	})
}

func TestNoStatusBeforeEachAPDU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
			ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
		s := connected(t, f, Options{})
		before := len(f.sent)
		var r [258]byte
		for range 5 {
			if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(f.sent) - before; n != 5 {
			t.Fatalf("%d messages for 5 commands", n)
		}
	})
}

func TestBufferTooSmallAtAnyLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, level := range []Features{FeatureShortAPDU, FeatureTPDU, FeatureExtendedAPDU} {
			f := newFake(class(level|FeatureAutoParameters),
				ordinary(atrT0, func(_, _ []byte) []byte { return []byte{1, 2, 3, 0x90, 0} }))
			s := connected(t, f, Options{})
			r := []byte{9, 9, 9, 9, 9}
			var short *ShortBufferError
			_, err := s.Transmit(context.Background(), []byte{0, 0xB0, 0, 0, 3}, r[:3])
			if !errors.As(err, &short) || short.Need != 5 || !errors.Is(err, ErrShortBuffer) ||
				r[3] != 9 {
				t.Errorf("%v: %v, % X", level.Level(), err, r)
			}
		}
	})
}
