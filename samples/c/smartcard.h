/*
 * EFI_SMART_CARD_READER_PROTOCOL for programs in C (UEFI 2.11, 37.6). Each slot of a reader is a
 * handle with this protocol.
 *
 * Include a header with the types of UEFI before it: efi.h of this folder, Uefi.h of edk2 or efi.h
 * of gnu-efi. After edk2's Protocol/SmartCardReader.h this header adds nothing but the attribute.
 *
 * Every function takes the protocol itself as This. A function waits for the reader: SCardConnect
 * and SCardTransmit can take a minute. EFI_DEVICE_ERROR is the status of every call after the
 * reader was unplugged.
 */
#ifndef SMARTCARD_H
#define SMARTCARD_H

/* PC/SC part 3, 3.1.4: the attribute ATR string. */
#define SCARD_ATTR_ATR_STRING 0x00090303U

#ifndef EFI_SMART_CARD_READER_PROTOCOL_GUID

#define EFI_SMART_CARD_READER_PROTOCOL_GUID \
	{0x2A4D1ADF, 0x21DC, 0x4B81, {0xA4, 0x2F, 0x8B, 0x8E, 0xE2, 0x38, 0x00, 0x60}}

typedef struct EFI_SMART_CARD_READER_PROTOCOL EFI_SMART_CARD_READER_PROTOCOL;

/* What a connection is for (37.6.2). */
#define SCARD_AM_READER 1 /* the reader alone: the card is left as it is */
#define SCARD_AM_CARD 2	  /* the card in it */

/* What happens to the card on connection or disconnection (37.6.2). */
#define SCARD_CA_NORESET 0
#define SCARD_CA_COLDRESET 1
#define SCARD_CA_WARMRESET 2
#define SCARD_CA_UNPOWER 3 /* SCardDisconnect only */
#define SCARD_CA_EJECT 4   /* SCardDisconnect only; most readers cannot */

/* Transmission protocols, a mask (37.6.2). */
#define SCARD_PROTOCOL_UNDEFINED 0
#define SCARD_PROTOCOL_T0 1
#define SCARD_PROTOCOL_T1 2
#define SCARD_PROTOCOL_RAW 4

/* States of a card (37.6.4). */
#define SCARD_UNKNOWN 0
#define SCARD_ABSENT 1
#define SCARD_INACTIVE 2 /* in the reader, without power */
#define SCARD_ACTIVE 3	 /* in the reader, with power */

/* Control codes (37.6.6), and the one that the specification defines: its answer lists the features
 * of the reader (PC/SC part 10, 2.2). */
#define SCARD_CTL_CODE(code) (0x42000000 + (code))
#define CM_IOCTL_GET_FEATURE_REQUEST SCARD_CTL_CODE(3400)

/*
 * SCardConnect takes the card, or the reader, for the caller (37.6.2). With SCARD_AM_CARD the
 * action is NORESET, COLDRESET or WARMRESET, and PreferredProtocols is a mask of those that the
 * caller accepts. With SCARD_AM_READER they are NORESET and UNDEFINED.
 *
 *	EFI_NO_MEDIA		there is no card
 *	EFI_NOT_READY		the card does not answer to the reset
 *	EFI_UNSUPPORTED		the card has none of the protocols
 *	EFI_ACCESS_DENIED	there is a connection already
 */
typedef EFI_STATUS(EFIAPI *EFI_SMART_CARD_READER_CONNECT)(
	EFI_SMART_CARD_READER_PROTOCOL *This, UINT32 AccessMode, UINT32 CardAction,
	UINT32 PreferredProtocols, UINT32 *ActiveProtocol);

/*
 * SCardDisconnect ends the connection (37.6.3). It succeeds without one, and when the card has
 * gone. With EFI_UNSUPPORTED, for SCARD_CA_EJECT, the connection stays.
 */
typedef EFI_STATUS(EFIAPI *EFI_SMART_CARD_READER_DISCONNECT)(
	EFI_SMART_CARD_READER_PROTOCOL *This, UINT32 CardAction);

/*
 * SCardStatus gives the reader's name, with its NUL, the card's state and protocol, and the answer
 * to reset, of 33 bytes at most (37.6.4). Each may be NULL. Lengths are in bytes: of the buffer
 * before the call, of what is or would be in it afterwards.
 *
 *	EFI_BUFFER_TOO_SMALL	a length was too small; both are updated
 */
typedef EFI_STATUS(EFIAPI *EFI_SMART_CARD_READER_STATUS)(
	EFI_SMART_CARD_READER_PROTOCOL *This, CHAR16 *ReaderName, UINTN *ReaderNameLength,
	UINT32 *State, UINT32 *CardProtocol, UINT8 *Atr, UINTN *AtrLength);

/*
 * SCardTransmit sends a command APDU and receives the response APDU, whose last two bytes are the
 * status of the command (37.6.5). A response to a short command has 258 bytes at most. RAPDULength
 * is the size of the buffer before the call, and that of the response afterwards.
 *
 *	EFI_BUFFER_TOO_SMALL	the response is lost; RAPDULength is its size
 *	EFI_NO_MEDIA		there is no card
 *	EFI_NOT_READY		there is no connection to the card, or it has no power
 *	EFI_TIMEOUT		the card or the reader did not answer in time
 *	EFI_PROTOCOL_ERROR	what came was not understood
 *	EFI_ACCESS_DENIED	another call is in progress
 */
typedef EFI_STATUS(EFIAPI *EFI_SMART_CARD_READER_TRANSMIT)(
	EFI_SMART_CARD_READER_PROTOCOL *This, UINT8 *CAPDU, UINTN CAPDULength, UINT8 *RAPDU,
	UINTN *RAPDULength);

/*
 * SCardControl sends a control code to the reader (37.6.6). Buffers that a code does not need may
 * be NULL. Statuses are those of SCardTransmit, and EFI_UNSUPPORTED for an unknown code.
 */
typedef EFI_STATUS(EFIAPI *EFI_SMART_CARD_READER_CONTROL)(
	EFI_SMART_CARD_READER_PROTOCOL *This, UINT32 ControlCode, UINT8 *InBuffer,
	UINTN InBufferLength, UINT8 *OutBuffer, UINTN *OutBufferLength);

/*
 * SCardGetAttrib gives the value of an attribute of PC/SC part 3, 3.1.4 (37.6.7). Statuses are
 * those of SCardTransmit, and EFI_UNSUPPORTED for an unknown attribute.
 */
typedef EFI_STATUS(EFIAPI *EFI_SMART_CARD_READER_GET_ATTRIB)(
	EFI_SMART_CARD_READER_PROTOCOL *This, UINT32 Attrib, UINT8 *OutBuffer,
	UINTN *OutBufferLength);

/* 37.6.1. */
struct EFI_SMART_CARD_READER_PROTOCOL {
	EFI_SMART_CARD_READER_CONNECT SCardConnect;
	EFI_SMART_CARD_READER_DISCONNECT SCardDisconnect;
	EFI_SMART_CARD_READER_STATUS SCardStatus;
	EFI_SMART_CARD_READER_TRANSMIT SCardTransmit;
	EFI_SMART_CARD_READER_CONTROL SCardControl;
	EFI_SMART_CARD_READER_GET_ATTRIB SCardGetAttrib;
};

_Static_assert(sizeof(EFI_SMART_CARD_READER_PROTOCOL) == 6 * sizeof(VOID *),
	       "UEFI 2.11, 37.6.1: six functions");
_Static_assert(sizeof(EFI_GUID) == 16, "UEFI 2.11, 2.3.1");

#endif
#endif
