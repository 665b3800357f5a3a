/*
 * OTLP's JSON to its protobuf, so that one reader serves both.
 *
 * How it works. json_walk tells what stands at the places of the table `rules`; the table `places`
 * says what becomes of it on the wire. A message's length is known at its end only: it is put
 * in before the content then, which moves each byte once for each message around it, six at most.
 * Repeated numbers are written packed.
 *
 * The mapping is OTLP's: lowerCamelCase keys, int64 as strings or numbers, trace and span ids in
 * hex, unknown keys passed over. What the reader does not use (lists and maps as attribute values,
 * profile_id, original payloads) is passed over, too. "sample" and "line" are 1.8's words for
 * "samples" and "lines"; keys that went away with 1.7 are refused, for what they say would be lost.
 */
#include "base/varint.h"
#include "formats/json_walk.h"
#include "formats/otlp.h"
#include "formats/protobuf.h"

enum { DEPTH_MAX = 64, OPEN_MAX = 16, HEX_BYTES_MAX = 16 };

/* Places in the JSON; those of arrays end in _S. */
enum place {
    TOP = JSON_TOP,
    RESOURCE_PROFILES_S,
    RESOURCE_PROFILES,
    RESOURCE,
    RESOURCE_ATTRIBUTE_S,
    RESOURCE_ATTRIBUTE,
    SCOPE_PROFILES_S,
    SCOPE_PROFILES,
    SCOPE,
    SCOPE_ATTRIBUTE_S,
    SCOPE_ATTRIBUTE,
    KEY,
    KEY_REF,
    ANY,
    ANY_STRING,
    ANY_BOOL,
    ANY_INT,
    ANY_REF,
    PROFILE_S,
    PROFILE,
    SAMPLE_TYPE,
    PERIOD_TYPE,
    TYPE,
    UNIT,
    TIME,
    DURATION,
    PERIOD,
    PROFILE_ATTRIBUTE_S,
    SAMPLE_S,
    SAMPLE,
    STACK_INDEX,
    SAMPLE_ATTRIBUTE_S,
    LINK_INDEX,
    VALUE_S,
    TIMESTAMP_S,
    NUMBER,
    FIXED,
    DICTIONARY,
    MAPPING_S,
    MAPPING,
    MEMORY_START,
    MEMORY_LIMIT,
    FILE_OFFSET,
    MAPPING_FILE,
    MAPPING_ATTRIBUTE_S,
    LOCATION_S,
    LOCATION,
    MAPPING_INDEX,
    ADDRESS,
    LINE_S,
    LINE,
    FUNCTION_INDEX,
    LINE_NUMBER,
    LOCATION_ATTRIBUTE_S,
    FUNCTION_S,
    FUNCTION,
    NAME,
    SYSTEM_NAME,
    FUNCTION_FILE,
    START_LINE,
    LINK_S,
    LINK,
    TRACE_ID,
    SPAN_ID,
    STRING_S,
    STRING,
    ATTRIBUTE_S,
    ATTRIBUTE,
    ATTRIBUTE_KEY,
    STACK_S,
    STACK,
    LOCATION_INDEX_S,
    OLD, /* a key of 1.7 or before */
    N_PLACES,
};

