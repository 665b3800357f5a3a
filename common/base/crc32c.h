/*
 * CRC32C (Castagnoli), as iSCSI, Kafka and ext4 use it: the check on everything this project puts
 * on a disk or a wire. Start with crc = 0; feed the result back in to continue over the next bytes.
 * Its values are stored, so they never change. Any thread.
 */
#ifndef HEARTH_BASE_CRC32C_H
#define HEARTH_BASE_CRC32C_H

#include "base/bytes.h"

uint32_t crc32c(uint32_t crc, struct bytes s);
/* The same without the processor's instruction; for tests and for machines without it. */
uint32_t crc32c_portable(uint32_t crc, struct bytes s);

#endif
