# Everything is built into build/. Outside of it, only "deps", "deps-test" and "deps-check" change
# the system: they install packages.
#
# The file reads from the top down: the variables, the targets to call (make help), and at the end
# the rules that make the files which those targets need.

# ---- what the command line may set ----

GO       ?= go
MINGW    ?= x86_64-w64-mingw32-gcc
# TAMAGO is the go command of the TamaGo compiler; with it, "make efi" builds the samples with it.

# For "make run": the machine (uefi or q35), who drives its USB controller (auto, direct or
# firmware; for uefi only) and further arguments of board/qemu/harness/cmd/run.
BOARD    ?= uefi
USB      ?=
ARGS     ?=

# How many machines the tests run at a time, and how long each fuzz target runs.
MACHINES ?= 2
FUZZTIME ?= 30s

# The folder with printed descriptors of real readers for "make readers". Without one, the table in
# ccid/testdata serves.
DIR      ?= $(wildcard ../shared/data/readers)

# ---- what there is to build and to test ----

# The driver is ./uefi/driver/NAME, a sample is ./samples/NAME; either becomes NAME.efi.
DRIVER   := SmartCardReader
SAMPLES  := helloworld exchange loaddriver

# The samples that are also built as kernels for the PC without firmware, board/qemu/q35.
SAMPLES_Q35 := helloworld exchange

# All packages, named by their top folders: "./..." would find packages in build/ too.
PACKAGES := ./baremetal/... ./board/... ./ccid/... ./sclib/... ./samples/... ./uefi/...

# Packages whose tests also run on i386: those that must be correct where an int has 32 bits.
NARROW   := ./baremetal/usbhost/... ./ccid/... ./sclib/... ./uefi/image/...

# Packages whose tests also run inside firmware: those that need no host.
INSIDE   := ./baremetal/usbhost/dmamem ./ccid $(addprefix ./ccid/,apdu atr t0 t1 usb sim/card sim/ifd sim/reader) ./sclib/... ./uefi/... \
	$(SAMPLES:%=./samples/%)

# The package that starts machines. A package whose tests import it runs in "make machines".
HARNESS  := tamaccid/board/qemu/harness

# The sample in C, whose headers the test programs in C use too, and these.
SAMPLE_C := samples/c
CABI     := uefi/efitest/cabi

# ---- where it is built ----

BUILD    := build
# Tools of the host: the overlay for the Go runtime, ELF to EFI image, ELF to kernel, "make run".
OVERLAY  := $(BUILD)/overlay/overlay.json
MKEFI    := $(BUILD)/bin/mkefi
MKKERNEL := $(BUILD)/bin/mkkernel
RUN      := $(BUILD)/bin/run
# What the Go linker makes, and the images made of it: for UEFI, for its tests (the volume that the
# machines boot from), and for q35; at last the Linux system that takes over from firmware.
ELF      := $(BUILD)/elf
EFI      := $(BUILD)/efi/x64
TESTEFI  := $(BUILD)/test/x64
Q35      := $(BUILD)/q35
LINUX    := $(BUILD)/linux
# The images that are for use.
IMAGES   := $(EFI)/$(DRIVER).efi $(SAMPLES:%=$(EFI)/%.efi)

# Every tool and image is made again when any Go file has changed; the go command caches the rest.
GOFILES  := $(shell find . -path ./$(BUILD) -prune -o \( -name '*.go' -o -name '*.s' \) -print) go.mod go.sum

# What the tests in QEMU run: copies of the images, programs in C and Go (uefi/efitest/NAME), and
# what contains a build of the driver that fails on request (build tag faultinjection).
EFITESTS := apdus goticker handover machine orphan secureboot sessions swap
FAULTS   := fault pin $(DRIVER)Fault
COPIES   := $(DRIVER:%=$(TESTEFI)/%.efi) $(SAMPLES:%=$(TESTEFI)/%.efi)
TESTS    := $(COPIES) $(addprefix $(TESTEFI)/,$(addsuffix .efi,hello-c cabi ticker agent $(EFITESTS) $(FAULTS)))
KERNELS  := $(addprefix $(Q35)/,$(SAMPLES_Q35) agent machine)

