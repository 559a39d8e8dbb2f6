#include "console.h"

#include <stdarg.h>

static EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *console;

void console_init(EFI_SYSTEM_TABLE *system)
{
	console = system->ConOut;
}

static void put(char c)
{
	CHAR16 s[3] = {0, 0, 0};
	int n = 0;

	if (c == '\n')
		s[n++] = '\r';
	s[n] = (UINT8)c;
	console->OutputString(console, s);
}

static void put_number(UINT64 value, unsigned base, int width)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789ABCDEF"[value % base];
		value /= base;
	} while (value != 0);
	for (; width > n; width--)
		put('0');
	while (n > 0)
		put(digits[--n]);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format != 0; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *s = va_arg(args, const char *); *s != 0; s++)
				put(*s);
			break;
		case 'u':
			put_number(va_arg(args, UINT64), 10, 0);
			break;
		case 'x':
			put_number(va_arg(args, UINT64), 16, 0);
			break;
		default:
			va_end(args);
			return;
		}
	}
	va_end(args);
}

void print_bytes(const UINT8 *bytes, UINTN length)
{
	for (UINTN i = 0; i < length; i++) {
		if (i > 0)
			put(' ');
		put_number(bytes[i], 16, 2);
	}
}
