//go:build linux && !tamago

package efitest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/board/qemu/harness/usbcases"
)

// agentInFirmware boots a machine whose driver reaches its readers through firmware's USB stack,
// and starts the agent there.
func agentInFirmware(
	ctx context.Context, c harness.Config,
) (*harness.Machine, *harness.Agent, error) {
	return agentBehind(ctx, c, fmt.Sprintf("%s %s usb=firmware wait=%d", loader, driverImage,
		waitOption))
}

// waitOption is the driver's load option wait, in seconds: no function of the protocol takes
// longer.
const waitOption = 4

func TestHostileDevices(t *testing.T) {
	t.Parallel()
	t.Run("through firmware's USB stack", func(t *testing.T) {
		usbcases.TestHostile(t, agentInFirmware, harness.XHCI,
			usbcases.Scope{Firmware: true, All: *soak, Bound: waitOption * time.Second})
	})
	t.Run("directly", func(t *testing.T) {
		board := func(ctx context.Context, c harness.Config) (*harness.Machine, *harness.Agent,
			error) {
			return agentBehind(ctx, c, fmt.Sprintf("%s wait=%d", directly, waitOption))
		}
		usbcases.TestHostile(t, board, harness.XHCI,
			usbcases.Scope{All: *soak, Bound: waitOption * time.Second})
	})
}
