//go:build tamago

package main

import (
	"fmt"
	"os"

	_ "tamaccid/board/uefi" // the machine: memory, clock, console, exit
	"tamaccid/uefi"
)

func main() {
	if err := load(uefi.ImageHandle(), os.Args[1:], os.Stdout); err != nil {
		fmt.Println("loaddriver:", err)
		os.Exit(1)
	}
}
