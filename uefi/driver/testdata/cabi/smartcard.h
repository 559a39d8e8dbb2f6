/* EFI_SMART_CARD_READER_PROTOCOL, UEFI 2.11, 37.6.1. */
#ifndef SMARTCARD_H
#define SMARTCARD_H

#include "efi.h"

static const EFI_GUID smart_card_reader_guid = {
	0x2A4D1ADF, 0x21DC, 0x4B81, {0xA4, 0x2F, 0x8B, 0x8E, 0xE2, 0x38, 0x00, 0x60}};

/* 37.6.2: access modes, card actions, protocols. */
#define AM_READER 1
#define AM_CARD 2
#define CA_NORESET 0
#define CA_COLDRESET 1
#define CA_WARMRESET 2
#define CA_UNPOWER 3
#define CA_EJECT 4
#define PROTOCOL_UNDEFINED 0
#define PROTOCOL_T0 1
#define PROTOCOL_T1 2

/* 37.6.4: states. */
#define STATE_ABSENT 1
#define STATE_INACTIVE 2
#define STATE_ACTIVE 3

/* 37.6.6: the one standard control code, SCARD_CTL_CODE(3400). */
#define GET_FEATURE_REQUEST (0x42000000U + 3400)

/* The driver's test build (uefi/driver/induced.go): a panic. */
#define INDUCE_PANIC 0x7F000000U

/* PC/SC part 3: attribute ATR_STRING. */
#define ATTRIBUTE_ATR 0x00090303U

typedef struct reader reader;
struct reader {
	EFI_STATUS(EFIAPI *connect)(reader *this, UINT32 access, UINT32 action, UINT32 protocols, UINT32 *active);
	EFI_STATUS(EFIAPI *disconnect)(reader *this, UINT32 action);
	EFI_STATUS(EFIAPI *status)(reader *this, CHAR16 *name, UINTN *name_length, UINT32 *state, UINT32 *protocol,
				   UINT8 *atr, UINTN *atr_length);
	EFI_STATUS(EFIAPI *transmit)(reader *this, const UINT8 *capdu, UINTN capdu_length, UINT8 *rapdu,
				     UINTN *rapdu_length);
	EFI_STATUS(EFIAPI *control)(reader *this, UINT32 code, const UINT8 *in, UINTN in_length, UINT8 *out,
				    UINTN *out_length);
	EFI_STATUS(EFIAPI *get_attrib)(reader *this, UINT32 attribute, UINT8 *out, UINTN *out_length);
};

_Static_assert(offsetof(reader, get_attrib) == 40 && sizeof(reader) == 48, "UEFI 2.11, 37.6.1: six members");

#endif
