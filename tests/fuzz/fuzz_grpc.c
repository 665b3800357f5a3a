/*
 * What a peer may send on a gRPC connection. How the network cuts the bytes must not matter to what
 * handlers see, as long as no rule is broken (nghttp2 counts an unfinished CONTINUATION's header at
 * every piece of it); a message is within its limit; the budget is whole again at the end, and
 * every call is gone, whether handlers answered at once or after the peer had left.
 */
#include "base/hash.h"
#include "net/grpc_int.h"

enum { BODY_MAX = 4096, BUDGET = 20000, HELD_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
    uint64_t digest;
    struct grpc_call *held[HELD_MAX];
    size_t n_held;
};

static void digest(struct seen *seen, struct bytes s)
{
    seen->digest = hash_mix(seen->digest ^ hash64(s)) + s.len;
}

static void look_at(struct seen *seen, const struct grpc_call *c)
{
    CHECK(grpc_message(c).len <= BODY_MAX);
    digest(seen, grpc_message(c));
    digest(seen, grpc_metadata(c, "content-type"));
    digest(seen, grpc_metadata(c, "grpc-encoding"));
}

static void on_now(struct grpc_call *c, void *ctx)
{
    look_at(ctx, c);
    grpc_respond(c, GRPC_OK, grpc_message(c), NULL);
}

static void on_held(struct grpc_call *c, void *ctx)
{
    struct seen *seen = ctx;

    look_at(seen, c);
    if (seen->n_held == HELD_MAX)
        grpc_respond(c, GRPC_UNAVAILABLE, (struct bytes){0}, "too many");
    else
        seen->held[seen->n_held++] = c;
}

static void on_wake(void *ctx)
{
    (void)ctx;
}

/* 0: the peer broke a rule. talk: what the session has to say is taken after each piece. */
static uint64_t run(struct bytes in, size_t step, bool talk)
{
    struct seen seen = {.digest = 1};
    struct grpc_route routes[] = {{"/t/Now", on_now, &seen}, {"/t/Held", on_held, &seen}};
    struct grpc_core core = {.limits = http_limits_default, .routes = routes, .n_routes = 2};
    struct body_budget budget;
    struct grpc_session s;
    struct buf out = {0};
    int r = 0;

    core.limits.header_bytes_max = 1024;
    core.limits.body_bytes_max = BODY_MAX;
    body_budget_init(&budget, BUDGET);
    core.limits.budget = &budget;
    grpc_session_init(&s, &core, on_wake, NULL);
    while (in.len && r == 0) {
        size_t n = in.len < step ? in.len : step;

        r = grpc_session_feed(&s, bytes_of(in.data, n), 1);
        in.data += n;
        in.len -= n;
        if (talk)
            grpc_session_output(&s, &out);
        buf_reset(&out);
    }
    if (seen.n_held)
        grpc_respond(seen.held[--seen.n_held], GRPC_OK, (struct bytes){0}, NULL);
    grpc_session_expire(&s, 1 << 30);
    grpc_session_output(&s, &out);
    buf_deinit(&out);
    grpc_session_deinit(&s);
    while (seen.n_held)
        grpc_respond(seen.held[--seen.n_held], GRPC_OK, (struct bytes){0}, NULL);
    CHECK(budget.used == 0 && core.n_calls == 0);
    return r ? 0 : seen.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t whole = run(bytes_of(data, len), SIZE_MAX, false);

    for (size_t step = 1; step <= 7; step += 6) {
        uint64_t cut = run(bytes_of(data, len), step, false);

        CHECK(cut == whole || cut == 0 || whole == 0);
    }
    run(bytes_of(data, len), 5, true);
    return 0;
}
