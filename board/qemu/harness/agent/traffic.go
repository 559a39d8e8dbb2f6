package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/sclib"
)

// pause follows each exchange, so that others can run: boards do not preempt (policy).
const pause = time.Millisecond

// trafficLimit ends traffic when the reader that ends it does not come (policy).
const trafficLimit = 4 * time.Minute

// traffic exchanges with every reader until the one with this key has answered. Exchanges may fail,
// since readers come and go, but returned data must be correct.
func traffic(ctx context.Context, sc *sclib.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, trafficLimit)
	defer cancel()
	var (
		good, bad atomic.Uint32
		wait      sync.WaitGroup
		mu        sync.Mutex
		working   = map[string]bool{}
		wrong     error
	)
	work := func(name string) {
		defer func() {
			mu.Lock()
			delete(working, name)
			mu.Unlock()
		}()
		for ctx.Err() == nil {
			switch err := exchange(ctx, sc, name); {
			case err == nil:
				good.Add(1)
				time.Sleep(pause)
				if strings.Contains(name, key) {
					cancel()
				}
			case errors.Is(err, errWrong):
				mu.Lock()
				wrong = fmt.Errorf("%s: %w", name, err)
				mu.Unlock()
				cancel()
			case ctx.Err() != nil: // traffic ended during the exchange
				return
			default:
				bad.Add(1)
				return // if it is still there, the next list has it
			}
		}
	}
	for ctx.Err() == nil {
		names, err := list(ctx, sc)
		if err != nil && ctx.Err() == nil {
			cancel()
			wait.Wait()
			return "", err
		}
		for _, name := range names {
			mu.Lock()
			started := working[name]
			working[name] = true
			mu.Unlock()
			if !started {
				wait.Go(func() { work(name) })
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
	wait.Wait()
	text := fmt.Sprintf("%d exchanges, %d failed", good.Load(), bad.Load())
	switch {
	case wrong != nil:
		return "", wrong
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("no reader %q: %s", key, text)
	}
	return text, nil
}
