# Everything is built into build/. Outside this folder nothing is touched, but for the packages that "deps" installs.

GO       ?= go
MINGW    ?= x86_64-w64-mingw32-gcc
BUILD    := build
EFI      := $(BUILD)/efi/x64
ELF      := $(BUILD)/elf
OVERLAY  := $(BUILD)/overlay/overlay.json
MKEFI    := $(BUILD)/bin/mkefi
Q35      := $(BUILD)/q35
MKKERNEL := $(BUILD)/bin/mkkernel
RUN      := $(BUILD)/bin/run

# The driver is ./uefi/driver/NAME, a sample is ./samples/NAME; either becomes NAME.efi.
DRIVER   := SmartCardReader
SAMPLES  := helloworld exchange loaddriver

# The samples that are kernels too, on a machine without firmware.
SAMPLES_Q35 := helloworld exchange

# All packages. They are named by their folders, so that nothing in build/ is one.
PACKAGES := ./baremetal/... ./board/... ./ccid/... ./sclib/... ./samples/... ./uefi/...

# Packages whose tests run on i386 too: what has to be right where an int has 32 bits.
NARROW   := ./baremetal/usb/... ./ccid/... ./sclib/... ./uefi/image/...

# Packages whose tests run inside firmware too: those that need no host.
INSIDE   := ./baremetal/usb/dmamem ./ccid $(addprefix ./ccid/,apdu atr t0 t1 usb sim/card sim/ifd sim/reader) ./sclib/... ./uefi/... \
	$(SAMPLES:%=./samples/%)

# At most this many machines run at a time.
MACHINES ?= 2
FUZZTIME ?= 30s

# Printed descriptors of real readers. Without a folder of them, the table in ccid/testdata serves.
DIR      ?= $(wildcard ../shared/data/readers)

GOFILES  := $(shell find . -path ./$(BUILD) -prune -o \( -name '*.go' -o -name '*.s' \) -print) go.mod go.sum
CABI     := uefi/driver/testdata/cabi

# What the tests in QEMU run: the images, programs in C and Go, and a build of
# the driver that fails on request.
TESTEFI  := $(BUILD)/test/x64
EFITESTS := apdus goticker handover machine orphan secureboot sessions swap
INDUCED  := induce pin $(DRIVER)Induced
COPIES   := $(DRIVER:%=$(TESTEFI)/%.efi) $(SAMPLES:%=$(TESTEFI)/%.efi)
TESTS    := $(COPIES) $(addprefix $(TESTEFI)/,$(addsuffix .efi,cabi ticker agent $(EFITESTS) $(INDUCED)))
KERNELS  := $(addprefix $(Q35)/,$(SAMPLES_Q35) agent machine)
LINUX    := $(BUILD)/linux
IMAGES   := $(EFI)/$(DRIVER).efi $(SAMPLES:%=$(EFI)/%.efi)

# What a package that starts machines imports.
HARNESS  := tamaccid/board/qemu

MINGW_FLAGS := -std=c11 -Wall -Wextra -Werror -Os -ffreestanding -fno-stack-protector \
	-fno-asynchronous-unwind-tables -mno-red-zone -nostdlib -s -Wl,--dynamicbase,--entry,efi_main

# Go for firmware speaks Linux's system calls, which baremetal/overlay answers.
FIRMWARE_ENV   := CGO_ENABLED=0 GOOS=linux GOARCH=amd64
FIRMWARE_FLAGS := -overlay $(OVERLAY) -tags tamago
# Functions begin on 16 bytes, not on the 32 that the linker prefers: a hundredth less of memory.
FIRMWARE_LINK  := -ldflags='-s -w -funcalign=16'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help deps deps-test efi q35 run test format vet host i386 machines test-efi soak size bench readers fuzz clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# ---- packages of the host ----

deps: ## install what "make run" needs and is missing (Debian, Ubuntu)
	@board/qemu/deps.sh run

deps-test: ## install what "make test" needs and is missing (Debian, Ubuntu)
	@board/qemu/deps.sh test

# ---- images ----