# ---- how it is built ----

# Go for firmware uses Linux's system calls, which baremetal/overlay implements.
FIRMWARE_ENV   := CGO_ENABLED=0 GOOS=linux GOARCH=amd64
FIRMWARE_FLAGS := -overlay $(OVERLAY)
# Functions are aligned to 8 bytes instead of the linker's 32: images are 1.5 % smaller.
FIRMWARE_LINK  := -ldflags='-s -w -funcalign=8'

MINGW_FLAGS := -std=c11 -Wall -Wextra -Werror -Os -ffreestanding -fno-stack-protector \
	-fno-asynchronous-unwind-tables -mno-red-zone -nostdlib -s -Wl,--dynamicbase,--entry,efi_main

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help deps deps-check deps-test efi q35 run check test format vet host i386 machines test-efi soak size bench readers fuzz clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# ---- packages of the host ----

deps: ## install what "make run" needs and is missing (Debian, Ubuntu)
	@board/qemu/harness/deps.sh run

deps-check: ## install what "make check" needs and is missing (Debian, Ubuntu)
	@board/qemu/harness/deps.sh check

deps-test: ## install what "make test" needs and is missing (Debian, Ubuntu)
	@board/qemu/harness/deps.sh test

# ---- use ----

# Unknown settings are refused before anything is built.
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
run: deps efi $(RUN) ## helloworld uses a card in QEMU (BOARD=uefi|q35, USB=auto|direct|firmware, ARGS=-h: more)
	@$(RUN) -efi $(EFI) $(if $(USB),-usb '$(USB)') $(ARGS)
endif

size: deps-test efi $(TESTS) ## sizes of the images, and what the driver takes from firmware
	@$(MKEFI) -sizes $(IMAGES)
	@QEMU_REQUIRED=1 $(GO) test -count=1 -run '^TestResidentMemory$$' -v ./uefi/efitest

# ---- tests ----

# A program that a test needs and does not find is a failure here. Elsewhere it is a reason to skip.
test machines test-efi: export QEMU_REQUIRED := 1

check: deps-check format vet host i386 ## what needs no machine in QEMU, in under 3 minutes on two cores

test: FUZZTIME := 10s
test: deps-test check fuzz machines test-efi ## everything that is tested
	@echo "all tests passed"

format:
	@echo "== format"
	@bad=$$($$($(GO) env GOROOT)/bin/gofmt -l $(filter %.go,$(GOFILES))) && [ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }

# In a firmware build vet fails on package runtime/goos, and on no other: it starts in the package's
# folder, and this one exists only in the overlay. All other packages are analysed in spite of it,
# so the build passes if this is the one line of vet's report; every other line is printed.
# "go mod download" comes first because the go command reports its downloads in the same place.
NO_GOOS := ^runtime/goos: .*: chdir .*/src/runtime/goos: no such file or directory$$

vet: $(OVERLAY) ## look for suspicious constructs, in host and firmware builds
	@echo "== vet"
	@$(GO) vet $(PACKAGES)
	@$(GO) mod download
	@for tags in uefi q35 uefi,faultinjection; do \
		$(FIRMWARE_ENV) $(GO) vet $(FIRMWARE_FLAGS) -tags tamago,$$tags $(PACKAGES) 2>$(BUILD)/vet.log || \
			{ ! grep -v '$(NO_GOOS)' $(BUILD)/vet.log && grep -q '$(NO_GOOS)' $(BUILD)/vet.log; } || exit 1; \
	done

# A command that lists the packages for which a condition holds; in it, $$m is whether the package is
# HARNESS or its tests import it. The condition and the format are in Go's template language.
TESTED    = $(GO) list -f '{{$$p := .ImportPath}}{{$$m := eq $$p "$(HARNESS)"}}\
	{{range .TestImports}}{{if eq . "$(HARNESS)"}}{{$$m = true}}{{end}}{{end}}\
	{{range .XTestImports}}{{if eq . "$(HARNESS)"}}{{$$m = true}}{{end}}{{end}}\
	{{if $(1)}}{{$$p}}{{end}}' $(PACKAGES)

