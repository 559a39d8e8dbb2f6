module tamaccid

go 1.26.4

toolchain go1.26.8

require (
	github.com/u-root/u-root v0.16.0
	github.com/usbarmory/tamago v1.26.5
)
