//go:build linux && !tamago

// Vreader serves a virtual smart card reader with a card to QEMU, for work on card software without
// hardware.
//
//	vreader -reader tpdu -card t1 -listen /tmp/reader
//	vreader -reader Gemalto.txt -card t0 -listen 127.0.0.1:4000 -capture traffic.pcapng
//
// The reader is one of the catalogue, or that of a file with the descriptors of a real reader, in
// the format of the libccid project's "parse" tool. The commands on standard input are: insert
// CARD, remove, unplug, replug, quit.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"tamaccid/ccid/sim/capture"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
	"tamaccid/ccid/usb"
)

// options are the options of the command line.
type options struct {
	reader, card, listen, capture string
	device, function, slot        int
	speed                         string
}

func main() {
	var o options
	flag.StringVar(&o.reader, "reader", "tpdu", "file with printed descriptors, or one of: "+
		strings.Join(append(reader.Names(), reader.Hostile()...), " "))
	flag.StringVar(&o.card, "card", "t0", "none, or one of: "+strings.Join(card.Names(), " "))
	flag.StringVar(&o.listen, "listen", "", "path of a Unix socket, or host:port")
	flag.StringVar(&o.capture, "capture", "", "pcapng file for the USB traffic")
	flag.IntVar(&o.device, "device", 0, "number of the device in a file with several")
	flag.IntVar(&o.function, "function", 0,
		"number of the reader for the card in a device with several")
	flag.IntVar(&o.slot, "slot", 0, "number of the slot for the card")
	flag.StringVar(&o.speed, "speed", "", "low, full, high or super, instead of that of the reader")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdin, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "vreader:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, in io.Reader, out io.Writer) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m, err := model(o)
	if err != nil {
		return err
	}
	d := reader.NewDevice(m)
	r := d.Reader(o.function)
	if r == nil || o.slot < 0 || o.slot >= r.Slots() {
		return fmt.Errorf("no slot %d in reader %d", o.slot, o.function)
	}
	if o.card != "none" {
		c, err := card.Named(o.card)
		if err != nil {
			return err
		}
		r.Insert(o.slot, c)
	}
	server := &usbredir.Server{Device: d}
	if o.capture != "" {
		f, err := os.Create(o.capture)
		if err != nil {
			return err
		}
		w, err := capture.NewWriter(f, m.DeviceDescriptor(), m.ConfigDescriptor())
		if err != nil {
			return errors.Join(err, f.Close())
		}
		server.Tap = w
		defer func() { err = errors.Join(err, w.Err(), f.Close()) }()
	}
	l, err := listen(o.listen)
	if err != nil {
		return err
	}
	describe(out, m, l.Addr())
	go func() {
		if commands(in, out, d, r, o.slot) {
			stop()
		}
	}()
	return server.Listen(ctx, l)
}

// model returns the model of the reader.
func model(o options) (reader.Model, error) {
	m, err := reader.Named(o.reader)
	if err != nil {
		f, ferr := os.Open(o.reader)
		if ferr != nil {
			return m, errors.Join(err, ferr)
		}
		defer f.Close()
		all, err := reader.ParseDump(f)
		if err != nil {
			return m, err
		}
		if o.device < 0 || o.device >= len(all) {
			return m, fmt.Errorf("%s has %d devices", o.reader, len(all))
		}
		m = all[o.device]
	}
	speeds := map[string]usb.Speed{
		"": m.Speed, "low": usb.SpeedLow, "full": usb.SpeedFull, "high": usb.SpeedHigh,
		"super": usb.SpeedSuper,
	}
	speed, ok := speeds[o.speed]
	if !ok {
		return m, fmt.Errorf("no speed %q", o.speed)
	}
	m.Speed = speed
	return m, nil
}

// listen listens at a path or at host:port.
func listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, errors.New("-listen is missing: a path or host:port")
	}
	if !strings.Contains(address, "/") && strings.Contains(address, ":") {
		return net.Listen("tcp", address)
	}
	return net.Listen("unix", address)
}

// describe prints the reader and the options for QEMU.
func describe(out io.Writer, m reader.Model, address net.Addr) {
	fmt.Fprintf(out, "reader: %s %s (%04X:%04X)\n", m.Manufacturer, m.ProductName, m.Vendor,
		m.Product)
	socket := "path=" + address.String()
	if tcp, ok := address.(*net.TCPAddr); ok {
		socket = fmt.Sprintf("host=%s,port=%d,nodelay=on", tcp.IP, tcp.Port)
	}
	fmt.Fprintf(out, "QEMU options: -device qemu-xhci -chardev socket,id=vreader,%s "+
		"-device usb-redir,chardev=vreader\n", socket)
}

// commands executes the commands of standard input until its end, and reports whether the last one
// was quit.
func commands(in io.Reader, out io.Writer, d *reader.Device, r *reader.Reader, slot int) bool {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		if len(word) == 0 {
			continue
		}
		switch {
		case word[0] == "insert" && len(word) == 2:
			c, err := card.Named(word[1])
			if err != nil {
				fmt.Fprintln(out, err)
				continue
			}
			r.Insert(slot, c)
		case word[0] == "remove":
			r.Remove(slot)
		case word[0] == "unplug":
			d.Unplug()
		case word[0] == "replug":
			d.Replug()
		case word[0] == "quit":
			return true
		default:
			fmt.Fprintln(out, "commands: insert CARD, remove, unplug, replug, quit; cards:",
				strings.Join(card.Names(), " "))
		}
	}
	return false
}
