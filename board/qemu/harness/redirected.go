//go:build linux && !tamago

package harness

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Redirected is a USB device that a program simulates: the machine has it through QEMU's usb-redir.
type Redirected struct {
	// ID names it; it begins with a letter.
	ID string
	// Bus is where it is plugged in; empty means USBBus.
	Bus string
	// Port is the port on that bus: "2", or "2.1.4" for port 4 of the hub on port 1 of the hub on
	// port 2. Empty: the first that is free.
	Port string
	// Serve simulates the device on one connection. Plugging in makes a new connection.
	Serve func(ctx context.Context, conn io.ReadWriteCloser) error
}

// HubID is the identifier of a hub in Config.Hubs.
func HubID(port string) string { return "hub" + port }

func (r *Redirected) channel() string { return "link-" + r.ID }

func (r *Redirected) bus() string {
	if r.Bus == "" {
		return USBBus
	}
	return r.Bus
}

func (r *Redirected) socket(dir string) string { return filepath.Join(dir, r.ID) }

// check rejects a device without Serve, or whose ID cannot be an identifier and a file name.
func (r *Redirected) check() error {
	if r.ID == "" || strings.Trim(r.ID,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" || r.Serve == nil {
		return fmt.Errorf("qemu: redirected device %q has no valid ID or no Serve", r.ID)
	}
	return nil
}

// arguments plugs the device in from the start.
func (r *Redirected) arguments(dir string) []string {
	device := fmt.Sprintf("usb-redir,id=%s,chardev=%s,bus=%s", r.ID, r.channel(), r.bus())
	if r.Port != "" {
		device += ",port=" + r.Port
	}
	return []string{"-chardev", "socket,id=" + r.channel() + ",path=" + escape(r.socket(dir)),
		"-device", device}
}

// listen makes the device wait for connections.
func (m *Machine) listen(r *Redirected) error {
	if err := r.check(); err != nil {
		return err
	}
	server, err := listenCard(r.socket(m.dir), r.Serve)
	if err != nil {
		return err
	}
	if m.redirected == nil {
		m.redirected = make(map[string]*cardServer)
	}
	m.redirected[r.ID] = server
	return nil
}

// Plug plugs a device in. No other device with its ID may be plugged in.
func (m *Machine) Plug(ctx context.Context, r Redirected) error {
	if former := m.redirected[r.ID]; former != nil {
		if err := former.idle(ctx); err != nil {
			return err
		}
		former.close()
		delete(m.redirected, r.ID)
	}
	if err := m.listen(&r); err != nil {
		return err
	}
	if err := m.connect(ctx, r.channel(), r.socket(m.dir)); err != nil {
		return err
	}
	properties := map[string]any{"id": r.ID, "bus": r.bus(), "chardev": r.channel()}
	if r.Port != "" {
		properties["port"] = r.Port
	}
	return m.DeviceAdd(ctx, "usb-redir", properties)
}

// PlugHub plugs a hub in: full speed, with eight ports. DeviceDel of HubID(port) takes it out, and
// all behind it.
func (m *Machine) PlugHub(ctx context.Context, port string) error {
	return m.DeviceAdd(ctx, "usb-hub",
		map[string]any{"id": HubID(port), "bus": USBBus, "port": port})
}
