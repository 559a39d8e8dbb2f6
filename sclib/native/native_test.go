package native_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
	"tamaccid/sclib/native"
)

// backend returns a backend without a USB host.
func backend(t *testing.T) *native.Backend {
	t.Helper()
	b, err := native.New(native.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plug opens a virtual reader and adds it to a backend.
func plug(t *testing.T, b *native.Backend, d *reader.Device, unit int) {
	t.Helper()
	transport, err := d.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ccid.Open(t.Context(), transport, ccid.Options{Unit: unit})
	if err != nil {
		t.Fatal(err)
	}
	b.Add(r)
}

// world returns a virtual reader at an exchange level, its backend and a context.
func world(t *testing.T, level reader.Level) (*reader.Device, *native.Backend, *sclib.Context) {
	t.Helper()
	d, b := reader.NewDevice(reader.New(level)), backend(t)
	plug(t, b, d, 0)
	sc := sclib.New(b)
	t.Cleanup(func() { sc.Release() })
	return d, b, sc
}

const name = "tamaccid Virtual Reader 0"

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got %v, want %v", err, target)
	}
}

// sayHello has the exchanges of samples/helloworld.
func sayHello(ctx context.Context, card *sclib.Card) (string, error) {
	command, err := iso7816.Select([]byte{0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06,
		0x01}).Bytes()
	if err != nil {
		return "", err
	}
	for _, command := range [][]byte{command, {0, 0, 0, 0}} {
		answer, err := card.Transmit(ctx, command)
		if err != nil {
			return "", err
		}
		response, err := iso7816.ParseResponse(answer)
		if err != nil || response.Err() != nil {
			return "", errors.Join(err, response.Err())
		}
		if len(response.Data) > 0 {
			return string(response.Data), nil
		}
	}
	return "", errors.New("no text")
}

func TestHelloWorldAtEachLevelWithEachCard(t *testing.T) {
	levels := map[string]reader.Level{
		"character": reader.Character, "TPDU": reader.TPDU, "short APDU": reader.ShortAPDU,
		"extended APDU": reader.ExtendedAPDU,
	}
	for level, value := range levels {
		for _, kind := range []string{"t0", "t1", "t1-crc", "t0t1"} {
			t.Run(level+" level, card "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					chip, err := card.Named(kind)
					if err != nil {
						t.Fatal(err)
					}
					d, _, sc := world(t, value)
					d.Reader(0).Insert(0, chip)
					card, err := sc.Connect(t.Context(), name, sclib.ShareExclusive,
						sclib.ProtocolAny)
					if err != nil {
						t.Fatal(err)
					}
					status, err := card.Status(t.Context())
					if err != nil || !bytes.Equal(status.ATR, chip.ATR()) ||
						!status.State.Has(sclib.CardPresent|sclib.CardSpecific) {
						t.Errorf("status %+v, %v", status, err)
					}
					if text, err := sayHello(t.Context(), card); err != nil ||
						text != "Hello world!" {
						t.Errorf("%q, %v", text, err)
					}
					if err := card.Disconnect(sclib.UnpowerCard); err != nil {
						t.Error(err)
					}
					if d.Reader(0).Powered(0) {
						t.Error("the card kept its power")
					}
				})
			})
		}
	}
}

func TestConnect(t *testing.T) {
	tests := []struct {
		name      string
		kind      string // of the card, if any
		protocols sclib.Protocol
		active    sclib.Protocol
		want      error
	}{
		{"no card", "", sclib.ProtocolAny, 0, sclib.ErrNoCard},
		{"a mute card", "mute", sclib.ProtocolAny, 0, sclib.ErrUnresponsiveCard},
		{"T=1 is preferred", "t0t1", sclib.ProtocolAny, sclib.ProtocolT1, nil},
		{"T=0 is requested", "t0t1", sclib.ProtocolT0, sclib.ProtocolT0, nil},
		{"a card without T=1", "t0", sclib.ProtocolT1, 0, sclib.ErrProtocolMismatch},
		{"raw only is not supported", "t0", sclib.ProtocolRaw, 0,
			sclib.ErrProtocolMismatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, sc := world(t, reader.TPDU)
				if test.kind != "" {
					chip, err := card.Named(test.kind)
					if err != nil {
						t.Fatal(err)
					}
					d.Reader(0).Insert(0, chip)
				}
				card, err := sc.Connect(t.Context(), name, sclib.ShareShared, test.protocols)
				want(t, err, test.want)
				if err != nil {
					return
				}
				if active, err := card.ActiveProtocol(t.Context()); err != nil ||
					active != test.active {
					t.Errorf("has protocol %v, %v", active, err)
				}
			})
		})
	}
}

func TestAnotherProtocolAfterAnEarlierConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip, err := card.Named("t0t1")
		if err != nil {
			t.Fatal(err)
		}
		d, _, sc := world(t, reader.TPDU)
		d.Reader(0).Insert(0, chip)
		for _, protocol := range []sclib.Protocol{sclib.ProtocolT1, sclib.ProtocolT0,
			sclib.ProtocolT1} {
			card, err := sc.Connect(t.Context(), name, sclib.ShareShared, protocol)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := sayHello(t.Context(), card); err != nil || text != "Hello world!" {
				t.Errorf("%v: %q, %v", protocol, text, err)
			}
			if err := card.Disconnect(sclib.LeaveCard); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestACommandThatIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, sc := world(t, reader.ShortAPDU)
		d.Reader(0).Insert(0, card.T1())
		connection, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
		if err != nil {
			t.Fatal(err)
		}
		extended := append([]byte{0x80, 0x32, 0, 0, 0, 0x10, 0x00}, make([]byte, 0x1000)...)
		_, err = connection.Transmit(t.Context(), extended)
		want(t, err, sclib.ErrInvalidParameter)
		if text, err := sayHello(t.Context(), connection); err != nil || text != "Hello world!" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestACardIsRemovedAndInserted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, sc := world(t, reader.TPDU)
		d.Reader(0).Insert(0, card.T1())
		connection, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sayHello(t.Context(), connection); err != nil {
			t.Fatal(err)
		}
		d.Reader(0).Remove(0)
		_, err = sayHello(t.Context(), connection)
		want(t, err, sclib.ErrRemovedCard)
		want(t, connection.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
			sclib.LeaveCard), sclib.ErrNoCard)

		d.Reader(0).Insert(0, card.T0())
		_, err = sayHello(t.Context(), connection)
		want(t, err, sclib.ErrRemovedCard)
		if err := connection.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
			sclib.LeaveCard); err != nil {
			t.Fatal(err)
		}
		if text, err := sayHello(t.Context(), connection); err != nil || text != "Hello world!" {
			t.Errorf("%q, %v", text, err)
		}

		// Replaced between two calls: the handle must not use the new card as the old one.
		d.Reader(0).Remove(0)
		d.Reader(0).Insert(0, card.T0())
		if _, err := sayHello(t.Context(), connection); err == nil {
			t.Error("a swapped card was talked to")
		}
	})
}

func TestWaitingForACard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, sc := world(t, reader.TPDU)
		states := []sclib.ReaderState{{Reader: name}}
		if err := sc.GetStatusChange(t.Context(), states); err != nil {
			t.Fatal(err)
		}
		if states[0].EventState&sclib.StateEmpty == 0 {
			t.Errorf("before: %#x", states[0].EventState)
		}
		states[0].CurrentState = states[0].EventState
		time.AfterFunc(10*time.Millisecond, func() { d.Reader(0).Insert(0, card.T1()) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := sc.GetStatusChange(ctx, states); err != nil {
			t.Fatal(err)
		}
		if states[0].EventState&sclib.StatePresent == 0 {
			t.Errorf("after: %#x", states[0].EventState)
		}
	})
}

func TestAReaderIsUnpluggedAndPluggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b, sc := world(t, reader.TPDU)
		d.Reader(0).Insert(0, card.T1())
		connection, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
		if err != nil {
			t.Fatal(err)
		}
		d.Unplug()
		_, err = sayHello(t.Context(), connection)
		want(t, err, sclib.ErrReaderUnavailable)
		_, err = sc.ListReaders(t.Context())
		want(t, err, sclib.ErrNoReaders)

		d.Replug()
		plug(t, b, d, 0)
		again, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := sayHello(t.Context(), again); err != nil || text != "Hello world!" {
			t.Errorf("%q, %v", text, err)
		}
		_, err = sayHello(t.Context(), connection)
		want(t, err, sclib.ErrReaderUnavailable)
		if err := connection.Disconnect(sclib.ResetCard); err != nil {
			t.Error(err)
		}
		if text, err := sayHello(t.Context(), again); err != nil || text != "Hello world!" {
			t.Errorf("the old handle's end disturbed the new one: %q, %v", text, err)
		}
	})
}

func TestAReaderWithTwoSlotsIsTwoReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := reader.New(reader.TPDU)
		m.Functions[0].CCID.MaxSlotIndex = 1
		d, b := reader.NewDevice(m), backend(t)
		plug(t, b, d, 7)
		sc := sclib.New(b)
		defer sc.Release()
		names, err := sc.ListReaders(t.Context())
		if err != nil || len(names) != 2 || names[0] == names[1] {
			t.Fatalf("%q, %v", names, err)
		}
		d.Reader(0).Insert(1, card.T1())
		_, err = sc.Connect(t.Context(), names[0], sclib.ShareShared, sclib.ProtocolAny)
		want(t, err, sclib.ErrNoCard)
		card, err := sc.Connect(t.Context(), names[1], sclib.ShareShared, sclib.ProtocolAny)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := sayHello(t.Context(), card); err != nil || text != "Hello world!" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestTheBackendClosesItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b, sc := world(t, reader.TPDU)
		if err := sc.Release(); err != nil {
			t.Fatal(err)
		}
		transport, err := d.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		late, err := ccid.Open(t.Context(), transport, ccid.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.Add(late)
		if !late.Gone() {
			t.Error("a reader added to a closed backend stays open")
		}
	})
}
