//go:build tamago

package uefi

import (
	"os"

	"github.com/u-root/u-root/pkg/shlex"

	"tamaccid/uefi"
)

// os.Args is what the Shell passed. For an image that the boot manager started, it is a name and
// the words of the load options, in which the program's name is missing.
func init() {
	boot, image := uefi.Boot(), uefi.ImageHandle()
	if args := boot.Args(image); len(args) > 0 {
		os.Args = args
		return
	}
	if loaded, err := boot.LoadedImage(image); err == nil {
		os.Args = append(os.Args[:1], shlex.Argv(loaded.OptionText())...)
	}
}
