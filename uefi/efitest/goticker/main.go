//go:build tamago

// Command goticker is a resident image with a periodic timer event of one millisecond, whose
// notification function runs Go code that allocates, and a second one at TPL_NOTIFY that runs a
// hook, also during the first one: another Go image beside the driver. When it is unloaded it
// prints how often they ran.
package main

import (
	"fmt"
	"time"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

var (
	ticks   int
	garbage [16][]byte

	hooks     int
	stall     uintptr
	stallArgs = [1]uintptr{1} // microseconds
)

// hook calls firmware, which a hook may do, with arguments that stay in place.
func hook() {
	if gate.Raw(stall, stallArgs[:]) == uintptr(uefi.Success) {
		hooks++
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Println("goticker:", err)
		gate.Exit(uintptr(uefi.DeviceError))
	}
}

func run() error {
	boot := uefi.Boot()
	loaded, err := boot.LoadedImage(uefi.ImageHandle())
	if err != nil {
		return err
	}
	tick := gate.NewNotify("tick", func() {
		ticks++
		done := make(chan []byte)
		go func() { done <- make([]byte, 10_000) }()
		garbage[ticks%len(garbage)] = <-done
	})
	// Goroutines that sleep do not run between calls. A hook is not affected.
	go func() {
		for {
			time.Sleep(time.Millisecond)
		}
	}()
	stall = boot.Table().Stall
	var events []uefi.Event
	for _, e := range []struct {
		level  uefi.TPL
		notify uintptr
	}{{uefi.TPLCallback, tick}, {uefi.TPLNotify, gate.NewHook("hook", hook)}} {
		event, err := boot.CreateEvent(uefi.EventTimer|uefi.EventNotifySignal, e.level, e.notify, 0)
		if err != nil {
			return err
		}
		if err := boot.SetTimer(event, uefi.TimerPeriodic, time.Millisecond); err != nil {
			return err
		}
		events = append(events, event)
	}
	loaded.Unload = gate.NewFunc("Unload", uintptr(uefi.AccessDenied), func(*gate.Args) uintptr {
		for _, e := range events {
			boot.CloseEvent(e)
		}
		fmt.Printf("goticker: %d ticks, %d hooks\n", ticks, hooks)
		gate.Exit(uintptr(uefi.Success))
		return uintptr(uefi.Success)
	})
	gate.Serve()
	return nil
}
