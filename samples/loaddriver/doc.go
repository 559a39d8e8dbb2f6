// Loaddriver loads a UEFI driver with load options, starts it, and connects all devices to drivers:
//
//	loaddriver SmartCardReader.efi usb=direct
//
// The Shell's load command passes no options to a driver. The program is also the example for a
// boot loader that loads its own driver.
package main
