/* The modes of cabi.efi. */
#ifndef CABI_H
#define CABI_H

#include "smartcard.h"

/* The test card's applet: SELECT its name, then the empty command answers a text. */
extern const UINT8 select_command[15];
extern const UINT8 hello_command[4];
extern const UINT8 hello_answer[14];

/* conform checks all six members against the specification, with a card in the reader. */
EFI_STATUS conform(reader *r);

/* conform_empty does so with no card in the reader. */
EFI_STATUS conform_empty(reader *r);

/* exchange sends a number of commands and checks each answer. It returns the first status that is not success. */
EFI_STATUS exchange(system_table *system, reader *r, UINT64 count);

/* report prints what the reader says of itself and its card. */
EFI_STATUS report(reader *r);

/* count_ticks prints how often the timer of ticker.efi has ticked. */
EFI_STATUS count_ticks(system_table *system);

#endif
