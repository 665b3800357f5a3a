/*
 * How it works. Tags are a small sorted array, so the canonical form is a walk over it and equal
 * sets have equal bytes. Every hash is over length-prefixed parts, or parts separated by a NUL
 * where the design says so: no two different inputs run together into the same bytes.
 */
#include "profile/series.h"

#include "base/err.h"
#include "base/varint.h"

#include <ctype.h>
#include <errno.h>

int tags_add(struct tags *t, struct bytes key, struct bytes value)
{
    uint32_t at = 0;

    if (key.len > TAG_KEY_MAX || value.len > TAG_VALUE_MAX)
        return TAGS_E_TOO_LONG;
    while (at < t->n && bytes_cmp(t->at[at].key, key) < 0)
        at++;
    if (at < t->n && bytes_equal(t->at[at].key, key))
        return 0;
    if (t->n == TAGS_MAX)
        return TAGS_E_FULL;
    memmove(&t->at[at + 1], &t->at[at], (t->n - at) * sizeof *t->at);
    t->at[at] = (struct tag){key, value};
    t->n++;
    return 0;
}

struct bytes tags_get(const struct tags *t, const char *key)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (bytes_equal(t->at[i].key, bytes_str(key)))
            return t->at[i].value;
    return BYTES_LIT("");
}

void tags_encode(const struct tags *t, struct buf *out)
{
    for (uint32_t i = 0; i < t->n; i++) {
        buf_varbytes(out, t->at[i].key);
        buf_varbytes(out, t->at[i].value);
    }
}

/* Strict: what is not canonical would be a second name for the same series. */
int tags_decode(struct tags *t, struct bytes in)
{
    struct cursor c = cursor_of(in);
    struct tag tag;

    t->n = 0;
    while (cursor_left(&c)) {
        if (!varbytes_get(&c, &tag.key) || !varbytes_get(&c, &tag.value) || t->n == TAGS_MAX ||
            tag.key.len > TAG_KEY_MAX || tag.value.len > TAG_VALUE_MAX)
            return -EBADMSG;
        if (t->n > 0 && bytes_cmp(t->at[t->n - 1].key, tag.key) >= 0)
            return -EBADMSG;
        t->at[t->n++] = tag;
    }
    return 0;
}

/* Is key one of the words of a comma separated list? Blanks around words do not count. */
static bool list_has(const char *list, struct bytes key)
{
    while (list && *list) {
        size_t len = strcspn(list, ",");
        const char *begin = list + strspn(list, " "), *end = list + len;

        while (end > begin && end[-1] == ' ')
            end--;
        if (end > begin && bytes_equal(bytes_of(begin, (size_t)(end - begin)), key))
            return true;
        list += len + (list[len] == ',');
    }
    return false;
}

bool tag_is_series(struct bytes key, const char *extra)
{
    return list_has("service,env,version,region,zone,cluster,namespace", key) ||
           list_has(extra, key);
}

struct bytes tag_canonical(struct bytes key)
{
    static const char *const spellings[][2] = {
        {"service_name", "service"},
        {"service.name", "service"},
        {"service_version", "version"},
        {"service.version", "version"},
        {"deployment.environment", "env"},
        {"deployment.environment.name", "env"},
        {"deployment_environment", "env"},
        {"deployment_environment_name", "env"},
        {"environment", "env"},
        {"cloud.region", "region"},
        {"cloud.availability_zone", "zone"},
        {"availability_zone", "zone"},
        {"k8s.cluster.name", "cluster"},
        {"kube_cluster_name", "cluster"},
        {"k8s.namespace.name", "namespace"},
        {"kube_namespace", "namespace"},
        {"host.name", "host"},
        {"hostname", "host"},
        {"k8s.pod.name", "pod"},
        {"pod_name", "pod"},
        {"process.pid", "pid"},
        {"process_id", "pid"},
        {"runtime_id", "runtime-id"},
        {"service.instance.id", "runtime-id"},
    };

    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (bytes_equal(key, bytes_str(spellings[i][0])))
            return bytes_str(spellings[i][1]);
    return key;
}

bool tag_is_dropped(struct bytes key)
{
    static const char *const prefixes[] = {"__",         "otel.scope.",      "otel_scope_",
                                           "_dd.",       "process.runtime.", "process_runtime_",
                                           "profile_seq"};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (bytes_starts(key, bytes_str(prefixes[i])))
            return true;
    return false;
}

/* The characters that Pyroscope and its kin allow in a tenant's name. */
static bool is_tenant(struct bytes t)
{
    for (size_t i = 0; i < t.len; i++)
        if (!isalnum(t.data[i]) && !memchr("!-_.*'()", t.data[i], 8))
            return false;
    return t.len > 0 && t.len <= TENANT_MAX;
}

int tenant_check(struct bytes tenant, struct failure *f)
{
    if (is_tenant(tenant))
        return 0;
    return fail(f, 400, "bad_tenant", "letters, digits or !-_.*'()",
                "X-Scope-OrgID \"%.*s\": at most %d bytes of these, it has %zu",
                (int)(tenant.len < 60 ? tenant.len : 60), (const char *)tenant.data, TENANT_MAX,
                tenant.len);
}

static void put_service(struct buf *b, struct bytes tenant, struct bytes service)
{
    buf_append_bytes(b, tenant);
    buf_append_u8(b, 0);
    buf_append_bytes(b, service);
}

struct hash128 service_id(struct bytes tenant, struct bytes service)
{
    struct buf b = {0};
    struct hash128 id;

    put_service(&b, tenant, service);
    id = hash128(buf_bytes(&b));
    buf_deinit(&b);
    return id;
}

struct hash128 series_id(enum series_kind kind, struct bytes tenant, struct bytes profile_type,
                         const struct tags *series)
{
    struct buf b = {0};
    struct hash128 id;

    buf_append_u8(&b, (uint8_t)kind);
    buf_varbytes(&b, tenant);
    buf_varbytes(&b, profile_type);
    tags_encode(series, &b);
    id = hash128(buf_bytes(&b));
    buf_deinit(&b);
    return id;
}

uint32_t partition_of(struct bytes tenant, struct bytes service, struct bytes instance,
                      uint32_t spread, uint32_t n_partitions)
{
    struct buf b = {0};
    uint64_t base, offset;

    CHECK(n_partitions > 0 && spread > 0);
    put_service(&b, tenant, service);
    base = hash64(buf_bytes(&b)) % n_partitions;
    offset = hash64(instance) % spread;
    buf_deinit(&b);
    return (uint32_t)((base + offset) % n_partitions);
}
