package ccid

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// firstTries is how often the first command is sent to a reader that does not answer it (policy:
// the reader may still be starting). Each try waits twice as long as the one before.
const firstTries = 3

// open is prepare, bounded by Timing.Open.
func (r *Reader) open(ctx context.Context) error {
	bound := r.timing.Open + r.quirk.OpenWait + r.quirk.FirstStatus + r.quirk.Answer
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err := r.prepare(within)
	if d, ok := ctx.Deadline(); wait.Ended(err) && ctx.Err() == nil && (!ok || time.Until(d) > 0) {
		return fmt.Errorf("%w: not ready within %v: %w", ErrTimeout, bound, err)
	}
	return err
}

// prepare makes a new reader ready: it waits as long as the reader needs, has it answer a command,
// and reads its tables.
func (r *Reader) prepare(ctx context.Context) error {
	if r.quirk.OpenWait > 0 {
		if err := wait.Pause(ctx, r.quirk.OpenWait); err != nil {
			return err
		}
	}
	if err := r.firstStatus(ctx, r.slots[0]); err != nil {
		return err
	}
	if r.iface.Interrupt.Address != 0 {
		r.latency = notificationLatency(r.iface.Interrupt, r.dev.Speed)
		if r.o.Notifications || r.o.CheckNotifications > 0 {
			r.expectReports()
		}
	}
	return r.readTables(ctx)
}

// firstStatus sends GetSlotStatus, the first command, until the reader answers it.
func (r *Reader) firstStatus(ctx context.Context, s *Slot) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	abort := r.pipe.Waits.Abort
	defer func() { r.pipe.Waits.Abort = abort }()
	limit := max(r.timing.Answer, r.quirk.FirstStatus)
	for try := 0; ; try++ {
		_, err := s.command(ctx, pipe.Command{Type: pipe.GetSlotStatus, Wait: limit << try,
			Repeat: true})
		if slotError(err) != nil {
			return nil
		}
		if !errors.Is(err, ErrTimeout) || ctx.Err() != nil || try == firstTries-1 {
			return err
		}
		r.pipe.Waits.Abort *= 2
	}
}

// statusWait is the wait for GetSlotStatus.
func (r *Reader) statusWait() time.Duration { return r.timing.Answer }

// tableWait is the wait for a class request that reads a table (USB 2.0, 9.2.6.4: 500 ms for each
// data stage; policy: twice that).
const tableWait = time.Second

// readTables reads the clock frequencies and data rates that the reader lists (CCID 1.1, 5.3.2 and
// 5.3.3), where the host has a use for them. A reader that declares tables and stalls the request
// has none.
func (r *Reader) readTables(ctx context.Context) error {
	if r.class.Features.Has(FeatureAutoParameters) {
		return nil
	}
	for _, t := range [...]struct {
		request, entries uint8
		list             *[]uint32
	}{
		{pipe.RequestGetClockFrequencies, r.class.ClocksSupported, &r.clocks},
		{pipe.RequestGetDataRates, r.class.DataRates, &r.rates},
	} {
		if t.entries == 0 {
			continue
		}
		var err error
		if *t.list, err = r.table(ctx, t.request, int(t.entries)); errors.Is(err, usb.ErrTimeout) {
			return nil // a reader that does not answer one such request gets no other one
		} else if err != nil {
			return err
		}
	}
	return nil
}

// table reads a list of double words. Fewer than declared are accepted. Errors are the end of ctx,
// a reader that has gone, and usb.ErrTimeout.
func (r *Reader) table(ctx context.Context, request uint8, entries int) ([]uint32, error) {
	b := make([]byte, 4*entries)
	n, err := r.pipe.ClassRequest(ctx, usb.DirIn, request, 0, b, tableWait)
	switch {
	case errors.Is(err, usb.ErrGone):
		return nil, r.note(err)
	case wait.Ended(err), errors.Is(err, usb.ErrTimeout):
		return nil, err
	case err != nil:
		return nil, nil
	}
	var list []uint32
	for b = b[:min(max(0, n), len(b))]; len(b) >= 4; b = b[4:] {
		if v := binary.LittleEndian.Uint32(b); v != 0 {
			list = append(list, v)
		}
	}
	return list, nil
}
