/*
 * Body budget: the memory that bodies, messages and frames on their way take together, to whatever
 * server of a loop they come.
 *
 * A peer that announces much and sends nothing would lock all others out. So where there is no
 * room, whoever holds some is asked to give way first: the servers refuse what has stood still for
 * their limits.stall_ms. Loop thread only.
 */
#ifndef HEARTH_NET_BODY_BUDGET_H
#define HEARTH_NET_BODY_BUDGET_H

#include "base/err.h"
#include "base/list.h"

struct body_budget {
    size_t max, used; /* bytes */
    struct list holders;
};

struct body_budget_holder {
    struct list link;
    void (*give_way)(struct body_budget_holder *h);
};

void body_budget_init(struct body_budget *b, size_t max);
void body_budget_join(struct body_budget *b, struct body_budget_holder *h);
void body_budget_leave(struct body_budget_holder *h);

/* 0, or FAILURE with f (503) filled. */
int body_budget_take(struct body_budget *b, size_t n, struct failure *f);
void body_budget_give(struct body_budget *b, size_t n);

#endif
