//go:build tamago

// goticker is a resident image with a periodic timer event of one millisecond,
// whose notification runs Go code that allocates: the neighbour that a driver
// has to live with. Unloading it prints how often it ran.
package main

import (
	"fmt"
	"time"

	_ "tamaccid/board/uefi/x64"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

var (
	ticks   int
	garbage [16][]byte
)

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
	event, err := boot.CreateEvent(uefi.EventTimer|uefi.EventNotifySignal, uefi.TPLCallback, tick, 0)
	if err != nil {
		return err
	}
	if err := boot.SetTimer(event, uefi.TimerPeriodic, time.Millisecond); err != nil {
		return err
	}
	loaded.Unload = gate.NewFunc("Unload", uintptr(uefi.AccessDenied), func(*gate.Args) uintptr {
		boot.CloseEvent(event)
		fmt.Printf("goticker: %d ticks\n", ticks)
		gate.Exit(uintptr(uefi.Success))
		return uintptr(uefi.Success)
	})
	gate.Serve()
	return nil
}
