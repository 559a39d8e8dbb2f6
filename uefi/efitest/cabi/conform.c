/* The checks of cabi.efi. Statuses are those of UEFI 2.11, 37.6.2 to 37.6.7. */
#include "cabi.h"
#include "check.h"

#define BOTH (SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1)

static guarded buffer;
static UINTN length;
static UINT32 active;

static EFI_STATUS connect_card(reader *r)
{
	return r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET, BOTH, &active);
}

static EFI_STATUS transmit(reader *r, UINT8 *command, UINTN command_length, UINTN room)
{
	guard(&buffer);
	length = room;
	return r->SCardTransmit(r, command, command_length, buffer.bytes, &length);
}

/* 37.6.2: invalid arguments. No such call may leave the reader locked. */
static void connect_arguments(reader *r)
{
	expect(r->SCardConnect(NULL, SCARD_AM_CARD, SCARD_CA_NORESET, BOTH, &active),
	       EFI_INVALID_PARAMETER, "Connect without This");
	expect(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET, BOTH, NULL),
	       EFI_INVALID_PARAMETER, "Connect without ActiveProtocol");
	expect(r->SCardConnect(r, 0, SCARD_CA_NORESET, BOTH, &active), EFI_INVALID_PARAMETER,
	       "Connect with access mode 0");
	expect(r->SCardConnect(r, SCARD_AM_CARD + 1, SCARD_CA_NORESET, BOTH, &active),
	       EFI_INVALID_PARAMETER, "Connect with access mode 3");
	expect(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_UNPOWER, BOTH, &active),
	       EFI_INVALID_PARAMETER, "Connect with UNPOWER");
	expect(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_EJECT, BOTH, &active),
	       EFI_INVALID_PARAMETER, "Connect with EJECT");
	expect(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_EJECT + 1, BOTH, &active),
	       EFI_INVALID_PARAMETER, "Connect with action 5");
	expect(r->SCardConnect(r, SCARD_AM_READER, SCARD_CA_NORESET, SCARD_PROTOCOL_T0, &active),
	       EFI_INVALID_PARAMETER, "Connect to the reader with a protocol");
	expect(r->SCardConnect(r, SCARD_AM_READER, SCARD_CA_COLDRESET, SCARD_PROTOCOL_UNDEFINED,
			       &active),
	       EFI_INVALID_PARAMETER, "Connect to the reader with a reset");
	either(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET, SCARD_PROTOCOL_UNDEFINED,
			       &active),
	       EFI_INVALID_PARAMETER, EFI_UNSUPPORTED, "Connect to the card with no protocol");
}

static void connect_reader(reader *r)
{
	active = BOTH;
	expect(r->SCardConnect(r, SCARD_AM_READER, SCARD_CA_NORESET, SCARD_PROTOCOL_UNDEFINED,
			       &active),
	       EFI_SUCCESS, "Connect to the reader, after all the refusals");
	check(active == SCARD_PROTOCOL_UNDEFINED, "the reader has no active protocol");
	expect(r->SCardConnect(r, SCARD_AM_READER, SCARD_CA_NORESET, SCARD_PROTOCOL_UNDEFINED,
			       &active),
	       EFI_ACCESS_DENIED, "Connect to the reader while it is taken");
	expect(r->SCardDisconnect(r, SCARD_CA_NORESET), EFI_SUCCESS, "Disconnect from the reader");
	expect(r->SCardDisconnect(r, SCARD_CA_NORESET), EFI_SUCCESS,
	       "Disconnect with no connection");
}

