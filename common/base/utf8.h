/* UTF-8: names come from outside as bytes; what we keep and print is always valid. */
#ifndef HEARTH_BASE_UTF8_H
#define HEARTH_BASE_UTF8_H

#include "base/bytes.h"

/* A control byte, but for those that texts have between words and lines. */
static inline bool utf8_is_control(uint8_t c)
{
    return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

/* Bytes of the character that s begins with, and its code point; 0: it begins with none. */
size_t utf8_char(struct bytes s, uint32_t *ret);
bool utf8_valid(struct bytes s);
/* Appends s to out, each byte that is not part of a valid character as U+FFFD (as Go does it). */
void utf8_repair(struct bytes s, struct buf *out);
/* How many bytes that would replace. */
size_t utf8_count_bad(struct bytes s);
/* The longest prefix of s of at most max bytes that does not end inside a character. */
struct bytes utf8_cut(struct bytes s, size_t max);

#endif
