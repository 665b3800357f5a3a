/*
 * JSON as a walk: the caller gives the few places it wants as a table of states, and hears of what
 * stands there, in the order of the text. What is elsewhere is passed over. Nothing is built,
 * nothing recurses, and nesting has a cap.
 */
#ifndef HEARTH_FORMATS_JSON_WALK_H
#define HEARTH_FORMATS_JSON_WALK_H

#include "base/bytes.h"
#include "base/err.h"

/* From a state by an object's key, or by "[]" to an array's elements, to a state. State 1 is the
 * top; 0 is nowhere. The table ends with a row whose key is NULL. */
struct json_rule {
    uint8_t from;
    const char *key;
    uint8_t to;
};
enum { JSON_NOWHERE = 0, JSON_TOP = 1 };

enum json_event {
    JSON_BEGIN, /* of an object or array */
    JSON_END,
    JSON_STRING, /* text: unescaped, not checked for UTF-8 */
    JSON_NUMBER, /* text: as it stands */
    JSON_WORD,   /* null, true, false */
};
/* 0 to go on; FAILURE ends the walk, with the failure filled by the callback. */
typedef int json_walk_cb(void *ctx, unsigned state, enum json_event event, struct bytes text);

struct json_walk {
    const struct json_rule *rules;
    size_t depth_max;
    json_walk_cb *cb;
    void *ctx;
    struct failure *f;
};

/* 0 or FAILURE: the callback's, or 400 malformed. what: the format's name, for the message. */
int json_walk(const struct json_walk *w, struct bytes raw, const char *what);

#endif