static void connect_and_disconnect(reader *r)
{
	UINT32 other;
	EFI_STATUS status;

	expect(connect_card(r), EFI_SUCCESS, "Connect to the card");
	check(active == SCARD_PROTOCOL_T0 || active == SCARD_PROTOCOL_T1,
	      "the active protocol is one of those asked for");
	expect(connect_card(r), EFI_ACCESS_DENIED, "Connect to the card while it is taken");
	expect(r->SCardDisconnect(NULL, SCARD_CA_NORESET), EFI_INVALID_PARAMETER,
	       "Disconnect without This");
	expect(r->SCardDisconnect(r, SCARD_CA_EJECT + 1), EFI_INVALID_PARAMETER,
	       "Disconnect with action 5");
	expect(r->SCardDisconnect(r, SCARD_CA_EJECT), EFI_UNSUPPORTED,
	       "Disconnect with EJECT from a reader that cannot");
	expect(connect_card(r), EFI_ACCESS_DENIED,
	       "the refused Disconnects have not given the card free");
	expect(r->SCardDisconnect(r, SCARD_CA_WARMRESET), EFI_SUCCESS,
	       "Disconnect with a warm reset");

	other = active == SCARD_PROTOCOL_T0 ? SCARD_PROTOCOL_T1 : SCARD_PROTOCOL_T0;
	status = r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET, other, &active);
	either(status, EFI_UNSUPPORTED, EFI_SUCCESS, "Connect with the other protocol alone");
	if (status == EFI_SUCCESS) {
		check(active == other, "the other protocol is active then");
		expect(r->SCardDisconnect(r, SCARD_CA_COLDRESET), EFI_SUCCESS,
		       "Disconnect with a cold reset");
	}
	expect(connect_card(r), EFI_SUCCESS, "Connect again");
	expect(r->SCardDisconnect(r, SCARD_CA_COLDRESET), EFI_SUCCESS,
	       "Disconnect with a cold reset");
}

static UINT32 state_of(reader *r)
{
	UINT32 state = 0;

	expect(r->SCardStatus(r, NULL, NULL, &state, NULL, NULL, NULL), EFI_SUCCESS,
	       "Status of the state alone");
	return state;
}

static void status_arguments(reader *r)
{
	expect(r->SCardStatus(NULL, NULL, NULL, NULL, NULL, NULL, NULL), EFI_INVALID_PARAMETER,
	       "Status without This");
	expect(r->SCardStatus(r, NULL, NULL, NULL, NULL, NULL, NULL), EFI_SUCCESS,
	       "Status of nothing");
	guard(&buffer);
	expect(r->SCardStatus(r, (CHAR16 *)buffer.bytes, NULL, NULL, NULL, NULL, NULL),
	       EFI_INVALID_PARAMETER, "Status with a name and no length");
	expect(r->SCardStatus(r, NULL, NULL, NULL, NULL, buffer.bytes, NULL), EFI_INVALID_PARAMETER,
	       "Status with an ATR and no length");
	check(untouched(&buffer, 0), "neither has written anything");
}

static void status_of_card(reader *r)
{
	static guarded name;
	UINTN name_length, needed, i;
	UINT32 protocol = 99;

	expect(connect_card(r), EFI_SUCCESS, "Connect for Status");
	check(state_of(r) == SCARD_ACTIVE, "a connected card is active");
	expect(r->SCardStatus(r, NULL, NULL, NULL, &protocol, NULL, NULL), EFI_SUCCESS,
	       "Status of the protocol alone");
	check(protocol == active, "it is the protocol that Connect gave");

	guard(&name);
	guard(&buffer);
	name_length = 2;
	length = 1;
	expect(r->SCardStatus(r, (CHAR16 *)name.bytes, &name_length, NULL, NULL, buffer.bytes,
			      &length),
	       EFI_BUFFER_TOO_SMALL, "Status with no room");
	check(name_length > 2 && length > 1, "both lengths are returned");
	check(untouched(&name, 2) && untouched(&buffer, 1),
	      "nothing is written behind the room there is");

	needed = name_length;
	expect(r->SCardStatus(r, (CHAR16 *)name.bytes, &name_length, NULL, NULL, buffer.bytes,
			      &length),
	       EFI_SUCCESS, "Status with just the size that was returned");
	check(name_length == needed, "the name's length is the one returned before");
	check(needed % 2 == 0 && needed >= 4 && name.bytes[needed - 2] == 0 &&
		      name.bytes[needed - 1] == 0,
	      "the name ends with its NUL, which is counted");
	for (i = 0; i + 2 < needed; i += 2)
		if (name.bytes[i] == 0 && name.bytes[i + 1] == 0)
			break;
	check(i == needed - 2, "the name has no other NUL");
	check(buffer.bytes[0] == 0x3B || buffer.bytes[0] == 0x3F, "the ATR begins with a TS");
	check(untouched(&name, needed) && untouched(&buffer, length),
	      "nothing is written behind name and ATR");
	expect(r->SCardDisconnect(r, SCARD_CA_NORESET), EFI_SUCCESS, "Disconnect after Status");
}

