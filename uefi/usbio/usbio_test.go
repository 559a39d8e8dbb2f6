//go:build !tamago

package usbio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

const device = uefi.DeviceError

var bg = context.Background()

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name   string
		status uefi.Status
		result uefi.USBResult
		late   bool
		want   error
	}{
		{"success", uefi.Success, uefi.USBNoError, false, nil},
		{"a warning is success", uefi.WarnStaleData, uefi.USBNoError, false, nil},
		{"a stall", device, uefi.USBStall, false, usb.ErrStall},
		{"a stall that firmware calls success", uefi.Success, uefi.USBStall, false, usb.ErrStall},
		{"a stalled queue of UHCI after CRC errors", device, uefi.USBStall | uefi.USBCRC, false,
			usb.ErrTransfer},
		{"babble", device, uefi.USBBabble, false, usb.ErrBabble},
		{"babble with the stalled queue of UHCI", device, uefi.USBBabble | uefi.USBStall, false,
			usb.ErrBabble},
		{"the time given has passed", uefi.Timeout, uefi.USBTimeout, true, usb.ErrTimeout},
		{"the time given has passed, without a further result", uefi.Timeout, uefi.USBNoError, true,
			usb.ErrTimeout},
		{"the time given has passed, and the transfer did not execute", uefi.Timeout,
			uefi.USBNotExecuted, true, usb.ErrTimeout},
		{"the time given has passed with only NAKs", uefi.Timeout, uefi.USBNAK, true,
			usb.ErrTimeout},
		{"no answer on the wire", device, uefi.USBTimeout, false, usb.ErrTransfer},
		{"a device error at the end of the time given", device, uefi.USBTimeout, true,
			usb.ErrTimeout},
		{"CRC at the end of the time given", device, uefi.USBTimeout | uefi.USBCRC, true,
			usb.ErrTransfer},
		{"the host controller failed", device, uefi.USBSystem, false, usb.ErrTransfer},
		{"a result of a newer firmware", device, 0x200, false, usb.ErrTransfer},
		{"bit stuffing", device, uefi.USBBitStuff, false, usb.ErrTransfer},
		{"firmware refuses", uefi.InvalidParameter, uefi.USBNoError, false, usb.ErrTransfer},
		{"firmware has no memory", uefi.OutOfResources, uefi.USBNoError, false, usb.ErrTransfer},
		{"success that was not executed", uefi.Success, uefi.USBNotExecuted, false,
			usb.ErrTransfer},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := classify(c.status, c.result, c.late)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == usb.ErrTransfer && c.status.IsError() && !errors.Is(err, c.status) {
				t.Errorf("%v has lost the status", err)
			}
		})
	}
}

