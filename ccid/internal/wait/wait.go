package wait

import (
	"context"
	"errors"
	"time"
)

// Pause sleeps for d, or ends early with the error of ctx.
func Pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		time.Sleep(d)
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ended reports whether err is that of a context that has ended.
func Ended(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Over reports whether ctx has ended, or err is that of a transport that has seen it end.
func Over(ctx context.Context, err error) bool { return ctx.Err() != nil || Ended(err) }
