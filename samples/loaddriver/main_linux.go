//go:build linux && !tamago

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "loaddriver is a program for UEFI firmware: build it with make efi")
	os.Exit(1)
}
