#include "collector/retries.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct waiter {
    struct retry_wait wait;
    unsigned calls;
    int status; /* of the failure; 0: acknowledged */
};

static void on_ended(struct retry_wait *w, const struct failure *f)
{
    struct waiter *me = container_of(w, struct waiter, wait);

    me->calls++;
    me->status = f ? f->status : 0;
}

static struct hash128 key(unsigned i)
{
    return hash128(bytes_of(&i, sizeof i));
}

static void acknowledge(struct retries *r, struct hash128 k)
{
    assert_int_equal(retries_begin(r, k), RETRY_NEW);
    retries_end(r, k, NULL);
}

static void an_acknowledged_upload_is_known(void **state)
{
    struct retries *r = retries_new(64);

    (void)state;
    acknowledge(r, key(1));
    assert_int_equal(retries_begin(r, key(1)), RETRY_ACKNOWLEDGED);
    acknowledge(r, key(2));
    assert_int_equal(retries_begin(r, key(1)), RETRY_ACKNOWLEDGED);
    retries_free(r);
}

static void a_failed_upload_is_new_again(void **state)
{
    struct retries *r = retries_new(64);
    struct failure f = {.status = 503};

    (void)state;
    assert_int_equal(retries_begin(r, key(1)), RETRY_NEW);
    retries_end(r, key(1), &f);
    acknowledge(r, key(1));
    retries_free(r);
}

static void those_who_wait_hear_what_became_of_the_first(void **state)
{
    struct retries *r = retries_new(64);
    struct failure f = {.status = 413};
    struct waiter a = {.wait.ended = on_ended}, b = a, c = a;

    (void)state;
    assert_int_equal(retries_begin(r, key(1)), RETRY_NEW);
    assert_int_equal(retries_begin(r, key(1)), RETRY_ON_ITS_WAY);
    retries_wait(r, key(1), &a.wait);
    retries_wait(r, key(1), &b.wait);
    assert_int_equal(a.calls, 0);
    retries_end(r, key(1), NULL);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.status, 0);
    assert_int_equal(b.calls, 1);

    assert_int_equal(retries_begin(r, key(2)), RETRY_NEW);
    retries_wait(r, key(2), &c.wait);
    retries_end(r, key(2), &f);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.status, 413);
    retries_free(r);
}

static void who_comes_to_wait_too_late_hears_it_at_once(void **state)
{
    struct retries *r = retries_new(64);
    struct failure f = {.status = 503};
    struct waiter a = {.wait.ended = on_ended}, b = {.wait.ended = on_ended};

    (void)state;
    acknowledge(r, key(1));
    retries_wait(r, key(1), &a.wait);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.status, 0);
    assert_int_equal(retries_begin(r, key(2)), RETRY_NEW);
    retries_end(r, key(2), &f);
    retries_wait(r, key(2), &b.wait);
    assert_int_equal(b.calls, 1);
    assert_int_equal(b.status, 503);
    retries_free(r);
}

static void the_newest_are_remembered_and_no_more_than_asked_for(void **state)
{
    struct retries *r = retries_new(800);
    unsigned known = 0, newest = 0;

    (void)state;
    for (unsigned i = 0; i < 8000; i++)
        acknowledge(r, key(i));
    for (unsigned i = 0; i < 8000; i++) {
        struct waiter w = {.wait.ended = on_ended};

        retries_wait(r, key(i), &w.wait);
        known += w.status == 0;
        newest += w.status == 0 && i >= 8000 - 400;
    }
    assert_int_equal(known, 800);
    assert_true(newest > 380); /* buckets are uneven: a few are pushed out early */
    retries_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acknowledged_upload_is_known),
        cmocka_unit_test(a_failed_upload_is_new_again),
        cmocka_unit_test(those_who_wait_hear_what_became_of_the_first),
        cmocka_unit_test(who_comes_to_wait_too_late_hears_it_at_once),
        cmocka_unit_test(the_newest_are_remembered_and_no_more_than_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
