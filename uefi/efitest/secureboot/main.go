//go:build tamago

// Command secureboot is started by a machine with Secure Boot and no Shell: it checks that firmware
// refuses an image without a signature, loads the driver and runs helloworld.
package main

import (
	"bytes"
	"fmt"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
)

func main() {
	err := run(uefi.Boot())
	if err != nil {
		fmt.Println("secureboot:", err)
	}
	fmt.Println("secureboot: end") // the harness reads this line
}

func run(b *uefi.BootServices) error {
	on, _, err := uefi.Runtime().GetVariable("SecureBoot", &uefi.GlobalVariable)
	if err != nil || !bytes.Equal(on, []byte{1}) {
		return fmt.Errorf("Secure Boot is not on: variable %v, %v", on, err)
	}
	err = start(b, "unsigned.efi")
	fmt.Println("secureboot: unsigned.efi:", err)
	if err := start(b, "SmartCardReader.efi"); err != nil {
		return fmt.Errorf("the driver: %w", err)
	}
	all, err := b.LocateHandleBuffer(uefi.AllHandles, nil, 0)
	if err != nil {
		return err
	}
	for _, h := range all {
		_ = b.ConnectController(h, nil, true) // most handles have no driver, and need none
	}
	if err := start(b, "helloworld.efi"); err != nil {
		return fmt.Errorf("helloworld: %w", err)
	}
	return nil
}

// start starts an image from the volume that this program came from.
func start(b *uefi.BootServices, name string) error {
	own, err := b.LoadedImage(uefi.ImageHandle())
	if err != nil {
		return err
	}
	path, err := b.DevicePathOf(own.DeviceHandle).Append(uefi.FilePath(`\` + name))
	if err != nil {
		return err
	}
	image, err := b.LoadImage(false, uefi.ImageHandle(), path, nil)
	if err != nil {
		return err
	}
	_, err = b.StartImage(image)
	return err
}