static void transmit_arguments(reader *r)
{
	UINTN room = sizeof buffer.bytes;

	expect(r->SCardTransmit(NULL, hello_command, 4, buffer.bytes, &room), EFI_INVALID_PARAMETER,
	       "Transmit without This");
	expect(r->SCardTransmit(r, NULL, 4, buffer.bytes, &room), EFI_INVALID_PARAMETER,
	       "Transmit without a command");
	expect(r->SCardTransmit(r, hello_command, 0, buffer.bytes, &room), EFI_INVALID_PARAMETER,
	       "Transmit of an empty command");
	expect(r->SCardTransmit(r, hello_command, 4, NULL, &room), EFI_INVALID_PARAMETER,
	       "Transmit without a buffer");
	expect(r->SCardTransmit(r, hello_command, 4, buffer.bytes, NULL), EFI_INVALID_PARAMETER,
	       "Transmit without a length");
}

static void transmit_commands(reader *r)
{
	expect(connect_card(r), EFI_SUCCESS, "Connect for Transmit");
	transmit_arguments(r);
	expect(transmit(r, select_command, sizeof select_command, 258), EFI_SUCCESS,
	       "Transmit SELECT");
	check(length == 2 && buffer.bytes[0] == 0x90 && buffer.bytes[1] == 0x00,
	      "the answer is 90 00");
	expect(transmit(r, hello_command, sizeof hello_command, 258), EFI_SUCCESS,
	       "Transmit the hello command");
	check(length == sizeof hello_answer && same(buffer.bytes, hello_answer, length),
	      "the answer is the text");
	check(untouched(&buffer, length), "nothing is written behind the answer");

	expect(transmit(r, hello_command, sizeof hello_command, 4), EFI_BUFFER_TOO_SMALL,
	       "Transmit with little room");
	check(length == sizeof hello_answer, "the length of the answer is returned");
	check(untouched(&buffer, 4), "nothing is written behind the room there is");
	expect(transmit(r, hello_command, sizeof hello_command, sizeof hello_answer), EFI_SUCCESS,
	       "Transmit with just the room it takes");
	check(same(buffer.bytes, hello_answer, sizeof hello_answer),
	      "the answer is the text again");

	expect(r->SCardDisconnect(r, SCARD_CA_UNPOWER), EFI_SUCCESS, "Disconnect with UNPOWER");
	check(state_of(r) == SCARD_INACTIVE, "the card is inactive then");
	expect(transmit(r, hello_command, sizeof hello_command, 258), EFI_NOT_READY,
	       "Transmit to a card without power");
}

static void control_calls(reader *r)
{
	length = sizeof buffer.bytes;
	expect(r->SCardControl(NULL, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, buffer.bytes, &length),
	       EFI_INVALID_PARAMETER, "Control without This");
	expect(r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, buffer.bytes, NULL),
	       EFI_INVALID_PARAMETER, "Control with a buffer and no length");
	length = sizeof buffer.bytes;
	expect(r->SCardControl(r, 0x42FFFFFF, NULL, 0, buffer.bytes, &length), EFI_UNSUPPORTED,
	       "Control with an unknown code");
	guard(&buffer);
	length = sizeof buffer.bytes;
	expect(r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, buffer.bytes, &length),
	       EFI_SUCCESS, "Control asks for the features");
	/* PC/SC part 10, 2.2: each record is a tag, the length 4 and a control code. */
	check(length % 6 == 0 && length < sizeof buffer.bytes,
	      "the features are records of six bytes");
	check(untouched(&buffer, length), "nothing is written behind them");
}

