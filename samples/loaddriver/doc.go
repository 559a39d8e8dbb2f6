// Loaddriver loads a UEFI driver with load options, starts it, and lets all drivers have the devices that they support:
//
//	loaddriver SmartCardReader.efi usb=direct
//
// The Shell's load command passes no options to a driver. A program that starts before the operating system does the same with the
// driver that it brings along.
package main
