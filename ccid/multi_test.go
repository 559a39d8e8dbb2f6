package ccid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
)

// multi is a reader with several slots, which answers all commands of a turn in the wrong order.
func multi(slots, busy byte) (*fake, ClassDescriptor) {
	c := class(FeatureShortAPDU | FeatureAutoParameters)
	c.MaxSlotIndex, c.MaxBusySlots = slots-1, busy
	cards := map[byte]func(*fake, []byte) [][]byte{}
	for i := range slots {
		cards[i] = ordinary(atrT0,
			func(_, p []byte) []byte { return append(append([]byte(nil), p[5:]...), 0x90, 0) })
	}
	f := newFake(c, nil)
	var held [][]byte
	f.answer = func(f *fake, m []byte) [][]byte {
		good := cards[m[5]](f, m)
		if pipe.MessageType(m[0]) != pipe.XfrBlock {
			return good
		}
		held = append(good, held...)
		if len(held) < int(busy) {
			return nil
		}
		all := held
		held = nil
		return all
	}
	return f, c
}

func TestSlotsWorkAtOnceAndAnswerInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 3
		f, _ := multi(slots, slots)
		r, err := Open(context.Background(), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for i, s := range r.Slots() {
			if _, err := s.Connect(ctx, T0, ColdReset); err != nil {
				t.Fatal(i, err)
			}
		}
		// Each turn waits for commands of all slots: it ends only when they really are under way at
		// once.
		const turns = 200
		var wg sync.WaitGroup
		failed := make(chan error, slots)
		for i, s := range r.Slots() {
			wg.Add(1)
			go func() {
				defer wg.Done()
				var out [64]byte
				for turn := range turns {
					command := []byte{0, 1, 0, 0, 1, byte(i*64 + turn%64)}
					n, err := s.Transmit(ctx, command, out[:])
					if err != nil || !bytes.Equal(out[:n], []byte{command[5], 0x90, 0}) {
						failed <- fmt.Errorf("slot %d, turn %d: % X, %w", i, turn, out[:n], err)
						cancel()
						return
					}
				}
			}()
		}
		wg.Wait()
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
	})
}

func TestOneCommandAtATimeWhereTheReaderTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := multi(4, 1)
		out := 0
		inner := f.answer
		f.answer = func(f *fake, m []byte) [][]byte {
			out++
			if len(f.queue) > 0 {
				t.Error("a command while an answer waits")
			}
			return inner(f, m)
		}
		r, err := Open(context.Background(), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var wg sync.WaitGroup
		for _, s := range r.Slots() {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if _, err := s.Connect(context.Background(), T0, ColdReset); err != nil {
					t.Error(err)
				}
				var b [64]byte
				for range 50 {
					if _, err := s.Transmit(context.Background(), []byte{0, 1, 0, 0, 1, s.index},
						b[:]); err != nil || b[0] != s.index {
						t.Error(s.index, err)
						return
					}
				}
			}()
		}
		wg.Wait()
		if r.Slots()[3].Name() != r.Name()+", 3" || r.Slots()[0].Name() != r.Name() ||
			r.Slots()[2].Index() != 2 {
			t.Error(r.Slots()[3].Name())
		}
	})
}

func TestASilentSlotDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := multi(2, 2)
		healthy := f.answer
		f.answer = func(f *fake, m []byte) [][]byte {
			if pipe.MessageType(m[0]) == pipe.XfrBlock {
				if m[5] == 0 {
					return nil
				}
				return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, 0x90, 0)}
			}
			return healthy(f, m)
		}
		r, err := Open(context.Background(), f,
			Options{Timing: &Timing{Answer: 300 * time.Millisecond, Abort: 50 * time.Millisecond,
				Limit: 400 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ctx := context.Background()
		for _, s := range r.Slots() {
			if _, err := s.Connect(ctx, T0, ColdReset); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() {
			var b [4]byte
			_, err := r.Slots()[0].Transmit(ctx, []byte{0, 0, 0, 0}, b[:])
			done <- err
		}()
		synctest.Wait() // slot 0 waits now
		started := time.Now()
		var b [4]byte
		for range 20 {
			if _, err := r.Slots()[1].Transmit(ctx, []byte{0, 0, 0, 0}, b[:]); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(started); d > 0 { // in the bubble's time
			t.Errorf("20 exchanges took %v", d)
		}
		if err := <-done; !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
	})
}