func TestIn(t *testing.T) {
	packet := func(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
	there := func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} }
	for _, c := range []struct {
		name     string
		endpoint uint8
		room     int
		timeout  time.Duration
		answers  []answer
		control  func(uefi.USBRequest, []byte) answer
		n        int
		err      error
		log      []string
		took     time.Duration
	}{
		{name: "a short answer", endpoint: 0x82, room: 320, timeout: 10 * time.Second,
			answers: []answer{{Data: packet(12, 1)}}, n: 12,
			log: []string{"bulk 82 320 in 1400 ms"}},
		{name: "a zero-length packet", endpoint: 0x82, room: 320, timeout: time.Second,
			answers: []answer{{Data: []byte{}}}, n: 0, log: []string{"bulk 82 320 in 1000 ms"}},
		{name: "an answer that fills the buffer", endpoint: 0x82, room: 128, timeout: time.Second,
			answers: []answer{{Data: packet(128, 2)}}, n: 128,
			log: []string{"bulk 82 128 in 1000 ms"}},
		{name: "the largest buffer", endpoint: 0x82, room: 65536, timeout: time.Second,
			answers: []answer{{Data: packet(65536, 2)}}, n: 65536,
			log: []string{"bulk 82 65536 in 1000 ms"}},
		{name: "a timeout of a fraction of a millisecond is rounded up", endpoint: 0x82, room: 64,
			timeout: 100 * time.Microsecond,
			answers: []answer{uefitest.Silent}, err: usb.ErrTimeout,
			log: []string{"bulk 82 64 in 1 ms"}, took: time.Millisecond},
		{name: "a timeout of one millisecond and a half is rounded up", endpoint: 0x82, room: 64,
			timeout: 1500 * time.Microsecond,
			answers: []answer{uefitest.Silent}, err: usb.ErrTimeout,
			log: []string{"bulk 82 64 in 2 ms"}, took: 2 * time.Millisecond},
		{name: "an interrupt", endpoint: 0x81, room: 16, timeout: 10 * time.Millisecond,
			answers: []answer{{Data: []byte{0x50, 3}}}, n: 2,
			log: []string{"interrupt 81 16 in 10 ms"}},
		{name: "no interrupt", endpoint: 0x81, room: 16, timeout: 10 * time.Millisecond,
			answers: []answer{uefitest.Silent}, err: usb.ErrTimeout,
			log: []string{"interrupt 81 16 in 10 ms"}, took: 10 * time.Millisecond},
		{name: "a slow card: later waits take one packet, then the rest", endpoint: 0x82, room: 320,
			timeout: 10 * time.Second, control: there,
			answers: []answer{uefitest.Silent, uefitest.Silent,
				{Data: packet(64, 3), Took: 500 * time.Millisecond}, {Data: packet(20, 4)}}, n: 84,
			log: []string{"bulk 82 320 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms",
				"bulk 82 64 in 1000 ms",
				"control 80 00 0000 0000 2 in 500 ms", "bulk 82 64 in 1000 ms",
				"bulk 82 256 in 1400 ms"}, took: 2900 * time.Millisecond},
		{name: "the end of the first wait falls into an answer", endpoint: 0x82, room: 320,
			timeout: 10 * time.Second,
			answers: []answer{{Data: packet(128, 5), Status: uefi.Timeout, Result: uefi.USBTimeout,
				Took: uefitest.UntilLimit}, {Data: packet(10, 6)}}, n: 138,
			log: []string{"bulk 82 320 in 1400 ms", "bulk 82 192 in 1400 ms"}, took: firstWait},
		{name: "an answer that stops in its middle", endpoint: 0x82, room: 320,
			timeout: 10 * time.Second,
			answers: []answer{{Data: packet(30, 5), Status: uefi.Timeout, Result: uefi.USBTimeout,
				Took: uefitest.UntilLimit}}, n: 30, err: usb.ErrTimeout,
			log: []string{"bulk 82 320 in 1400 ms"}, took: firstWait},
		{name: "an answer that stops behind a packet", endpoint: 0x82, room: 320,
			timeout: 10 * time.Second,
			answers: []answer{{Data: packet(64, 5), Status: uefi.Timeout, Result: uefi.USBTimeout,
				Took: uefitest.UntilLimit}, uefitest.Silent}, n: 64, err: usb.ErrTimeout,
			log: []string{"bulk 82 320 in 1400 ms", "bulk 82 256 in 1400 ms"}, took: 2 * firstWait},
		{name: "nothing until the timeout", endpoint: 0x82, room: 64,
			timeout: 1900 * time.Millisecond, control: there,
			answers: []answer{uefitest.Silent, uefitest.Silent}, err: usb.ErrTimeout,
			log: []string{"bulk 82 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms",
				"bulk 82 64 in 500 ms"},
			took: 1900 * time.Millisecond},
		{name: "a device that is busy and answers nothing at all is not gone", endpoint: 0x82,
			room: 64, timeout: 6 * time.Second,
			control: func(uefi.USBRequest, []byte) answer { return uefitest.Silent },
			answers: []answer{uefitest.Silent, uefitest.Silent, {Data: []byte{9, 9}}}, n: 2,
			log: []string{"bulk 82 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms",
				"bulk 82 64 in 1000 ms",
				"control 80 00 0000 0000 2 in 500 ms", "bulk 82 64 in 1000 ms"},
			took: 3400 * time.Millisecond},
		{name: "a device that answers nothing at all for long", endpoint: 0x82, room: 64,
			timeout: time.Minute,
			control: func(uefi.USBRequest, []byte) answer { return uefitest.Silent },
			answers: []answer{uefitest.Silent, uefitest.Silent, uefitest.Silent, uefitest.Silent,
				uefitest.Silent, uefitest.Silent, uefitest.Silent,
				uefitest.Silent}, err: usb.ErrGone,
			log: append([]string{"bulk 82 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms"},
				slices.Repeat([]string{"bulk 82 64 in 1000 ms",
					"control 80 00 0000 0000 2 in 500 ms"}, 7)...), took: 12400 * time.Millisecond},
		{name: "a controller that calls it success when nothing is there", endpoint: 0x82, room: 64,
			timeout: time.Second,
			control: func(uefi.USBRequest, []byte) answer { return answer{} },
			answers: []answer{{Status: device, Result: uefi.USBCRC}}, err: usb.ErrGone,
			log: []string{"bulk 82 64 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a byte that was not sent", endpoint: 0x82, room: 64, timeout: time.Second,
			control: func(uefi.USBRequest, []byte) answer { return uefitest.Silent },
			answers: []answer{{Data: []byte{0}}}, err: usb.ErrGone,
			log:  []string{"bulk 82 64 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"},
			took: 500 * time.Millisecond},
		{name: "a device that is away while it is waited for", endpoint: 0x82, room: 64,
			timeout: 6 * time.Second,
			control: func(uefi.USBRequest, []byte) answer {
				return answer{Status: device, Result: uefi.USBTimeout}
			},
			answers: []answer{uefitest.Silent}, err: usb.ErrGone,
			log:  []string{"bulk 82 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms"},
			took: firstWait},
		{name: "a stall", endpoint: 0x82, room: 64, timeout: time.Second,
			answers: []answer{{Status: device, Result: uefi.USBStall}}, err: usb.ErrStall,
			log: []string{"bulk 82 64 in 1000 ms"}},
		{name: "a wire error of a device that is there", endpoint: 0x82, room: 64,
			timeout: time.Second, control: there,
			answers: []answer{{Status: device, Result: uefi.USBCRC}}, err: usb.ErrTransfer,
			log: []string{"bulk 82 64 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a wire error of a device that stalls GET_STATUS", endpoint: 0x82, room: 64,
			timeout: time.Second,
			control: func(uefi.USBRequest, []byte) answer {
				return answer{Status: device, Result: uefi.USBStall}
			},
			answers: []answer{{Status: device, Result: uefi.USBTimeout}}, err: usb.ErrTransfer,
			log: []string{"bulk 82 64 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a wire error of a device that is away", endpoint: 0x82, room: 64,
			timeout: time.Second,
			control: func(uefi.USBRequest, []byte) answer {
				return answer{Status: device, Result: uefi.USBSystem}
			},
			answers: []answer{{Status: device, Result: uefi.USBTimeout}}, err: usb.ErrGone,
			log: []string{"bulk 82 64 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a wire error and a control endpoint that is silent", endpoint: 0x82, room: 64,
			timeout: time.Second,
			control: func(uefi.USBRequest, []byte) answer { return uefitest.Silent },
			answers: []answer{{Status: device, Result: uefi.USBTimeout}}, err: usb.ErrGone,
			log:  []string{"bulk 82 64 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"},
			took: 500 * time.Millisecond},
		{name: "firmware claims more than the buffer holds", endpoint: 0x82, room: 64,
			timeout: time.Second,
			answers: []answer{{Length: 1 << 30}}, n: 64, log: []string{"bulk 82 64 in 1000 ms"}},
		{name: "a buffer that is no multiple of the packet", endpoint: 0x82, room: 65,
			err: ErrUsage},
		{name: "a buffer beyond the limit", endpoint: 0x82, room: 65536 + 64, err: ErrUsage},
		{name: "no buffer", endpoint: 0x82, err: ErrUsage},
		{name: "an endpoint of another interface", endpoint: 0x84, room: 64, err: ErrUsage},
		{name: "an endpoint of the other direction", endpoint: 0x03, room: 64, err: ErrUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				tr := f.open()
				f.streams, f.control = c.answers, c.control
				began := time.Now()
				n, err := tr.In(bg, c.endpoint, make([]byte, c.room), c.timeout)
				if n != c.n || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("got %d, %v; want %d, %v", n, err, c.n, c.err)
				}
				if !slices.Equal(f.Log, c.log) {
					t.Errorf("firmware saw\n%q, want\n%q", f.Log, c.log)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if len(f.streams) != 0 {
					t.Errorf("%d answers were not fetched", len(f.streams))
				}
			})
		})
	}
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		f.control = func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} }
		tr := f.open()

		ctx, cancel := context.WithCancel(bg)
		f.streams = []answer{uefitest.Silent}
		go func() { time.Sleep(firstWait - 500*time.Millisecond); cancel() }()
		if _, err := tr.In(ctx, 0x82, make([]byte, 64), 0); err != context.Canceled {
			t.Errorf("cancelled during a wait without limit: %v", err)
		}
		if _, err := tr.Out(ctx, 0x03, []byte{1}, time.Second); err != context.Canceled {
			t.Errorf("Out with a context that has ended: %v", err)
		}
		if _, err := tr.Control(ctx, getStatus, make([]byte, 2),
			time.Second); err != context.Canceled {
			t.Errorf("Control with a context that has ended: %v", err)
		}

		ctx, cancel = context.WithTimeout(bg, 300*time.Millisecond)
		defer cancel()
		f.Log, f.streams = nil, []answer{uefitest.Silent}
		if _, err := tr.In(ctx, 0x82, make([]byte, 64),
			time.Minute); err != context.DeadlineExceeded {
			t.Errorf("deadline of the context: %v", err)
		}
		if want := []string{"bulk 82 64 in 300 ms"}; !slices.Equal(f.Log, want) {
			t.Errorf("firmware saw %q, want %q", f.Log, want)
		}

		ctx, cancel = context.WithTimeout(bg, 300*time.Millisecond)
		defer cancel()
		f.control = func(uefi.USBRequest, []byte) answer { return uefitest.Silent }
		if _, err := tr.Control(ctx, getStatus, make([]byte, 2),
			time.Minute); err != context.DeadlineExceeded {
			t.Errorf("deadline of the context during Control: %v", err)
		}
	})
}

