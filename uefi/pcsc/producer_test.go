//go:build !386 && !arm

package pcsc

import (
	"fmt"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// producer is a driver as UEFI 2.11, 37.6 describes it, with the deviations that are known.
type producer struct {
	name      string
	removed   bool
	state     smartcard.State
	active    smartcard.Protocol // chosen since the last reset
	speaks    smartcard.Protocol
	connected bool
	log       []string

	statusOnly map[string]uefi.Status // what a member answers, whatever is asked
	noNoReset  bool                   // NORESET on a card with a chosen protocol fails
	noWarm     bool                   // warm reset fails
	notReady   bool                   // an empty slot is NOT_READY, not NO_MEDIA
}

func newProducer() *producer {
	return &producer{name: "ACME Reader 0", state: smartcard.Inactive, speaks: smartcard.T1, statusOnly: map[string]uefi.Status{}}
}

func (p *producer) call(entry, op string) error {
	if entry != "" {
		p.log = append(p.log, entry)
	}
	if p.removed {
		return smartcard.ErrRemoved
	}
	if status, ok := p.statusOnly[op]; ok {
		return &smartcard.Error{Op: op, Status: status}
	}
	return nil
}

func refuse(op string, status uefi.Status) error { return &smartcard.Error{Op: op, Status: status} }

func (p *producer) Connect(mode smartcard.AccessMode, action smartcard.Action, preferred smartcard.Protocol) (smartcard.Protocol, error) {
	if err := p.call(fmt.Sprintf("connect %d %d %d", mode, action, preferred), "connect"); err != nil {
		return 0, err
	}
	switch {
	case p.connected:
		return 0, refuse("Connect", uefi.AccessDenied)
	case mode == smartcard.AccessReader && (action != smartcard.NoReset || preferred != smartcard.Undefined):
		return 0, refuse("Connect", uefi.InvalidParameter)
	case mode == smartcard.AccessReader:
		p.connected = true
		return smartcard.Undefined, nil
	case p.state == smartcard.Absent && p.notReady:
		return 0, refuse("Connect", uefi.NotReady)
	case p.state == smartcard.Absent:
		return 0, refuse("Connect", uefi.NoMedia)
	case action == smartcard.NoReset && (p.state != smartcard.Active || p.noNoReset),
		action == smartcard.WarmReset && (p.state != smartcard.Active || p.noWarm):
		return 0, refuse("Connect", uefi.NotReady)
	}
	if action != smartcard.NoReset {
		p.active = smartcard.Undefined
	}
	if p.active != smartcard.Undefined && p.active&preferred == 0 || p.speaks&preferred == 0 {
		return 0, refuse("Connect", uefi.Unsupported)
	}
	if p.active == smartcard.Undefined {
		p.active = smartcard.T1
		if p.speaks&preferred&smartcard.T1 == 0 {
			p.active = smartcard.T0
		}
	}
	p.state, p.connected = smartcard.Active, true
	return p.active, nil
}

func (p *producer) Disconnect(action smartcard.Action) error {
	if err := p.call(fmt.Sprintf("disconnect %d", action), "disconnect"); err != nil {
		return err
	}
	switch action {
	case smartcard.Eject:
		return refuse("Disconnect", uefi.Unsupported)
	case smartcard.NoReset:
	default:
		if _, fails := p.statusOnly["power"]; fails {
			return refuse("Disconnect", p.statusOnly["power"])
		}
		p.active = smartcard.Undefined
	}
	if action == smartcard.Unpower && p.state == smartcard.Active {
		p.state = smartcard.Inactive
	}
	p.connected = false
	return nil
}

func (p *producer) Status() (smartcard.Status, error) {
	if err := p.call("", "status"); err != nil {
		return smartcard.Status{}, err
	}
	s := smartcard.Status{Name: p.name, State: p.state, Protocol: p.active}
	if p.state == smartcard.Active {
		s.ATR = []byte{0x3B, 0x00}
	}
	return s, nil
}

func (p *producer) Transmit(command, response []byte) (int, error) {
	if err := p.call("transmit", "transmit"); err != nil {
		return 0, err
	}
	switch {
	case p.state == smartcard.Absent && !p.notReady:
		return 0, refuse("Transmit", uefi.NoMedia)
	case p.state != smartcard.Active:
		return 0, refuse("Transmit", uefi.NotReady)
	}
	return copy(response, []byte{0x90, 0x00}), nil
}

func (p *producer) Control(code uint32, in, out []byte) (int, error) {
	if err := p.call("control", "control"); err != nil {
		return 0, err
	}
	if code != smartcard.GetFeatureRequest {
		return 0, refuse("Control", uefi.Unsupported)
	}
	if len(out) < 6 {
		return 6, smartcard.ErrShortResponse
	}
	return copy(out, []byte{6, 4, 6, 0, 0x33, 0x42}), nil
}

func (p *producer) GetAttrib(id sclib.Attrib) ([]byte, error) {
	if err := p.call("getattrib", "getattrib"); err != nil {
		return nil, err
	}
	if id != sclib.AttrVendorName {
		return nil, refuse("GetAttrib", uefi.Unsupported)
	}
	return []byte("ACME"), nil
}

func newReader(p *producer, takeOver bool) *reader {
	return &reader{device: p, name: p.name, takeOver: takeOver}
}
