/*
 * Protobuf messages from text, for tests: `2{1[1 2] 2:5 3{1:7}} 6"cpu"` is field 2, a message with
 * the packed numbers 1 and 2 in field 1, the number 5 in field 2 and a message in field 3; and
 * field 6, the bytes cpu. `3@7` is the fixed64 7 in field 3, `5<7 8>` two of them packed, `4#0aff`
 * the bytes 0a ff in field 4. Numbers may be negative. It knows nothing of any message, so it can
 * write what no producer would.
 */
#ifndef TESTS_LIB_WIRE_H
#define TESTS_LIB_WIRE_H

#include "base/err.h"
#include "base/varint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static inline uint64_t wire_number(const char **at)
{
    char *end;
    uint64_t v = **at == '-' ? (uint64_t)strtoll(*at, &end, 10) : strtoull(*at, &end, 10);

    CHECK(end != *at);
    *at = end;
    return v;
}

static inline void wire_fixed64(struct buf *out, uint64_t v)
{
    for (unsigned i = 0; i < 64; i += 8)
        buf_append_u8(out, (uint8_t)(v >> i));
}

static inline void wire_hex(const char **at, struct buf *out)
{
    unsigned byte;

    for (; isxdigit((unsigned char)**at) && sscanf(*at, "%2x", &byte) == 1; *at += 2)
        buf_append_u8(out, (uint8_t)byte);
}

/* Parses up to the closing brace, or to the end. */
static inline void wire_fields(const char **at, struct buf *out)
{
    while (*at += strspn(*at, " \n"), **at && **at != '}') {
        uint64_t field = wire_number(at);
        char kind = *(*at)++;
        struct buf inner = {0};

        if (kind == ':') {
            buf_varint(out, field << 3);
            buf_varint(out, wire_number(at));
            continue;
        }
        if (kind == '@') {
            buf_varint(out, field << 3 | 1);
            wire_fixed64(out, wire_number(at));
            continue;
        }
        if (kind == '{') {
            wire_fields(at, &inner);
            CHECK(*(*at)++ == '}');
        } else if (kind == '"') {
            size_t len = strcspn(*at, "\"");

            buf_append(&inner, *at, len);
            *at += len + 1;
        } else if (kind == '<') {
            while (*at += strspn(*at, " "), **at != '>')
                wire_fixed64(&inner, wire_number(at));
            ++*at;
        } else if (kind == '#') {
            wire_hex(at, &inner);
        } else {
            CHECK(kind == '[');
            while (*at += strspn(*at, " "), **at != ']')
                buf_varint(&inner, wire_number(at));
            ++*at;
        }
        buf_varint(out, field << 3 | 2);
        buf_varbytes(out, buf_bytes(&inner));
        buf_deinit(&inner);
    }
}

static inline void wire_write(const char *text, struct buf *out)
{
    wire_fields(&text, out);
    CHECK(*text == '\0');
}

#endif
