/*
 * A UEFI application that finds a smart card, selects the "Hello world!" applet on it, and prints
 * the text that the applet answers with all that is sent and received. The Go program in
 * samples/helloworld prints the same.
 *
 * Build it with the headers of this folder, or with those of edk2 or gnu-efi: see README.md.
 */
#ifndef EFI_HEADER
#define EFI_HEADER "efi.h"
#endif
#include EFI_HEADER

#include "smartcard.h"

static EFI_SYSTEM_TABLE *ST;
static EFI_GUID ReaderGuid = EFI_SMART_CARD_READER_PROTOCOL_GUID;

/* The commands: SELECT by the applet's name (ISO/IEC 7816-4:2020, 11.2.2), and the only other one
 * that the applet supports. */
static UINT8 Select[] = {0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00,
			 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06, 0x01};
static UINT8 Hello[] = {0x00, 0x00, 0x00, 0x00};

/* The longest response to a short command: 256 bytes and the status (ISO/IEC 7816-3:2006, 12.1.3).
 */
#define MAX_RESPONSE 258

/* The longest answer to reset (ISO/IEC 7816-3:2006, 8.2.1). */
#define MAX_ATR 33

/* The longest name of a reader that is printed, in CHAR16 (policy). */
#define MAX_NAME 256

/* The status of a command that was performed (ISO/IEC 7816-4:2020, 5.6). */
#define SW_SUCCESS 0x9000

static VOID PutChar(char Char)
{
	CHAR16 Text[3] = {'\r', '\n', 0};

	if (Char != '\n') {
		Text[0] = (CHAR16)Char;
		Text[1] = 0;
	}
	ST->ConOut->OutputString(ST->ConOut, Text);
}

static VOID Print(const char *Text)
{
	for (; *Text != 0; Text++)
		PutChar(*Text);
}

static VOID PrintHex(UINT64 Value, int Digits)
{
	while (Digits-- > 0)
		PutChar("0123456789ABCDEF"[Value >> 4 * Digits & 15]);
}

static VOID PrintBytes(const char *Title, const UINT8 *Bytes, UINTN Length)
{
	Print(Title);
	for (UINTN i = 0; i < Length; i++) {
		if (i > 0)
			PutChar(' ');
		PrintHex(Bytes[i], 2);
	}
	PutChar('\n');
}

/* PrintText prints the text of a card, which can be any bytes. */
static VOID PrintText(const char *Title, const UINT8 *Text, UINTN Length)
{
	Print(Title);
	for (UINTN i = 0; i < Length; i++)
		PutChar(Text[i] >= ' ' && Text[i] <= '~' ? (char)Text[i] : '?');
	PutChar('\n');
}

/* Connect connects to the first card that answers. Without one the status is that of the last
 * reader, and EFI_NOT_FOUND without a reader. */
static EFI_STATUS Connect(EFI_SMART_CARD_READER_PROTOCOL **Found)
{
	EFI_BOOT_SERVICES *BS = ST->BootServices;
	EFI_HANDLE *Handles;
	UINTN Count = 0;
	UINT32 Protocol;
	EFI_STATUS Status;

	Status = BS->LocateHandleBuffer(ByProtocol, &ReaderGuid, NULL, &Count, &Handles);
	if (EFI_ERROR(Status))
		return Status;
	for (UINTN i = 0; i < Count; i++) {
		Status = BS->HandleProtocol(Handles[i], &ReaderGuid, (VOID **)Found);
		if (!EFI_ERROR(Status))
			Status = (*Found)->SCardConnect(*Found, SCARD_AM_CARD, SCARD_CA_COLDRESET,
							SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1,
							&Protocol);
		if (!EFI_ERROR(Status))
			break;
	}
	BS->FreePool(Handles);
	return Status;
}

/* ShowStatus prints the reader's name and the card's answer to reset. */
static EFI_STATUS ShowStatus(EFI_SMART_CARD_READER_PROTOCOL *Reader)
{
	static CHAR16 Name[MAX_NAME];
	UINT8 Atr[MAX_ATR];
	UINTN NameLength = sizeof Name, AtrLength = sizeof Atr; /* both in bytes */
	EFI_STATUS Status;

	Status = Reader->SCardStatus(Reader, Name, &NameLength, NULL, NULL, Atr, &AtrLength);
	if (EFI_ERROR(Status))
		return Status;
	Print("Reader: ");
	ST->ConOut->OutputString(ST->ConOut, Name);
	Print("\n");
	PrintBytes("ATR:    ", Atr, AtrLength);
	return EFI_SUCCESS;
}

/* Exchange sends a command and prints it and the response, whose data and length are for the
 * caller. A command that the card does not perform is EFI_ABORTED. */
static EFI_STATUS Exchange(EFI_SMART_CARD_READER_PROTOCOL *Reader, UINT8 *Command, UINTN Length,
			   UINT8 *Response, UINTN *DataLength)
{
	UINTN Received = MAX_RESPONSE;
	UINT32 StatusWord;
	EFI_STATUS Status;

	PrintBytes("C-APDU: ", Command, Length);
	Status = Reader->SCardTransmit(Reader, Command, Length, Response, &Received);
	if (EFI_ERROR(Status))
		return Status;
	PrintBytes("R-APDU: ", Response, Received);
	if (Received < 2)
		return EFI_PROTOCOL_ERROR;
	*DataLength = Received - 2;
	StatusWord = (UINT32)Response[Received - 2] << 8 | Response[Received - 1];
	if (StatusWord == SW_SUCCESS)
		return EFI_SUCCESS;
	Print("The card refused with ");
	PrintHex(StatusWord, 4);
	Print(".\n");
	return EFI_ABORTED;
}

/* Talk selects the applet and asks it for its text. */
static EFI_STATUS Talk(EFI_SMART_CARD_READER_PROTOCOL *Reader)
{
	static UINT8 Response[MAX_RESPONSE];
	UINTN Length;
	EFI_STATUS Status = ShowStatus(Reader);

	if (!EFI_ERROR(Status))
		Status = Exchange(Reader, Select, sizeof Select, Response, &Length);
	if (!EFI_ERROR(Status))
		Status = Exchange(Reader, Hello, sizeof Hello, Response, &Length);
	if (!EFI_ERROR(Status))
		PrintText("Text:   ", Response, Length);
	return Status;
}

/* Explain prints what went wrong. */
static VOID Explain(EFI_STATUS Status)
{
	switch (Status) {
	case EFI_NOT_FOUND:
		Print("No smart card reader found.\n");
		break;
	case EFI_NO_MEDIA:
		Print("There is no card in the reader.\n");
		break;
	case EFI_NOT_READY:
		Print("The card does not answer.\n");
		break;
	case EFI_ACCESS_DENIED:
		Print("Another program is using the reader.\n");
		break;
	default:
		Print("It failed: EFI_STATUS ");
		PrintHex(Status, 16);
		Print(".\n");
	}
}

/* The entry point. edk2 calls it by the name in the module's .inf file (ENTRY_POINT). */
EFI_STATUS EFIAPI efi_main(EFI_HANDLE Image, EFI_SYSTEM_TABLE *System)
{
	EFI_SMART_CARD_READER_PROTOCOL *Reader = NULL;
	EFI_STATUS Status;

	(void)Image;
	ST = System;
	Status = Connect(&Reader);
	if (!EFI_ERROR(Status)) {
		Status = Talk(Reader);
		/* A connection outlives the program: without this the reader would stay locked. */
		Reader->SCardDisconnect(Reader, SCARD_CA_NORESET);
	}
	if (EFI_ERROR(Status))
		Explain(Status);
	return Status;
}
