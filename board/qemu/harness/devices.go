//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// How long the end of a removed card's connection may take, and the time between two polls
// (policy).
const (
	channelTime  = 5 * time.Second
	channelPause = 10 * time.Millisecond
)

// DeviceAdd plugs a device in. The properties are those of QEMU's -device option; id and bus are
// among them.
func (m *Machine) DeviceAdd(ctx context.Context, driver string, properties map[string]any) error {
	arguments := map[string]any{"driver": driver}
	maps.Copy(arguments, properties)
	return m.explain(m.Monitor.Run(ctx, "device_add", arguments, nil))
}

// DeviceDel unplugs a device, and returns after QEMU has removed it.
func (m *Machine) DeviceDel(ctx context.Context, id string) error {
	if err := m.Monitor.Run(ctx, "device_del", map[string]any{"id": id}, nil); err != nil {
		return m.explain(err)
	}
	_, err := m.Monitor.WaitEvent(ctx, "DEVICE_DELETED", func(data map[string]any) bool {
		return data["device"] == id
	})
	return m.explain(err)
}

// PlugReader plugs QEMU's CCID reader in, with the configured card in it if there is one.
func (m *Machine) PlugReader(ctx context.Context) error { return m.PlugReaderAt(ctx, "") }

// PlugReaderAt is PlugReader on a port, "2.1.4" for port 4 of the hub on port 1 of the hub on port
// 2.
func (m *Machine) PlugReaderAt(ctx context.Context, port string) error {
	properties := map[string]any{"id": ReaderID, "bus": USBBus}
	if port != "" {
		properties["port"] = port
	}
	if m.config.Capture != "" {
		properties["pcap"] = m.config.Capture
	}
	if err := m.DeviceAdd(ctx, "usb-ccid", properties); err != nil {
		return err
	}
	if m.config.Card == nil {
		return nil
	}
	return m.InsertCard(ctx)
}

// UnplugReader pulls the reader out, the card in it too.
func (m *Machine) UnplugReader(ctx context.Context) error {
	if err := m.muteCard(ctx); err != nil {
		return err
	}
	return m.DeviceDel(ctx, ReaderID)
}

// muteCard leaves a pending command to the card without an answer. QEMU 7.2 crashes when the answer
// comes for a card or reader that has been removed.
func (m *Machine) muteCard(ctx context.Context) error {
	if m.card == nil {
		return nil
	}
	m.card.mute()
	// QEMU handles what was sent before in the same loop that answers this.
	return m.explain(m.Monitor.Run(ctx, "query-status", nil, nil))
}

// InsertCard puts the configured card into the reader. The card side has a new connection.
func (m *Machine) InsertCard(ctx context.Context) error {
	if m.config.Card == nil {
		return errors.New("qemu: no card is configured")
	}
	if err := m.connect(ctx, cardChannel, m.card.path); err != nil {
		return err
	}
	return m.DeviceAdd(ctx, "ccid-card-passthru",
		map[string]any{"id": CardID, "bus": ReaderID + ".0", "chardev": cardChannel})
}

// connect makes QEMU connect to a socket, as a channel with this name, for a device that is added
// next.
func (m *Machine) connect(ctx context.Context, channel, path string) error {
	if err := m.freeChannel(ctx, channel); err != nil {
		return err
	}
	err := m.Monitor.Run(ctx, "chardev-add", map[string]any{
		"id": channel,
		"backend": map[string]any{
			"type": "socket",
			"data": map[string]any{
				"server": false,
				"addr": map[string]any{
					"type": "unix",
					"data": map[string]any{"path": path},
				},
			},
		},
	}, nil)
	if err != nil {
		return fmt.Errorf("connecting %s: %w", channel, m.explain(err))
	}
	return nil
}

// freeChannel ends the connection of a former device. QEMU releases a removed device, and its
// connection, some time after it has reported the removal.
func (m *Machine) freeChannel(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, channelTime)
	defer cancel()
	for {
		var channels []struct{ Label string }
		if err := m.Monitor.Run(ctx, "query-chardev", nil, &channels); err != nil {
			return m.explain(err)
		}
		used := false
		for _, channel := range channels {
			used = used || channel.Label == name
		}
		if !used {
			return nil
		}
		err := m.Monitor.Run(ctx, "chardev-remove", map[string]any{"id": name}, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is in use: %w", name, m.explain(err))
		case <-time.After(channelPause):
		}
	}
}

// RemoveCard takes the card out of the reader.
func (m *Machine) RemoveCard(ctx context.Context) error {
	if err := m.muteCard(ctx); err != nil {
		return err
	}
	return m.DeviceDel(ctx, CardID)
}
