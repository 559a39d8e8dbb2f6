//go:build tamago && uefi

package main

import (
	"context"
	"fmt"
	"runtime"

	"tamaccid/uefi"
)

func readLine() (string, error) {
	var line []rune
	for {
		key, err := uefi.ConIn().ReadKey(context.Background())
		if err != nil {
			return "", err
		}
		switch {
		case key.Char == '\r':
			return string(line), nil
		case key.Char != 0:
			line = append(line, rune(key.Char))
		}
	}
}

// stats counts what a driver may leak: pages from firmware, without those of this program, and
// handles.
func stats() string {
	runtime.GC()
	memory, err := uefi.Boot().GetMemoryMap()
	if err != nil {
		return err.Error()
	}
	handles, err := uefi.Boot().LocateHandleBuffer(uefi.AllHandles, nil, 0)
	if err != nil {
		return err.Error()
	}
	own := uint64(runtime.BareMemory().Now) / uefi.PageSize
	return fmt.Sprintf("pages %d handles %d", memory.Pages(uefi.ConventionalMemory)+own,
		len(handles))
}