func TestOut(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		timeout time.Duration
		answers []answer
		n       int
		err     error
		log     []string
		control func(uefi.USBRequest, []byte) answer
		stop    bool // firmware calls Stop after the first wait
	}{
		{name: "a message", size: 10, timeout: time.Second, answers: []answer{{}}, n: 10,
			log: []string{"bulk 03 10 in 1000 ms"}},
		{name: "a zero-length packet", size: 0, timeout: time.Second, answers: []answer{{}},
			log: []string{"bulk 03 0 in 1000 ms"}},
		{name: "more than firmware takes at once", size: 65556, timeout: time.Second,
			answers: []answer{{}, {}}, n: 65556,
			log: []string{"bulk 03 65536 in 1000 ms", "bulk 03 20 in 1000 ms"}},
		{name: "no limit is still one", size: 10, answers: []answer{{}}, n: 10,
			log: []string{"bulk 03 10 in 1400 ms"}},
		{name: "a reader that takes half of it", size: 128, timeout: time.Second,
			answers: []answer{{Length: 64}}, n: 64, err: usb.ErrTransfer,
			control: func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} },
			log:     []string{"bulk 03 128 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a controller that calls it success when nothing is there", size: 10,
			timeout: time.Second, answers: []answer{{Length: 1}}, n: 1, err: usb.ErrGone,
			control: func(uefi.USBRequest, []byte) answer { return answer{} },
			log:     []string{"bulk 03 10 in 1000 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a reader that takes nothing", size: 10, timeout: 50 * time.Millisecond,
			answers: []answer{uefitest.Silent}, err: usb.ErrTimeout,
			log: []string{"bulk 03 10 in 50 ms"}},
		{name: "a packet that is taken late", size: 64, timeout: 5 * time.Second,
			answers: []answer{uefitest.Silent, {}}, n: 64,
			control: func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} },
			log: []string{"bulk 03 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms",
				"bulk 03 64 in 1400 ms"}},
		{name: "a packet that is never taken", size: 64, timeout: 2 * time.Second,
			answers: []answer{uefitest.Silent, uefitest.Silent}, err: usb.ErrTimeout,
			control: func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} },
			log: []string{"bulk 03 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms",
				"bulk 03 64 in 600 ms"}},
		{name: "packets are not sent again when it is unknown how many were taken", size: 128,
			timeout: 5 * time.Second, answers: []answer{uefitest.Silent}, err: usb.ErrTimeout,
			control: func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} },
			log:     []string{"bulk 03 128 in 1407 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a device that was removed, on a controller whose transfers to it only time out",
			size: 64, timeout: 5 * time.Second,
			answers: []answer{uefitest.Silent}, err: usb.ErrGone, stop: true,
			control: func(uefi.USBRequest, []byte) answer { return uefitest.Silent },
			log:     []string{"bulk 03 64 in 1400 ms", "control 80 00 0000 0000 2 in 500 ms"}},
		{name: "a stall", size: 10, timeout: time.Second,
			answers: []answer{{Status: device, Result: uefi.USBStall}}, err: usb.ErrStall,
			log: []string{"bulk 03 10 in 1000 ms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				began := time.Now()
				f.pause = func() bool { return c.stop && time.Since(began) >= firstWait }
				tr := f.open()
				f.streams, f.control = c.answers, c.control
				n, err := tr.Out(bg, 0x03, make([]byte, c.size), c.timeout)
				if n != c.n || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("got %d, %v; want %d, %v", n, err, c.n, c.err)
				}
				if !slices.Equal(f.Log, c.log) {
					t.Errorf("firmware saw\n%q, want\n%q", f.Log, c.log)
				}
			})
		})
	}
}

