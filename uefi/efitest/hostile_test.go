//go:build linux && !tamago

package efitest

import (
	"context"
	"os"
	"testing"
	"time"

	"tamaccid/board/qemu"
	"tamaccid/board/qemu/usbhost"
)

// agentInFirmware boots a machine whose driver reaches its readers through firmware's USB stack,
// and starts the agent there.
func agentInFirmware(ctx context.Context, c qemu.Config) (*qemu.Machine, *qemu.Agent, error) {
	return agentBehind(ctx, c, loader+" "+driverImage+" usb=firmware")
}

// memberBound is the longest that a member may take (package driver: connectLimit).
const memberBound = 60 * time.Second

func TestHostileDevices(t *testing.T) {
	t.Parallel()
	all := os.Getenv("SOAK") != ""
	t.Run("through firmware's USB stack", func(t *testing.T) {
		usbhost.TestHostile(t, agentInFirmware, qemu.XHCI, memberBound, all)
	})
	t.Run("directly", func(t *testing.T) {
		usbhost.TestHostile(t, agentDirectly, qemu.XHCI, memberBound, all)
	})
}