# In short mode no test starts QEMU.
host:
	@echo "== tests on this host"
	@CGO_ENABLED=1 $(GO) test -short -race $$($(call TESTED,not $$m))

i386:
	@echo "== tests with 32-bit integers"
	@CGO_ENABLED=0 GOARCH=386 $(GO) test -short $(NARROW)

machines: $(TESTS) $(KERNELS) $(LINUX)/vmlinuz.efi $(LINUX)/init
	@echo "== tests in QEMU"
	@CGO_ENABLED=1 $(GO) test -race -run '^TestQEMU' ./ccid/sim/usbredir ./ccid/sim/vscard
	@$(GO) test -p 1 -parallel $(MACHINES) -timeout 60m $$($(call TESTED,$$m))

test-efi: $(OVERLAY) ## run the packages' own tests inside UEFI firmware
	@echo "== tests inside firmware"
	@$(GO) run ./board/qemu/harness/cmd/efitest -overlay $(OVERLAY) $(INSIDE)

# Loops that take too long for every run of the tests, one a line.
soak: export QEMU_REQUIRED := 1
soak: deps-test $(TESTS) ## long loops, which take hours
	@$(GO) test -count=1 -timeout 6h -parallel $(MACHINES) -v -run '^(TestSessions|TestHostileDevices|TestEachFirmwareCallFails)$$' ./uefi/efitest -soak

bench: deps-test $(TESTS) ## what a command costs: in the class driver, and in firmware
	@$(GO) test -run '^$$' -bench . -benchmem ./ccid/... ./baremetal/usbhost/...
	@$(GO) test -count=1 -run '^TestStackTakesTheSpecifiedTime$$' -v ./baremetal/usbhost/xhci
	@QEMU_REQUIRED=1 $(GO) test -count=1 -run '^TestCost$$' -v ./uefi/efitest
	@QEMU_REQUIRED=1 $(GO) test -run '^$$' -bench . -benchtime 1x ./uefi/efitest

readers: ## exchange with a virtual reader for each real one in DIR, or in ccid/testdata/readers.txt
	@test -z "$(DIR)" || test -d "$(DIR)" || { echo "there is no folder $(DIR): make readers DIR=folder"; exit 1; }
	@cd ccid && $(GO) test -count=1 -run '^TestReaders$$' -args -readers $(abspath $(or $(DIR),ccid/testdata/readers.txt))

# Four targets run at a time, so that the output of each goes to a file, which is printed on a
# failure. When the time is over, the go command sometimes reports "context deadline exceeded" and
# fails although no input failed; that is not counted as a failure.
fuzz: ## fuzz each target for FUZZTIME (30s), four at a time
	@echo "== fuzzing, $(FUZZTIME) each"
	@for p in $$($(GO) list $(PACKAGES)); do \
		$(GO) test -list '^Fuzz' $$p | sed -n "s|^Fuzz.*|$$p &|p"; \
	done | xargs -P 4 -n 2 sh -c '$(GO) test -run "^$$" -fuzz "^$$1\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x -parallel 1 $$0 >$(BUILD)/$$1.log 2>&1 || \
		{ grep -q "^ *context deadline exceeded" $(BUILD)/$$1.log && ! grep -q "Failing input" $(BUILD)/$$1.log; } || \
		{ cat $(BUILD)/$$1.log; exit 255; }'

clean: ## remove build/
	rm -rf $(BUILD)

# ---- images, and the tools that make them ----

ifndef TAMAGO
efi: $(IMAGES) ## build driver and samples into build/efi/x64
else
# The TamaGo compiler links at a fixed address: the one in board/uefi, after one page of
# headers.
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
		-tags uefi -mod=mod -modfile=$< -trimpath -ldflags='-s -w -T 0x4001000 -R 0x1000' -o $(ELF)/$*-tamago.elf ./samples/$*
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

