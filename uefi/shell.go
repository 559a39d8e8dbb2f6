package uefi

import "unsafe"

// ShellParametersGUID is EFI_SHELL_PARAMETERS_PROTOCOL_GUID (UEFI Shell 2.2, 2.3).
var ShellParametersGUID = MustGUID("752f3136-4e16-4fdc-a22a-e5f46812f4ca")

// ShellParameters is EFI_SHELL_PARAMETERS_PROTOCOL (UEFI Shell 2.2, 2.3), on the handle of an image
// that the Shell started.
type ShellParameters struct {
	Argv   uintptr // CHAR16 **
	Argc   uintptr
	StdIn  uintptr // EFI_SHELL_FILE_HANDLE
	StdOut uintptr
	StdErr uintptr
}

// Bounds of a command line (policy).
const (
	maxArgs = 256
	maxArg  = 4096 // CHAR16
)

// Args is the command line of an image that the Shell started, with the program's name first. It is
// nil for an image that was started otherwise and has only load options (LoadedImage.OptionText).
func (b *BootServices) Args(image Handle) []string {
	addr, err := b.HandleProtocol(image, &ShellParametersGUID)
	if err != nil || addr == 0 {
		return nil
	}
	p := At[ShellParameters](addr)
	if p.Argv == 0 || p.Argc > maxArgs {
		return nil
	}
	args := make([]string, 0, p.Argc)
	for _, text := range unsafe.Slice(At[uintptr](p.Argv), p.Argc) {
		args = append(args, StringAt(text, maxArg))
	}
	return args
}