/* clang-format off */
static const struct json_rule rules[] = {
    {TOP,                  "resourceProfiles",   RESOURCE_PROFILES_S},
    {TOP,                  "dictionary",         DICTIONARY},
    {RESOURCE_PROFILES_S,  "[]",                 RESOURCE_PROFILES},
    {RESOURCE_PROFILES,    "resource",           RESOURCE},
    {RESOURCE_PROFILES,    "scopeProfiles",      SCOPE_PROFILES_S},
    {RESOURCE,             "attributes",         RESOURCE_ATTRIBUTE_S},
    {RESOURCE_ATTRIBUTE_S, "[]",                 RESOURCE_ATTRIBUTE},
    {RESOURCE_ATTRIBUTE,   "key",                KEY},
    {RESOURCE_ATTRIBUTE,   "value",              ANY},
    {RESOURCE_ATTRIBUTE,   "keyStrindex",        KEY_REF},
    {SCOPE_PROFILES_S,     "[]",                 SCOPE_PROFILES},
    {SCOPE_PROFILES,       "scope",              SCOPE},
    {SCOPE_PROFILES,       "profiles",           PROFILE_S},
    {SCOPE,                "attributes",         SCOPE_ATTRIBUTE_S},
    {SCOPE_ATTRIBUTE_S,    "[]",                 SCOPE_ATTRIBUTE},
    {SCOPE_ATTRIBUTE,      "key",                KEY},
    {SCOPE_ATTRIBUTE,      "value",              ANY},
    {SCOPE_ATTRIBUTE,      "keyStrindex",        KEY_REF},
    {ANY,                  "stringValue",        ANY_STRING},
    {ANY,                  "boolValue",          ANY_BOOL},
    {ANY,                  "intValue",           ANY_INT},
    {ANY,                  "stringValueStrindex", ANY_REF},
    {PROFILE_S,            "[]",                 PROFILE},
    {PROFILE,              "sampleType",         SAMPLE_TYPE},
    {PROFILE,              "samples",            SAMPLE_S},
    {PROFILE,              "sample",             SAMPLE_S},
    {PROFILE,              "timeUnixNano",       TIME},
    {PROFILE,              "durationNano",       DURATION},
    {PROFILE,              "periodType",         PERIOD_TYPE},
    {PROFILE,              "period",             PERIOD},
    {PROFILE,              "attributeIndices",   PROFILE_ATTRIBUTE_S},
    {PROFILE,              "locationIndices",    OLD},
    {PROFILE,              "timeNanos",          OLD},
    {PROFILE,              "stringTable",        OLD},
    {SAMPLE_TYPE,          "typeStrindex",       TYPE},
    {SAMPLE_TYPE,          "unitStrindex",       UNIT},
    {PERIOD_TYPE,          "typeStrindex",       TYPE},
    {PERIOD_TYPE,          "unitStrindex",       UNIT},
    {PROFILE_ATTRIBUTE_S,  "[]",                 NUMBER},
    {SAMPLE_S,             "[]",                 SAMPLE},
    {SAMPLE,               "stackIndex",         STACK_INDEX},
    {SAMPLE,               "attributeIndices",   SAMPLE_ATTRIBUTE_S},
    {SAMPLE,               "linkIndex",          LINK_INDEX},
    {SAMPLE,               "values",             VALUE_S},
    {SAMPLE,               "timestampsUnixNano", TIMESTAMP_S},
    {SAMPLE,               "locationsStartIndex", OLD},
    {SAMPLE,               "locationsLength",    OLD},
    {SAMPLE_ATTRIBUTE_S,   "[]",                 NUMBER},
    {VALUE_S,              "[]",                 NUMBER},
    {TIMESTAMP_S,          "[]",                 FIXED},
    {DICTIONARY,           "mappingTable",       MAPPING_S},
    {DICTIONARY,           "locationTable",      LOCATION_S},
    {DICTIONARY,           "functionTable",      FUNCTION_S},
    {DICTIONARY,           "linkTable",          LINK_S},
    {DICTIONARY,           "stringTable",        STRING_S},
    {DICTIONARY,           "attributeTable",     ATTRIBUTE_S},
    {DICTIONARY,           "stackTable",         STACK_S},
    {MAPPING_S,            "[]",                 MAPPING},
    {MAPPING,              "memoryStart",        MEMORY_START},
    {MAPPING,              "memoryLimit",        MEMORY_LIMIT},
    {MAPPING,              "fileOffset",         FILE_OFFSET},
    {MAPPING,              "filenameStrindex",   MAPPING_FILE},
    {MAPPING,              "attributeIndices",   MAPPING_ATTRIBUTE_S},
    {MAPPING_ATTRIBUTE_S,  "[]",                 NUMBER},
    {LOCATION_S,           "[]",                 LOCATION},
    {LOCATION,             "mappingIndex",       MAPPING_INDEX},
    {LOCATION,             "address",            ADDRESS},
    {LOCATION,             "lines",              LINE_S},
    {LOCATION,             "line",               LINE_S},
    {LOCATION,             "attributeIndices",   LOCATION_ATTRIBUTE_S},
    {LOCATION_ATTRIBUTE_S, "[]",                 NUMBER},
    {LINE_S,               "[]",                 LINE},
    {LINE,                 "functionIndex",      FUNCTION_INDEX},
    {LINE,                 "line",               LINE_NUMBER},
    {FUNCTION_S,           "[]",                 FUNCTION},
    {FUNCTION,             "nameStrindex",       NAME},
    {FUNCTION,             "systemNameStrindex", SYSTEM_NAME},
    {FUNCTION,             "filenameStrindex",   FUNCTION_FILE},
    {FUNCTION,             "startLine",          START_LINE},
    {LINK_S,               "[]",                 LINK},
    {LINK,                 "traceId",            TRACE_ID},
    {LINK,                 "spanId",             SPAN_ID},
    {STRING_S,             "[]",                 STRING},
    {ATTRIBUTE_S,          "[]",                 ATTRIBUTE},
    {ATTRIBUTE,            "keyStrindex",        ATTRIBUTE_KEY},
    {ATTRIBUTE,            "value",              ANY},
    {ATTRIBUTE,            "key",                OLD},
    {STACK_S,              "[]",                 STACK},
    {STACK,                "locationIndices",    LOCATION_INDEX_S},
    {LOCATION_INDEX_S,     "[]",                 NUMBER},
    {0},
};