func TestControl(t *testing.T) {
	in := func(n uint16) usb.Setup {
		return usb.Setup{RequestType: 0xa1, Request: 3, Index: 1, Length: n}
	}
	for _, c := range []struct {
		name   string
		setup  usb.Setup
		room   int
		answer answer
		want   []byte
		err    error
		log    string
	}{
		{name: "a whole data stage", setup: in(4), room: 8,
			answer: answer{Data: []byte{1, 2, 3, 4}}, want: []byte{1, 2, 3, 4},
			log: "control a1 03 0000 0001 4 in 1000 ms"},
		{name: "a short data stage, which firmware calls a device error", setup: in(8), room: 8,
			answer: answer{Data: []byte{1, 0}, Status: device},
			want:   []byte{1, 0}, log: "control a1 03 0000 0001 8 in 1000 ms"},
		{name: "an empty data stage", setup: in(8), room: 8, answer: answer{Status: device},
			want: []byte{}, log: "control a1 03 0000 0001 8 in 1000 ms"},
		{name: "a short data stage that firmware does not notice", setup: in(64), room: 64,
			answer: answer{Data: []byte{1, 0}},
			want:   []byte{1, 0}, log: "control a1 03 0000 0001 64 in 1000 ms"},
		{name: "an answer that ends like the fill", setup: in(3), room: 3,
			answer: answer{Data: []byte{1, fill, fill}}, want: []byte{1, fill, fill},
			log: "control a1 03 0000 0001 3 in 1000 ms"},
		{name: "data to the device is left alone",
			setup: usb.Setup{RequestType: 0x21, Request: 1, Length: 2}, room: 2,
			want: []byte{0, 0}, log: "control 21 01 0000 0000 2 in 1000 ms"},
		{name: "no data", setup: usb.Setup{RequestType: 0x21, Request: 1, Value: 0x0102},
			want: []byte{}, log: "control 21 01 0102 0000 0 in 1000 ms"},
		{name: "a request that the device does not support", setup: in(4), room: 4,
			answer: answer{Status: device, Result: uefi.USBStall}, err: usb.ErrStall,
			log: "control a1 03 0000 0001 4 in 1000 ms"},
		{name: "a device that is slow", setup: in(4), room: 4, answer: uefitest.Silent,
			err: usb.ErrTimeout, log: "control a1 03 0000 0001 4 in 1000 ms"},
		{name: "a buffer smaller than the data stage", setup: in(4), room: 3, err: ErrUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				tr := f.open()
				f.control = func(uefi.USBRequest, []byte) answer { return c.answer }
				data := make([]byte, c.room)
				n, err := tr.Control(bg, c.setup, data, time.Second)
				if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) ||
					!bytes.Equal(data[:n], c.want) && err == nil {
					t.Errorf("got % x, %v; want % x, %v", data[:n], err, c.want, c.err)
				}
				if got := fmt.Sprint(f.Log); c.log != "" && got != "["+c.log+"]" {
					t.Errorf("firmware saw %s", got)
				}
			})
		})
	}
}

func TestControlAndClearHaltHaveLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		tr := f.open()
		f.control = func(uefi.USBRequest, []byte) answer { return answer{} }
		tr.Control(bg, usb.Setup{RequestType: 0x21, Request: 1}, nil, 0)
		uefitest.Check(t, tr.ClearHalt(bg, 0x82))
		want := []string{"control 21 01 0000 0000 0 in 5000 ms",
			"control 02 01 0000 0082 0 in 500 ms"}
		if !slices.Equal(f.Log, want) {
			t.Errorf("firmware saw %q, want %q", f.Log, want)
		}
	})
}

func TestClosedTransportNeverCallsFirmware(t *testing.T) {
	f := reader(t)
	tr := f.open()
	tr.Close()
	_, in := tr.In(bg, 0x82, make([]byte, 64), time.Second)
	_, out := tr.Out(bg, 0x03, []byte{1}, time.Second)
	_, control := tr.Control(bg, getStatus, make([]byte, 2), time.Second)
	for i, err := range []error{in, out, control, tr.ClearHalt(bg, 0x82)} {
		if err != usb.ErrGone {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if len(f.Log) != 0 {
		t.Errorf("firmware saw %q", f.Log)
	}
}
