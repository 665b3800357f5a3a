/*
 * JSON answers, written straight into a buf. Text is repaired to UTF-8, for it comes from agents;
 * numbers are exact.
 *
 *     struct json_writer j;
 *
 *     jw_begin(&j, &out);
 *     jw_object(&j, NULL);
 *     jw_uint(&j, "nodes", n);
 *     jw_end(&j);
 *
 * It owns nothing; misuse (an end too many, too deep) is a bug and asserted.
 */
#ifndef HEARTH_BASE_JSON_WRITER_H
#define HEARTH_BASE_JSON_WRITER_H

#include "base/bytes.h"

enum { JSON_NESTING_MAX = 16 };

struct json_writer {
    struct buf *out;
    bool in_array[JSON_NESTING_MAX];
    unsigned depth;
    bool follows; /* something stands before, in the innermost object or array */
};

void jw_begin(struct json_writer *j, struct buf *out); /* appends to out */

/* key NULL: an element of an array, or the document itself. */
void jw_object(struct json_writer *j, const char *key);
void jw_array(struct json_writer *j, const char *key);
void jw_end(struct json_writer *j); /* of the innermost object or array */
void jw_int(struct json_writer *j, const char *key, int64_t v);
void jw_uint(struct json_writer *j, const char *key, uint64_t v);
void jw_real(struct json_writer *j, const char *key, double v); /* null where it is no number */
void jw_bool(struct json_writer *j, const char *key, bool v);
void jw_str(struct json_writer *j, const char *key, const char *s);
void jw_bytes(struct json_writer *j, const char *key, struct bytes s);
/* A key that is data (a label's name). */
void jw_pair(struct json_writer *j, struct bytes key, struct bytes value);
/* Whole arrays: a flame graph is a hundred thousand numbers. */
void jw_ints(struct json_writer *j, const char *key, const int64_t *v, size_t n);
void jw_ids(struct json_writer *j, const char *key, const uint32_t *v, size_t n);

#endif
