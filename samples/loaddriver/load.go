package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"tamaccid/uefi"
)

// errUsage is the error for an empty command line.
var errUsage = errors.New("usage: loaddriver DRIVER.efi [OPTION...]")

// load loads the driver of the command line: words are its file name and its load options.
func load(self uefi.Handle, words []string, out io.Writer) error {
	if len(words) == 0 {
		return errUsage
	}
	err := start(self, words[0], strings.Join(words[1:], " "))
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	fmt.Fprintf(out, "%s is loaded.\n", words[0])
	return connect()
}

// start loads a driver from the volume of this program, sets its load options and starts it.
func start(self uefi.Handle, name, options string) error {
	b := uefi.Boot()
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
		if driver != 0 { // it is loaded, and must not be started
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
	// Firmware unloads a driver that returns an error.
	if text, err := b.StartImage(driver); err != nil {
		return fmt.Errorf("%w %s", err, text)
	}
	return nil
}

// absolute returns the path of a file from the root directory of its volume, with UEFI's
// separators.
func absolute(name string) string {
	return `\` + strings.TrimLeft(strings.ReplaceAll(name, "/", `\`), `\`)
}

// connect connects all handles to the drivers that support them.
func connect() error {
	b := uefi.Boot()
	all, err := b.LocateHandleBuffer(uefi.AllHandles, nil, 0)
	if err != nil {
		return err
	}
	for _, h := range all {
		_ = b.ConnectController(h, nil, true) // most handles have no driver
	}
	return nil
}
