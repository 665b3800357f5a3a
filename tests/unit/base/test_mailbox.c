#include "base/err.h"
#include "base/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { THREADS = 4, MSGS_PER_THREAD = 20000, MSGS = THREADS * MSGS_PER_THREAD };

struct numbered {
    struct msg msg;
    int thread, number;
};

struct office {
    uv_loop_t loop;
    struct mailbox *box;
    int n_received, n_wakeups;
    int next[THREADS]; /* the number that must come next from each */
};

struct writer {
    struct mailbox *box;
    int thread;
    int n_full;
};

static struct numbered *new_msg(int thread, int number)
{
    struct numbered *n = malloc(sizeof *n);

    *n = (struct numbered){.thread = thread, .number = number};
    list_init(&n->msg.link);
    return n;
}

static void receive(struct office *o, struct numbered *n)
{
    assert_int_equal(n->number, o->next[n->thread]);
    o->next[n->thread]++;
    o->n_received++;
    free(n);
}

static void on_mail(struct mailbox *m, void *ctx)
{
    struct office *o = ctx;
    struct list mail = {&mail, &mail};
    struct list *l;

    o->n_wakeups++;
    mailbox_drain(m, &mail);
    while ((l = list_pop(&mail)))
        receive(o, container_of(l, struct numbered, msg.link));
    if (o->n_received == MSGS)
        mailbox_close(m);
}

static void write_msgs(void *arg)
{
    struct writer *w = arg;

    for (int i = 0; i < MSGS_PER_THREAD; i++) {
        struct numbered *n = new_msg(w->thread, i);

        while (mailbox_post(w->box, &n->msg) == MAILBOX_E_FULL) {
            w->n_full++;
            uv_sleep(1);
        }
    }
}

static void every_message_of_every_thread_arrives_in_order(void **state)
{
    struct office o = {0};
    struct writer writers[THREADS];
    uv_thread_t threads[THREADS];

    (void)state;
    assert_int_equal(uv_loop_init(&o.loop), 0);
    o.box = mailbox_new(&o.loop, 1000, on_mail, &o);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.box = o.box, .thread = i};
        assert_int_equal(uv_thread_create(&threads[i], write_msgs, &writers[i]), 0);
    }
    uv_run(&o.loop, UV_RUN_DEFAULT);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(o.n_received, MSGS);
    assert_true(o.n_wakeups <= MSGS);
    assert_int_equal(uv_loop_close(&o.loop), 0);
}

static void on_unwanted_mail(struct mailbox *m, void *ctx)
{
    (void)m;
    ++*(int *)ctx;
}

static void a_full_box_refuses_and_the_sender_keeps_the_message(void **state)
{
    struct numbered *a = new_msg(0, 0), *b = new_msg(0, 1);
    struct list mail = {&mail, &mail};
    uv_loop_t loop;
    struct mailbox *m;
    int n_calls = 0;

    (void)state;
    uv_loop_init(&loop);
    m = mailbox_new(&loop, 1, on_unwanted_mail, &n_calls);
    assert_int_equal(mailbox_post(m, &a->msg), 0);
    assert_int_equal(mailbox_post(m, &b->msg), MAILBOX_E_FULL);
    mailbox_drain(m, &mail);
    assert_ptr_equal(list_pop(&mail), &a->msg.link);
    assert_true(list_empty(&mail));
    assert_int_equal(mailbox_post(m, &b->msg), 0);
    mailbox_drain(m, &mail);
    mailbox_close(m);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    free(a);
    free(b);
}

static void a_closed_box_refuses(void **state)
{
    struct numbered *a = new_msg(0, 0);
    uv_loop_t loop;
    struct mailbox *m;
    int n_calls = 0;

    (void)state;
    uv_loop_init(&loop);
    m = mailbox_new(&loop, 10, on_unwanted_mail, &n_calls);
    mailbox_close(m);
    assert_int_equal(mailbox_post(m, &a->msg), MAILBOX_E_CLOSED);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(n_calls, 0);
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_every_thread_arrives_in_order),
        cmocka_unit_test(a_full_box_refuses_and_the_sender_keeps_the_message),
        cmocka_unit_test(a_closed_box_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
