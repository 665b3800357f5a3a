/* JSON answers: yajl_gen behind short names, into a buf. Text is repaired to UTF-8. One thread. */
#ifndef HEARTH_QUERY_JSON_WRITER_H
#define HEARTH_QUERY_JSON_WRITER_H

#include "base/bytes.h"

struct json_writer;

struct json_writer *jw_new(void);
/* Appends the document to out and frees j. */
void jw_finish(struct json_writer *j, struct buf *out);

/* key NULL: an element of an array, or the document itself. */
void jw_object(struct json_writer *j, const char *key);
void jw_array(struct json_writer *j, const char *key);
void jw_end(struct json_writer *j); /* of the innermost object or array */
void jw_int(struct json_writer *j, const char *key, int64_t v);
void jw_uint(struct json_writer *j, const char *key, uint64_t v);
void jw_real(struct json_writer *j, const char *key, double v);
void jw_bool(struct json_writer *j, const char *key, bool v);
void jw_str(struct json_writer *j, const char *key, const char *s);
void jw_bytes(struct json_writer *j, const char *key, struct bytes s);
/* A key that is data (a label's name). */
void jw_pair(struct json_writer *j, struct bytes key, struct bytes value);

#endif