static void attributes(reader *r)
{
	static UINT8 atr[33];
	UINTN atr_length = sizeof atr, needed;

	expect(connect_card(r), EFI_SUCCESS, "Connect for GetAttrib");
	length = sizeof buffer.bytes;
	expect(r->SCardGetAttrib(NULL, SCARD_ATTR_ATR_STRING, buffer.bytes, &length),
	       EFI_INVALID_PARAMETER, "GetAttrib without This");
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, NULL, &length), EFI_INVALID_PARAMETER,
	       "GetAttrib without a buffer");
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer.bytes, NULL),
	       EFI_INVALID_PARAMETER, "GetAttrib without a length");
	length = 0;
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer.bytes, &length),
	       EFI_INVALID_PARAMETER, "GetAttrib with length 0");
	length = sizeof buffer.bytes;
	expect(r->SCardGetAttrib(r, 0x0BADBAD0, buffer.bytes, &length), EFI_UNSUPPORTED,
	       "GetAttrib of an unknown attribute");

	guard(&buffer);
	length = 1;
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer.bytes, &length),
	       EFI_BUFFER_TOO_SMALL, "GetAttrib with no room");
	check(length > 1 && untouched(&buffer, 1), "the length is returned and nothing overwritten");
	needed = length;
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer.bytes, &length), EFI_SUCCESS,
	       "GetAttrib with just the size that was returned");
	expect(r->SCardStatus(r, NULL, NULL, NULL, NULL, atr, &atr_length), EFI_SUCCESS,
	       "Status of the ATR alone");
	check(length == needed && length == atr_length && same(atr, buffer.bytes, length),
	      "GetAttrib and Status have the same ATR");
	expect(r->SCardDisconnect(r, SCARD_CA_NORESET), EFI_SUCCESS, "Disconnect after GetAttrib");
}

EFI_STATUS conform(reader *r)
{
	expect(r->SCardDisconnect(r, SCARD_CA_NORESET), EFI_SUCCESS,
	       "Disconnect the connection before");
	connect_arguments(r);
	connect_reader(r);
	connect_and_disconnect(r);
	status_arguments(r);
	status_of_card(r);
	transmit_commands(r);
	control_calls(r);
	attributes(r);
	return summary();
}

EFI_STATUS conform_empty(reader *r)
{
	static UINT8 none[1];

	check(state_of(r) == SCARD_ABSENT, "the card is absent");
	status_arguments(r);
	connect_arguments(r);
	expect(connect_card(r), EFI_NO_MEDIA, "Connect to no card");
	connect_reader(r);
	expect(transmit(r, hello_command, sizeof hello_command, 258), EFI_NO_MEDIA,
	       "Transmit to no card");
	check(untouched(&buffer, 0), "nothing is written");
	length = sizeof buffer.bytes;
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer.bytes, &length), EFI_NO_MEDIA,
	       "GetAttrib of no card's ATR");
	length = sizeof buffer.bytes;
	expect(r->SCardStatus(r, NULL, NULL, NULL, NULL, buffer.bytes, &length), EFI_SUCCESS,
	       "Status of no card's ATR");
	check(length == 0, "no card has no ATR");
	expect(r->SCardDisconnect(r, SCARD_CA_UNPOWER), EFI_SUCCESS,
	       "Disconnect from no card with UNPOWER");
	expect(r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, none, 0, buffer.bytes, NULL),
	       EFI_INVALID_PARAMETER, "Control with a buffer and no length");
	return summary();
}