ifndef TAMAGO
efi: $(IMAGES) ## build driver and samples into build/efi/x64
else
# The samples as the TamaGo compiler makes them, at a fixed address: the one
# that board/uefi/x64 says, and one page of headers before the text.
FIXED    := $(BUILD)/tamago/x64
efi: $(SAMPLES:%=$(FIXED)/%.efi)

# TamaGo's library is the one that belongs to the compiler.
$(FIXED)/go.mod: go.mod FORCE
	@mkdir -p $(@D)
	@v=$$($(TAMAGO) env GOVERSION) && v=$${v#go} && sed -e "s|^go 1.*|go $$v|" -e '/^toolchain/d' \
		-e "s|\(usbarmory/tamago\) v[^ ]*|\1 v$$v|" go.mod >$@ && cp go.sum $(@D)/go.sum
	@$(TAMAGO) mod download -modfile=$@ github.com/usbarmory/tamago

$(FIXED)/%.efi: $(FIXED)/go.mod $(GOFILES) $(MKEFI)
	@echo "building $* with $(TAMAGO)"
	@mkdir -p $(ELF)
	@CGO_ENABLED=0 GOOS=tamago GOARCH=amd64 GOOSPKG=github.com/usbarmory/tamago $(TAMAGO) build \
		-mod=mod -modfile=$< -trimpath -ldflags='-s -w -T 0x4001000 -R 0x1000' -o $(ELF)/$*-tamago.elf ./samples/$*
	@$(MKEFI) -subsystem app $(ELF)/$*-tamago.elf $@
endif

# The overlay belongs to one Go installation: another one makes another.
$(BUILD)/go: FORCE
	@mkdir -p $(@D)
	@$(GO) env GOVERSION GOROOT | cmp -s - $@ || $(GO) env GOVERSION GOROOT >$@

$(OVERLAY): $(BUILD)/go $(shell find baremetal/overlay -type f)
	@echo "preparing the Go runtime"
	@$(GO) run ./baremetal/overlay -o $(@D)
	@touch $@

$(MKEFI): $(GOFILES)
	@$(GO) build -o $@ ./uefi/image/cmd/mkefi

$(ELF)/$(DRIVER).elf $(ELF)/$(DRIVER)Induced.elf: PACKAGE := ./uefi/driver/$(DRIVER)
$(EFITESTS:%=$(ELF)/%.elf) $(ELF)/induce.elf $(ELF)/pin.elf: PACKAGE = ./uefi/efitest/$*
$(ELF)/agent.elf: PACKAGE := ./board/qemu/agent
$(INDUCED:%=$(ELF)/%.elf): TAGS := ,induced
$(ELF)/%.elf: PACKAGE = ./samples/$*
$(ELF)/%.elf: $(OVERLAY) $(GOFILES)
	@echo "building $*"
	@$(FIRMWARE_ENV) $(GO) build $(FIRMWARE_FLAGS)$(TAGS) -buildmode=pie -trimpath $(FIRMWARE_LINK) -o $@ $(PACKAGE)
	@touch $@

$(EFI)/$(DRIVER).efi $(TESTEFI)/$(DRIVER)Induced.efi $(TESTEFI)/goticker.efi: SUBSYSTEM := driver
$(EFI)/%.efi $(TESTEFI)/%.efi: SUBSYSTEM = app

$(EFI)/%.efi: $(ELF)/%.elf $(MKEFI)
	@mkdir -p $(@D)
	@$(MKEFI) -subsystem $(SUBSYSTEM) $< $@

$(COPIES): $(TESTEFI)/%.efi: $(EFI)/%.efi
	@mkdir -p $(@D)
	@cp $< $@

$(TESTEFI)/%.efi: $(ELF)/%.elf $(MKEFI)
	@mkdir -p $(@D)
	@$(MKEFI) -subsystem $(SUBSYSTEM) $< $@

$(TESTEFI)/cabi.efi: $(wildcard $(CABI)/*.[ch])
	@echo "building cabi"
	@mkdir -p $(@D)
	@$(MINGW) $(MINGW_FLAGS) -Wl,--subsystem,10 -o $@ $(filter-out %/ticker.c,$(filter %.c,$^))

$(TESTEFI)/ticker.efi: $(CABI)/ticker.c $(CABI)/efi.h $(CABI)/ticks.h
	@echo "building ticker"
	@mkdir -p $(@D)
	@$(MINGW) $(MINGW_FLAGS) -Wl,--subsystem,11 -o $@ $<

# A Linux kernel, and the program that it starts there.
$(LINUX)/vmlinuz.efi:
	@board/qemu/linux.sh $(LINUX)

$(LINUX)/init: $(wildcard board/qemu/linux/*.go board/qemu/linux/init/*.go)
	@CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags='-s -w' -o $@ ./board/qemu/linux/init

# Kernel images: the samples that board q35 has, and the machine test.
q35: $(SAMPLES_Q35:%=$(Q35)/%) ## build samples as kernels of a PC without firmware into build/q35

$(MKKERNEL): $(GOFILES)
	@$(GO) build -o $@ ./board/q35/cmd/mkkernel

$(ELF)/machine-q35.elf: PACKAGE := ./board/q35/machine
$(ELF)/agent-q35.elf: PACKAGE := ./board/qemu/agent
$(ELF)/%-q35.elf: PACKAGE = ./samples/$*
$(ELF)/%-q35.elf: $(OVERLAY) $(GOFILES)
	@echo "building $* for q35"
	@$(FIRMWARE_ENV) $(GO) build $(FIRMWARE_FLAGS),q35 -trimpath $(FIRMWARE_LINK) -o $@ $(PACKAGE)
	@touch $@

$(Q35)/%: $(ELF)/%-q35.elf $(MKKERNEL)
	@mkdir -p $(@D)
	@$(MKKERNEL) $< $@

# ---- use ----

# What "make run" does not know it refuses before anything is built.
BOARD ?= uefi
ifneq ($(filter-out uefi q35,$(BOARD)),)
run: ; $(error there is no BOARD=$(BOARD): it is uefi or q35)
else ifneq ($(filter-out auto direct firmware,$(USB)),)
run: ; $(error there is no USB=$(USB): it is auto, direct or firmware)
else ifneq ($(and $(filter q35,$(BOARD)),$(USB)),)
run: ; $(error BOARD=q35 has no firmware to share USB with: leave USB=$(USB) out)
else ifeq ($(BOARD),q35)
run: deps q35 $(RUN)
	@$(RUN) -board q35 -kernels $(Q35) $(ARGS)
else
run: deps efi $(RUN) ## helloworld asks a card in QEMU (BOARD=uefi|q35, USB=auto|direct|firmware, ARGS=-h: more)
	@$(RUN) -efi $(EFI) $(if $(USB),-usb '$(USB)') $(ARGS)
endif

$(RUN): $(GOFILES)
	@$(GO) build -o $@ ./board/qemu/cmd/run

size: deps-test efi $(TESTS) ## sizes of the images, and what the driver takes from firmware
	@$(MKEFI) -sizes $(IMAGES)
	@QEMU_REQUIRED=1 $(GO) test -count=1 -run '^TestResidentMemory$$' -v ./uefi/efitest | grep bytes

# ---- tests ----

# A program that a test needs and does not find is a failure here; in "go test" by hand it is a reason to skip.
host i386 machines test-efi: export QEMU_REQUIRED := 1

test: FUZZTIME := 10s
test: deps-test format vet host i386 fuzz machines test-efi ## everything that is tested
	@echo "all tests passed"

format:
	@echo "== format"
	@bad=$$($$($(GO) env GOROOT)/bin/gofmt -l $(filter %.go,$(GOFILES))); [ -z "$$bad" ] || { echo "not as gofmt has it:"; echo "$$bad"; exit 1; }

vet: $(OVERLAY) ## look for suspicious constructs, in host and firmware builds
	@echo "== vet"
	@$(GO) vet $(PACKAGES)
	@# vet wants to enter the folder of a package that only the overlay has.
	@for board in "" ,q35; do \
		bad=$$($(FIRMWARE_ENV) $(GO) vet $(FIRMWARE_FLAGS)$$board $(PACKAGES) 2>&1 | grep -v -e '^runtime/goos: ' -e '^#' -e '^go: warning: ' -e '^go: downloading '); \
		[ -z "$$bad" ] || { echo "$$bad"; exit 1; }; \
	done

# Packages with and without machines in their tests; the list command is go's template language.
TESTED    = $(GO) list -f '{{$$p := .ImportPath}}{{$$m := eq $$p "$(HARNESS)"}}{{range .TestImports}}{{if eq . "$(HARNESS)"}}{{$$m = true}}{{end}}{{end}}{{range .XTestImports}}{{if eq . "$(HARNESS)"}}{{$$m = true}}{{end}}{{end}}{{if $(1)}}{{$$p}}{{end}}' $(PACKAGES)

host:
	@echo "== tests on this host"
	@CGO_ENABLED=1 $(GO) test -race $$($(call TESTED,not $$m))

i386:
	@echo "== tests with 32-bit integers"
	@CGO_ENABLED=0 GOARCH=386 $(GO) test $(NARROW)

machines: $(TESTS) $(KERNELS) $(LINUX)/vmlinuz.efi $(LINUX)/init
	@echo "== tests in QEMU"
	@$(GO) test -p 1 -parallel $(MACHINES) -timeout 25m $$($(call TESTED,$$m))

test-efi: $(OVERLAY) ## run the packages' own tests inside UEFI firmware
	@echo "== tests inside firmware"
	@$(GO) run ./board/qemu/cmd/efitest -overlay $(OVERLAY) $(INSIDE)

# Loops that take too long for every run of the tests, one a line.
soak: export QEMU_REQUIRED := 1
soak: deps-test $(TESTS) ## long loops, which take hours
	@$(GO) test -count=1 -timeout 4h -parallel $(MACHINES) -v -run '^(TestSessions|TestHostileDevices|TestEachFirmwareCallFails)$$' ./uefi/efitest -soak

bench: deps-test $(TESTS) ## what a command costs: in the class driver, and in firmware
	@$(GO) test -run '^$$' -bench . -benchmem ./ccid/... ./baremetal/usb/...
	@$(GO) test -count=1 -run '^TestStackTakesTheTimeItMust$$' -v ./baremetal/usb/xhci | grep 'virtual time'
	@QEMU_REQUIRED=1 $(GO) test -count=1 -run '^TestCost$$' -v ./uefi/efitest | grep SCardTransmit
	@QEMU_REQUIRED=1 $(GO) test -run '^$$' -bench . -benchtime 1x ./uefi/efitest | grep direct/firmware

readers: ## exchange with a virtual reader for each descriptor in DIR (../shared/data/readers, or the table in ccid/testdata)
	@test -z "$(DIR)" || test -d "$(DIR)" || { echo "there is no folder $(DIR): make readers DIR=folder"; exit 1; }
	@$(GO) test -c -o $(BUILD)/ccid.test ./ccid
	@cd ccid && { ../$(BUILD)/ccid.test -test.run '^TestReaders$$' -readers $(abspath $(or $(DIR),ccid/testdata/readers.txt)); echo $$? >../$(BUILD)/readers.status; } | grep -v '^PASS$$'
	@exit $$(cat $(BUILD)/readers.status)

# The go command sometimes takes the end of the time for a failure, without an input that fails: that is none.
fuzz: ## fuzz each target for FUZZTIME (30s), four at a time
	@echo "== fuzzing, $(FUZZTIME) each"
	@for p in $$($(GO) list $(PACKAGES)); do \
		$(GO) test -list '^Fuzz' $$p | sed -n "s|^Fuzz.*|$$p &|p"; \
	done | xargs -P 4 -n 2 sh -c '$(GO) test -run "^$$" -fuzz "^$$1\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x -parallel 1 $$0 >$(BUILD)/$$1.log 2>&1 || \
		{ grep -q "^ *context deadline exceeded" $(BUILD)/$$1.log && ! grep -q "Failing input" $(BUILD)/$$1.log; } || \
		{ cat $(BUILD)/$$1.log; exit 255; }'

clean: ## remove build/
	rm -rf $(BUILD)