enum kind {
    K_LIST,             /* an array: its elements have a place of their own */
    K_TOP, K_MESSAGE, K_PACKED, K_TEXT, K_NUMBER, K_FIXED64, K_BOOL, K_HEX,
    K_PACKED_NUMBER, K_PACKED_FIXED64,  /* without a tag */
    K_OLD,
};

/* What a place is on the wire: field number and kind. */
static const struct {
    uint8_t field, kind;
} places[N_PLACES] = {
    [TOP]                 = {0, K_TOP},
    [RESOURCE_PROFILES]   = {1, K_MESSAGE},
    [RESOURCE]            = {1, K_MESSAGE},
    [RESOURCE_ATTRIBUTE]  = {1, K_MESSAGE},
    [SCOPE_PROFILES]      = {2, K_MESSAGE},
    [SCOPE]               = {1, K_MESSAGE},
    [SCOPE_ATTRIBUTE]     = {3, K_MESSAGE},
    [KEY]                 = {1, K_TEXT},
    [ANY]                 = {2, K_MESSAGE},
    [KEY_REF]             = {3, K_NUMBER},
    [ANY_STRING]          = {1, K_TEXT},
    [ANY_BOOL]            = {2, K_BOOL},
    [ANY_INT]             = {3, K_NUMBER},
    [ANY_REF]             = {8, K_NUMBER},
    [PROFILE]             = {2, K_MESSAGE},
    [SAMPLE_TYPE]         = {1, K_MESSAGE},
    [SAMPLE]              = {2, K_MESSAGE},
    [TIME]                = {3, K_FIXED64},
    [DURATION]            = {4, K_NUMBER},
    [PERIOD_TYPE]         = {5, K_MESSAGE},
    [PERIOD]              = {6, K_NUMBER},
    [PROFILE_ATTRIBUTE_S] = {11, K_PACKED},
    [TYPE]                = {1, K_NUMBER},
    [UNIT]                = {2, K_NUMBER},
    [STACK_INDEX]         = {1, K_NUMBER},
    [SAMPLE_ATTRIBUTE_S]  = {2, K_PACKED},
    [LINK_INDEX]          = {3, K_NUMBER},
    [VALUE_S]             = {4, K_PACKED},
    [TIMESTAMP_S]         = {5, K_PACKED},
    [NUMBER]              = {0, K_PACKED_NUMBER},
    [FIXED]               = {0, K_PACKED_FIXED64},
    [DICTIONARY]          = {2, K_MESSAGE},
    [MAPPING]             = {1, K_MESSAGE},
    [MEMORY_START]        = {1, K_NUMBER},
    [MEMORY_LIMIT]        = {2, K_NUMBER},
    [FILE_OFFSET]         = {3, K_NUMBER},
    [MAPPING_FILE]        = {4, K_NUMBER},
    [MAPPING_ATTRIBUTE_S] = {5, K_PACKED},
    [LOCATION]            = {2, K_MESSAGE},
    [MAPPING_INDEX]       = {1, K_NUMBER},
    [ADDRESS]             = {2, K_NUMBER},
    [LINE]                = {3, K_MESSAGE},
    [FUNCTION_INDEX]      = {1, K_NUMBER},
    [LINE_NUMBER]         = {2, K_NUMBER},
    [LOCATION_ATTRIBUTE_S] = {4, K_PACKED},
    [FUNCTION]            = {3, K_MESSAGE},
    [NAME]                = {1, K_NUMBER},
    [SYSTEM_NAME]         = {2, K_NUMBER},
    [FUNCTION_FILE]       = {3, K_NUMBER},
    [START_LINE]          = {4, K_NUMBER},
    [LINK]                = {4, K_MESSAGE},
    [TRACE_ID]            = {1, K_HEX},
    [SPAN_ID]             = {2, K_HEX},
    [STRING]              = {5, K_TEXT},
    [ATTRIBUTE]           = {6, K_MESSAGE},
    [ATTRIBUTE_KEY]       = {1, K_NUMBER},
    [STACK]               = {7, K_MESSAGE},
    [LOCATION_INDEX_S]    = {1, K_PACKED},
    [OLD]                 = {0, K_OLD},
};
/* clang-format on */

