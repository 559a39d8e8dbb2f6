//go:build !tamago

package driver

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"tamaccid/ccid"
	"tamaccid/uefi"
)

// sentinels are all errors that package ccid exports, with what UEFI calls them.
var sentinels = map[string]struct {
	err     error
	want    uefi.Status
	connect uefi.Status // from SCardConnect
}{
	"ErrNoCard":       {ccid.ErrNoCard, uefi.NoMedia, uefi.NoMedia},
	"ErrNotPowered":   {ccid.ErrNotPowered, uefi.NotReady, uefi.NotReady},
	"ErrCardChanged":  {ccid.ErrCardChanged, uefi.NotReady, uefi.NotReady},
	"ErrMute":         {ccid.ErrMute, uefi.Timeout, uefi.NotReady},
	"ErrTimeout":      {ccid.ErrTimeout, uefi.Timeout, uefi.DeviceError},
	"ErrProtocol":     {ccid.ErrProtocol, uefi.ProtocolError, uefi.DeviceError},
	"ErrParity":       {ccid.ErrParity, uefi.ProtocolError, uefi.DeviceError},
	"ErrBadATR":       {ccid.ErrBadATR, uefi.ProtocolError, uefi.NotReady},
	"ErrUnsupported":  {ccid.ErrUnsupported, uefi.Unsupported, uefi.Unsupported},
	"ErrNoProtocol":   {ccid.ErrNoProtocol, uefi.Unsupported, uefi.Unsupported},
	"ErrGone":         {ccid.ErrGone, uefi.DeviceError, uefi.DeviceError},
	"ErrClosed":       {ccid.ErrClosed, uefi.DeviceError, uefi.DeviceError},
	"ErrTransport":    {ccid.ErrTransport, uefi.DeviceError, uefi.DeviceError},
	"ErrHardware":     {ccid.ErrHardware, uefi.DeviceError, uefi.DeviceError},
	"ErrBusy":         {ccid.ErrBusy, uefi.AccessDenied, uefi.DeviceError},
	"ErrAborted":      {ccid.ErrAborted, uefi.DeviceError, uefi.DeviceError},
	"ErrTooLong":      {ccid.ErrTooLong, uefi.InvalidParameter, uefi.DeviceError},
	"ErrInvalid":      {ccid.ErrInvalid, uefi.InvalidParameter, uefi.DeviceError},
	"ErrShortBuffer":  {ccid.ErrShortBuffer, uefi.BufferTooSmall, uefi.DeviceError},
	"ErrFirmware":     {ccid.ErrFirmware, uefi.DeviceError, uefi.DeviceError},
	"ErrDescriptor":   {ccid.ErrDescriptor, uefi.DeviceError, uefi.DeviceError},
	"ErrDenied":       {ccid.ErrDenied, uefi.Unsupported, uefi.Unsupported},
	"ErrPINCancelled": {ccid.ErrPINCancelled, uefi.Aborted, uefi.DeviceError},
	"ErrPINTimeout":   {ccid.ErrPINTimeout, uefi.Timeout, uefi.DeviceError},
}

func TestEveryErrorHasItsStatus(t *testing.T) {
	for name, c := range sentinels {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err),
			fmt.Errorf("%w: %w", c.err, errors.New("the cause"))} {
			if got := status(err); got != c.want {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			if got := connectStatus(err); got != c.connect {
				t.Errorf("%s from SCardConnect: %v, want %v", name, got, c.connect)
			}
		}
	}
}

func TestNoErrorOfTheClassDriverIsForgotten(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../ccid/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, decl := range file.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if !strings.HasPrefix(name.Name, "Err") {
					continue
				}
				found++
				if sentinels[name.Name].err == nil {
					t.Errorf("%s has no status", name.Name)
				}
			}
		}
	}
	if found != len(sentinels) {
		t.Errorf("%d errors are exported, %d are known here", found, len(sentinels))
	}
}

func TestErrorsThatAreNotTheClassDrivers(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want uefi.Status
	}{
		{"none", nil, uefi.Success},
		{"the time is up", context.DeadlineExceeded, uefi.Timeout},
		{"the call was given up", context.Canceled, uefi.DeviceError},
		{"an error without a name", errors.New("unknown"), uefi.DeviceError},
		{"a short buffer with its need", &ccid.ShortBufferError{Need: 3}, uefi.BufferTooSmall},
		{"a mute card, as the reader reports it", &ccid.SlotError{Status: 0x40, Code: 0xFE},
			uefi.Timeout},
		{"an empty slot, as the reader reports it", &ccid.SlotError{Status: 0x42, Code: 0xFE},
			uefi.NoMedia},
		{"a reader fault of no known code", &ccid.SlotError{Status: 0x40, Code: 0x90},
			uefi.ProtocolError},
		{"no card, and a protocol error in its wake",
			fmt.Errorf("%w: %w", ccid.ErrProtocol, ccid.ErrNoCard), uefi.NoMedia},
	} {
		if got := status(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNeed(t *testing.T) {
	if n, ok := needed(fmt.Errorf("wrapped: %w",
		&ccid.ShortBufferError{Need: 65538})); n != 65538 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
	if n, ok := needed(ccid.ErrShortBuffer); n != 0 || ok {
		t.Errorf("a short buffer without a need: %d, %v", n, ok)
	}
}
