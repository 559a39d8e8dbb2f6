package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/internal/wait"
)

// command runs one command on the slot: it is repeated while the slot is busy, and once where its
// answer was lost and it changes nothing on the card. Every answer updates what is known of the
// card. state.go has what each event leaves behind. The caller holds the slot.
func (s *Slot) command(ctx context.Context, c pipe.Command) (pipe.Answer, error) {
	r := s.r
	if err := r.lost(); err != nil {
		return pipe.Answer{}, err
	}
	if err := ctx.Err(); err != nil {
		return pipe.Answer{}, err
	}
	if err := r.busy.Acquire(ctx); err != nil {
		return pipe.Answer{}, err
	}
	defer r.busy.Release()
	var deadline time.Time
	for again := false; ; {
		a, err := s.pipe.Exchange(ctx, c)
		switch {
		case err != nil:
			err = r.note(err)
			lost := errors.Is(err, pipe.ErrLost) && r.lost() == nil && !wait.Over(ctx, err)
			if c.Repeat && !again && lost {
				again = true
				continue
			}
			return pipe.Answer{}, err
		case a.CommandStatus() != pipe.StatusFailed:
			s.observe(a.Header, c.Type)
			return a, nil
		case a.Error == pipe.CodeAborted && c.Repeat && !again:
			// The reader waits for the second half of an abort sequence (CCID 1.1, 5.3.1) that
			// was begun before Open.
			s.pipe.MarkStale()
			again = true
		case a.Error == pipe.CodeSlotBusy || a.Error == pipe.CodeBusyAuto:
			if deadline.IsZero() {
				deadline = time.Now().Add(c.Wait)
			} else if time.Now().After(deadline) {
				return a, fmt.Errorf("%v: %w", c.Type, &SlotError{a.Status, a.Error})
			}
			if err := wait.Pause(ctx, r.timing.Busy); err != nil {
				return pipe.Answer{}, err
			}
		default:
			s.observe(a.Header, c.Type)
			return a, &SlotError{a.Status, a.Error}
		}
	}
}
