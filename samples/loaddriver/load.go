package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"tamaccid/uefi"
)

// errUsage is a command line that says nothing to do.
var errUsage = errors.New("usage: loaddriver DRIVER.efi [OPTION...]")

// bootServices are what it takes to load a driver.
type bootServices interface {
	DevicePathOf(h uefi.Handle) uefi.DevicePath
	LoadedImage(image uefi.Handle) (*uefi.LoadedImage, error)
	LoadImage(bootPolicy bool, parent uefi.Handle, path uefi.DevicePath, source []byte) (uefi.Handle, error)
	SetOptionText(l *uefi.LoadedImage, text string) error
	StartImage(h uefi.Handle) (text string, err error)
	UnloadImage(h uefi.Handle) error
	LocateHandleBuffer(search uefi.SearchType, guid *uefi.GUID, key uintptr) ([]uefi.Handle, error)
	ConnectController(controller uefi.Handle, drivers []uefi.Handle, recursive bool) error
}

// load does what the command line says: words are the driver's file and its load options.
func load(b bootServices, self uefi.Handle, words []string, out io.Writer) error {
	if len(words) == 0 {
		return errUsage
	}
	err := start(b, self, words[0], strings.Join(words[1:], " "))
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	fmt.Fprintf(out, "%s is loaded.\n", words[0])
	return connect(b)
}

// start loads a driver from the volume that this program came from, gives it its options and starts it.
func start(b bootServices, self uefi.Handle, name, options string) error {
	own, err := b.LoadedImage(self)
	if err != nil {
		return err
	}
	path, err := b.DevicePathOf(own.DeviceHandle).Append(uefi.FilePath(absolute(name)))
	if err != nil {
		return fmt.Errorf("no volume: %w", err)
	}
	driver, err := b.LoadImage(false, self, path, nil)
	if err != nil {
		if driver != 0 { // it is there, and may not be started
			b.UnloadImage(driver)
		}
		return err
	}
	loaded, err := b.LoadedImage(driver)
	if err == nil && options != "" {
		err = b.SetOptionText(loaded, options)
	}
	if err != nil {
		b.UnloadImage(driver)
		return err
	}
	// A driver that returns an error is unloaded by firmware.
	if text, err := b.StartImage(driver); err != nil {
		return fmt.Errorf("%w %s", err, text)
	}
	return nil
}

// absolute is a file's name from the root directory of its volume, with the separators of UEFI.
func absolute(name string) string {
	return `\` + strings.TrimLeft(strings.ReplaceAll(name, "/", `\`), `\`)
}

// connect lets drivers, the new one among them, have what they support.
func connect(b bootServices) error {
	all, err := b.LocateHandleBuffer(uefi.AllHandles, nil, 0)
	if err != nil {
		return err
	}
	for _, h := range all {
		_ = b.ConnectController(h, nil, true) // most handles have no driver, and need none
	}
	return nil
}