$(ELF)/$(DRIVER).elf $(ELF)/$(DRIVER)Fault.elf: PACKAGE := ./uefi/driver/$(DRIVER)
$(EFITESTS:%=$(ELF)/%.elf) $(ELF)/fault.elf $(ELF)/pin.elf: PACKAGE = ./uefi/efitest/$*
$(ELF)/agent.elf: PACKAGE := ./board/qemu/harness/agent
$(FAULTS:%=$(ELF)/%.elf): TAGS := ,faultinjection
$(ELF)/%.elf: PACKAGE = ./samples/$*
$(ELF)/%.elf: $(OVERLAY) $(GOFILES)
	@echo "building $*"
	@$(FIRMWARE_ENV) $(GO) build $(FIRMWARE_FLAGS) -tags tamago,uefi$(TAGS) -buildmode=pie -trimpath $(FIRMWARE_LINK) -o $@ $(PACKAGE)
	@touch $@

$(EFI)/$(DRIVER).efi $(TESTEFI)/$(DRIVER)Fault.efi $(TESTEFI)/goticker.efi: SUBSYSTEM := driver
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

# Programs in C: those of the sample and the tests are applications, ticker is a driver.
HEADERS_C := $(wildcard $(SAMPLE_C)/*.h $(CABI)/*.h)
$(TESTEFI)/hello-c.efi: $(SAMPLE_C)/helloworld.c
$(TESTEFI)/cabi.efi: $(filter-out %/ticker.c,$(wildcard $(CABI)/*.c))
$(TESTEFI)/ticker.efi: $(CABI)/ticker.c
$(TESTEFI)/hello-c.efi $(TESTEFI)/cabi.efi: SUBSYSTEM_C := 10
$(TESTEFI)/ticker.efi: SUBSYSTEM_C := 11
$(TESTEFI)/hello-c.efi $(TESTEFI)/cabi.efi $(TESTEFI)/ticker.efi: $(HEADERS_C)
	@echo "building $(basename $(@F))"
	@mkdir -p $(@D)
	@$(MINGW) $(MINGW_FLAGS) -I$(SAMPLE_C) -Wl,--subsystem,$(SUBSYSTEM_C) -o $@ $(filter %.c,$^)

# A Linux kernel, and the program that it starts there.
$(LINUX)/vmlinuz.efi:
	@board/qemu/harness/linux.sh $(LINUX)

$(LINUX)/init: $(wildcard board/qemu/harness/linux/*.go board/qemu/harness/linux/init/*.go)
	@CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags='-s -w' -o $@ ./board/qemu/harness/linux/init

# Kernel images: the samples that board q35 has, and the machine test.
q35: $(SAMPLES_Q35:%=$(Q35)/%) ## build samples as kernels of a PC without firmware into build/q35

$(MKKERNEL): $(GOFILES)
	@$(GO) build -o $@ ./board/qemu/q35/cmd/mkkernel

$(ELF)/machine-q35.elf: PACKAGE := ./board/qemu/q35/machine
$(ELF)/agent-q35.elf: PACKAGE := ./board/qemu/harness/agent
$(ELF)/%-q35.elf: PACKAGE = ./samples/$*
$(ELF)/%-q35.elf: $(OVERLAY) $(GOFILES)
	@echo "building $* for q35"
	@$(FIRMWARE_ENV) $(GO) build $(FIRMWARE_FLAGS) -tags tamago,q35 -trimpath $(FIRMWARE_LINK) -o $@ $(PACKAGE)
	@touch $@

$(Q35)/%: $(ELF)/%-q35.elf $(MKKERNEL)
	@mkdir -p $(@D)
	@$(MKKERNEL) $< $@

# The command behind "make run".
$(RUN): $(GOFILES)
	@$(GO) build -o $@ ./board/qemu/harness/cmd/run
