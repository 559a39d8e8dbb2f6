//go:build !tamago

package uefi

import (
	"strings"
	"testing"

	"tamaccid/uefi/internal/abi"
)

func TestLoadOptionsThatAreSetAreReadBack(t *testing.T) {
	var block [maxLoadOptions / 8]uint64
	size := uintptr(0)
	b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
		table.AllocatePool = abi.Fake(func(a []uintptr) uintptr {
			size = a[1]
			*At[uintptr](a[2]) = address(&block)
			return 0
		})
	})
	for _, text := range []string{"usb=direct", "", "zwei Wörter"} {
		var l LoadedImage
		if err := b.SetOptionText(&l, text); err != nil {
			t.Fatal(err)
		}
		if got := l.OptionText(); got != text || uintptr(l.LoadOptionsSize) != size || size%2 != 0 || size < 2 {
			t.Errorf("%q in %d of %d bytes", got, l.LoadOptionsSize, size)
		}
	}
	var l LoadedImage
	if err := b.SetOptionText(&l, strings.Repeat("x", maxLoadOptions)); err != error(BadBufferSize) || l.LoadOptions != 0 {
		t.Errorf("too long: %v, %#x", err, l.LoadOptions)
	}
}
