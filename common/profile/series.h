/*
 * Series: tenant + service + env + version + series tags, as a sorted set of labels, and the hashes
 * that name it in the store. `service` is the label "service_name" to Grafana and `service` here.
 *
 * Canonical form: pairs sorted by key bytes, keys unique, each key and value as varint length and
 * bytes. sid = XXH3-128(tenant 0x00 service); kid = XXH3-128(kind, tenant, profile type, canonical
 * labels), tenant and type with their lengths.
 */
#ifndef HEARTH_PROFILE_SERIES_H
#define HEARTH_PROFILE_SERIES_H

#include "base/bytes.h"
#include "base/hash.h"

enum {
    TAGS_MAX = 64,
    TAG_KEY_MAX = 128,
    TAG_VALUE_MAX = 512,
};

struct tag {
    struct bytes key, value;
};

/* Sorted by key, unique. Views only: whoever fills it owns the bytes. */
struct tags {
    uint32_t n;
    struct tag at[TAGS_MAX];
};

enum { TAGS_E_FULL = 1, TAGS_E_TOO_LONG = 2 };
/* Inserts in order; an existing key keeps its first value. 0 or TAGS_E_*. */
int tags_add(struct tags *t, struct bytes key, struct bytes value);
/* The value of a key, or an empty view. */
struct bytes tags_get(const struct tags *t, const char *key);
void tags_encode(const struct tags *t, struct buf *out);            /* canonical form */
int tags_decode(struct tags *t, struct bytes in);                   /* 0 or -EBADMSG; views into in */

/* True for keys that make a series by default: service, env, version, region, zone, cluster,
 * namespace. extra: further keys, comma separated (option series_tags). */
bool tag_is_series(struct bytes key, const char *extra);
/* One spelling for keys that agents spell differently: service.version → version,
 * deployment.environment(.name) → env, service_name → service … Unknown keys come back as they are. */
struct bytes tag_canonical(struct bytes key);
/* True for keys that never make a series nor an instance tag: __session_id__, otel.scope.*,
 * process.runtime.*, Datadog's _dd.* and profile_seq … */
bool tag_is_dropped(struct bytes key);

/* The tenant of a request without X-Scope-OrgID, written and read. */
#define TENANT_DEFAULT "anonymous"
enum { TENANT_MAX = 150 };
struct failure;
/* What X-Scope-OrgID may say, to who writes and who reads. 0, or FAILURE (400 bad_tenant) that names
 * the rule. */
int tenant_check(struct bytes tenant, struct failure *f);
struct hash128 service_id(struct bytes tenant, struct bytes service);
enum series_kind { SERIES_PLAIN = 0, SERIES_MARGINAL = 1 };
struct hash128 series_id(enum series_kind kind, struct bytes tenant, struct bytes profile_type,
                         const struct tags *series);

/* (XXH3-64(tenant 0x00 service) + XXH3-64(instance) mod spread) mod n. spread ≥ 1. */
uint32_t partition_of(struct bytes tenant, struct bytes service, struct bytes instance,
                      uint32_t spread, uint32_t n_partitions);
enum { SPREAD_MAX = 16 };   /* readers look in base … base + 15 */

#endif
