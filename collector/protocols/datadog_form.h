/*
 * The form that Datadog's profilers send: the event (event.json) and the attachments, in any order.
 * Parts are told by their file names; a part's own name, Content-Type and headers vary among
 * clients. Clients of before about 2022 have no event: their fields stand as parts of the form, and
 * make the same event.
 *
 * Pure; views into the body and the caller's arena.
 */
#ifndef HEARTH_COLLECTOR_DATADOG_FORM_H
#define HEARTH_COLLECTOR_DATADOG_FORM_H

#include "collector/protocols/datadog_event.h"
#include "net/multipart.h"

struct attachment {
    struct bytes name; /* "cpu.pprof" */
    struct bytes body;
};

struct datadog_form {
    struct bytes event_json; /* data NULL: an old form, and `event` is already filled */
    struct datadog_event event;
    size_t n;
    struct attachment at[PARTS_MAX];
};

/* 0 or FAILURE (400). */
int datadog_form_read(struct datadog_form *form, struct bytes content_type, struct bytes body,
                      struct arena *arena, struct failure *f);

/* What an attachment is, by its name. */
enum attachment_kind { ATTACHMENT_PPROF, ATTACHMENT_JFR, ATTACHMENT_SKIPPED };
/* *ret_word: the family of its sample types ("mutex"; empty: none), or for what is skipped the kind
 * under which it is counted. */
enum attachment_kind datadog_attachment_kind(struct bytes name, const char **ret_word);

#endif
