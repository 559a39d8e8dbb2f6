//go:build tamago

// Command orphan makes the machine one whose firmware has no driver for xHCI controllers: it stops
// the drivers that manage them and uninstalls their binding.
package main

import (
	"errors"
	"fmt"
	"os"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/pcihost"
)

func main() {
	n, err := run(uefi.Boot())
	if err == nil && n == 0 {
		err = errors.New("no controller has a driver")
	}
	if err != nil {
		fmt.Println("orphan:", err)
		os.Exit(1)
	}
	fmt.Printf("orphan: %d controllers without a driver\n", n)
}

func run(b *uefi.BootServices) (n int, err error) {
	all, err := b.LocateHandles(&uefi.PCIIOGUID)
	if err != nil {
		return 0, err
	}
	for _, h := range all {
		addr, err := b.HandleProtocol(h, &uefi.PCIIOGUID)
		if err != nil || pcihost.Driver(uefi.PCIIOAt(addr)) == nil {
			continue
		}
		openings, err := b.OpenProtocolInformation(h, &uefi.PCIIOGUID)
		if err != nil {
			return n, err
		}
		for _, o := range openings {
			if o.Attributes&uefi.OpenByDriver == 0 {
				continue
			}
			if err := b.DisconnectController(h, o.Agent, 0); err != nil {
				return n, fmt.Errorf("disconnect: %w", err)
			}
			binding, err := b.HandleProtocol(o.Agent, &uefi.DriverBindingGUID)
			if err != nil {
				return n, fmt.Errorf("the driver's binding: %w", err)
			}
			if err := b.UninstallProtocol(o.Agent, &uefi.DriverBindingGUID, binding); err != nil {
				return n, fmt.Errorf("uninstall: %w", err)
			}
			n++
		}
	}
	return n, nil
}