struct writer {
    struct buf *out;
    size_t max; /* of out: zeros as timestamps would be four times as long as they are in JSON */
    struct failure *f;
    size_t begin[OPEN_MAX]; /* where the content of the open messages begins */
    unsigned n_open;
};

static int malformed(struct writer *w, const char *what, struct bytes text)
{
    return fail(w->f, 400, "malformed", NULL, "not a valid OTLP JSON message: %s: \"%.*s\"", what,
                (int)(text.len < 40 ? text.len : 40), (const char *)text.data);
}

static void put_tag(struct writer *w, uint8_t field, enum pb_type type)
{
    buf_varint(w->out, (uint64_t)field << 3 | type);
}

/* --- numbers, words, ids ------------------------------------------------------------------------
 */

/* Decimal, as far as int64 and uint64 go. */
static bool parse_number(struct bytes s, uint64_t *ret)
{
    bool negative = s.len && s.data[0] == '-';
    uint64_t v = 0;

    for (size_t i = negative; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.data[i] - '0'), &v))
            return false;
    if (s.len == negative || (negative && v > (uint64_t)INT64_MAX + 1))
        return false;
    *ret = negative ? 0 - v : v;
    return true;
}

static void put_fixed64(struct writer *w, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        buf_append_u8(w->out, (uint8_t)(v >> 8 * i));
}

static int put_number(struct writer *w, uint8_t field, enum kind kind, struct bytes text)
{
    uint64_t v;

    if (!parse_number(text, &v))
        return malformed(w, "an integer was expected", text);
    if (kind == K_NUMBER || kind == K_FIXED64)
        put_tag(w, field, kind == K_NUMBER ? PB_VARINT : PB_FIXED64);
    if (kind == K_NUMBER || kind == K_PACKED_NUMBER)
        buf_varint(w->out, v);
    else
        put_fixed64(w, v);
    return 0;
}

static int put_hex(struct writer *w, uint8_t field, struct bytes text)
{
    uint8_t id[HEX_BYTES_MAX];

    if (text.len > 2 * HEX_BYTES_MAX || text.len % 2)
        return malformed(w, "an id in hex was expected", text);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);

        if (high < 0 || low < 0)
            return malformed(w, "an id in hex was expected", text);
        id[i / 2] = (uint8_t)(high << 4 | low);
    }
    put_tag(w, field, PB_LEN);
    buf_varbytes(w->out, bytes_of(id, text.len / 2));
    return 0;
}

