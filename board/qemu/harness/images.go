//go:build linux && !tamago

package harness

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// loadedAt matches the report of the Shell's load for success.
var loadedAt = regexp.MustCompile(`loaded at ([0-9A-F]+) - Success`)

// An Image is a driver that the Shell has loaded.
type Image struct {
	// Name is the name of its file.
	Name string
	// Base is the address it was loaded at.
	Base uint64
	// Output is what it printed.
	Output string
}

// Load loads a driver from the current directory with the Shell's load, which connects it to its
// devices too.
func (s *Shell) Load(ctx context.Context, name string) (Image, error) {
	r, err := s.Run(ctx, "load "+name)
	if err != nil {
		return Image{}, err
	}
	match := loadedAt.FindStringSubmatch(r.Output)
	if r.Status != 0 || match == nil {
		return Image{}, fmt.Errorf("load %s: status %#x: %s", name, r.Status,
			strings.TrimSpace(r.Output))
	}
	base, err := strconv.ParseUint(match[1], 16, 64)
	return Image{Name: name, Base: base, Output: r.Output}, err
}

// Unload removes the driver that was loaded last from a file of that name.
func (s *Shell) Unload(ctx context.Context, name string) (Result, error) {
	handles, err := s.Run(ctx, "dh -p LoadedImage")
	if err != nil {
		return Result{}, err
	}
	// A line is "B6: ImageDevicePath(...) LoadedImage(\name.efi)".
	pattern := `(?im)^\s*([0-9A-F]+): .*LoadedImage\((?:[^)]*\\)?` + regexp.QuoteMeta(name) + `\)`
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(handles.Output, -1)
	if all == nil {
		return Result{}, fmt.Errorf("unload: no image %s is loaded", name)
	}
	return s.Run(ctx, "unload -n "+all[len(all)-1][1])
}
