#include "net/body_budget.h"

void body_budget_init(struct body_budget *b, size_t max)
{
    *b = (struct body_budget){.max = max};
    list_init(&b->holders);
}

void body_budget_join(struct body_budget *b, struct body_budget_holder *h)
{
    list_append(&b->holders, &h->link);
}

void body_budget_leave(struct body_budget_holder *h)
{
    list_remove(&h->link);
}

static bool has_room(const struct body_budget *b, size_t n)
{
    return n <= b->max - b->used;
}

static void ask_for_room(struct body_budget *b)
{
    list_for_each_safe (it, &b->holders) {
        struct body_budget_holder *h = container_of(it, struct body_budget_holder, link);

        h->give_way(h);
    }
}

int body_budget_take(struct body_budget *b, size_t n, struct failure *f)
{
    if (!has_room(b, n))
        ask_for_room(b);
    if (!has_room(b, n))
        return fail(f, 503, "overload", "send it again later; setting: body_budget",
                    "%zu bytes more would exceed the %zu bytes for all bodies (%zu in use)", n,
                    b->max, b->used);
    b->used += n;
    return 0;
}

void body_budget_give(struct body_budget *b, size_t n)
{
    CHECK(n <= b->used);
    b->used -= n;
}