static int put_word(struct writer *w, enum place place, struct bytes word)
{
    if (bytes_equal(word, BYTES_LIT("null")))
        return 0; /* as if it were not there */
    if (places[place].kind != K_BOOL)
        return malformed(w, "a value of another type was expected", word);
    put_tag(w, places[place].field, PB_VARINT);
    buf_varint(w->out, word.data[0] == 't');
    return 0;
}

/* --- messages -----------------------------------------------------------------------------------
 */

static int begin_message(struct writer *w, enum place place)
{
    switch (places[place].kind) {
    case K_MESSAGE:
    case K_PACKED:
        CHECK(w->n_open < OPEN_MAX); /* `rules` has no cycle: it is as deep as its longest path */
        put_tag(w, places[place].field, PB_LEN);
        w->begin[w->n_open++] = w->out->len;
        return 0;
    case K_LIST:
    case K_TOP:
        return 0;
    default:
        return malformed(w, "a single value was expected", BYTES_LIT(""));
    }
}

static void end_message(struct writer *w, enum place place)
{
    struct buf *out = w->out;
    uint8_t length[10];
    size_t begin, n;

    if (places[place].kind != K_MESSAGE && places[place].kind != K_PACKED)
        return;
    begin = w->begin[--w->n_open];
    n = (size_t)(varint_put(length, out->len - begin) - length);
    buf_reserve(out, n);
    memmove(out->data + begin + n, out->data + begin, out->len - begin);
    memcpy(out->data + begin, length, n);
    out->len += n;
}

static int put_scalar(struct writer *w, enum place place, struct bytes text)
{
    uint8_t field = places[place].field;

    switch (places[place].kind) {
    case K_NUMBER:
    case K_FIXED64:
    case K_PACKED_NUMBER:
    case K_PACKED_FIXED64:
        return put_number(w, field, places[place].kind, text);
    case K_HEX:
        return put_hex(w, field, text);
    case K_TEXT:
        put_tag(w, field, PB_LEN);
        buf_varbytes(w->out, text);
        return 0;
    default:
        return malformed(w, "a value of another type was expected", text);
    }
}

static int check_growth(struct writer *w)
{
    if (w->out->len <= w->max)
        return 0;
    return fail(w->f, 400, "limit_exceeded", NULL,
                "the OTLP JSON message is more than twice as long as protobuf");
}

static int on_event(void *ctx, unsigned state, enum json_event event, struct bytes text)
{
    enum place place = (enum place)state;
    struct writer *w = ctx;

    if (place == OLD)
        return fail(
            w->f, 400, "old_layout", NULL,
            "written with opentelemetry-proto 1.7 or before: an agent or Collector with 1.8 or "
            "later is needed");
    switch (event) {
    case JSON_BEGIN:
        return begin_message(w, place);
    case JSON_END:
        end_message(w, place);
        return 0;
    case JSON_WORD:
        return put_word(w, place, text);
    default:
        return put_scalar(w, place, text) || check_growth(w) ? FAILURE : 0;
    }
}

int otlp_from_json(struct bytes json, struct buf *out, struct failure *f)
{
    struct writer writer = {.out = out, .f = f, .max = out->len + 2 * json.len};
    const struct json_walk walk = {
        .rules = rules, .depth_max = DEPTH_MAX, .cb = on_event, .ctx = &writer, .f = f};

    return json_walk(&walk, json, "OTLP JSON message");
}

/* An object whose first key is one of the request's two. */
bool is_otlp_json(struct bytes raw)
{
    static const char *const keys[] = {"\"resourceProfiles\"", "\"dictionary\""};
    bool open = false;
    size_t at = 0;

    for (; at < raw.len && at < 64; at++) {
        if (raw.data[at] == '{' && !open)
            open = true;
        else if (!memchr(" \t\r\n", raw.data[at], 4))
            break;
    }
    raw = bytes_of(raw.data + at, raw.len - at);
    return open && (bytes_starts(raw, bytes_str(keys[0])) || bytes_starts(raw, bytes_str(keys[1])));
}
