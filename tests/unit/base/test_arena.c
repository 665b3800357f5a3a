#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdint.h>

static void memory_is_aligned_and_does_not_overlap(void **state)
{
    struct arena a;
    uint8_t *last = NULL;
    size_t last_len = 0;

    (void)state;
    arena_init(&a, 1024);
    for (size_t n = 0; n < 300; n++) {
        uint8_t *p = arena_alloc(&a, n);

        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, (int)n, n);
        for (size_t i = 0; i < last_len; i++)
            assert_int_equal(last[i], (uint8_t)(n - 1));
        last = p;
        last_len = n;
    }
    arena_deinit(&a);
}

static void a_request_larger_than_a_chunk_gets_its_own(void **state)
{
    struct arena a;
    uint8_t *small, *next;

    (void)state;
    arena_init(&a, 1024);
    small = arena_alloc(&a, 16);
    memset(arena_alloc(&a, 100000), 1, 100000);
    next = arena_alloc(&a, 16);
    assert_ptr_equal(next, small + 16); /* the chunk in use went on being used */
    arena_deinit(&a);
}

static void calloc_zeroes_memory_that_was_used_before(void **state)
{
    struct arena a;
    uint8_t *p;

    (void)state;
    arena_init(&a, 256);
    memset(arena_alloc(&a, 200), 0xff, 200);
    arena_reset(&a);
    p = arena_calloc(&a, 200);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(p[i], 0);
    arena_deinit(&a);
}

static void a_copy_ends_with_a_nul(void **state)
{
    struct arena a;
    struct bytes copy;

    (void)state;
    arena_init(&a, 64);
    copy = arena_copy(&a, BYTES_LIT("sixteen bytes ok"));
    assert_int_equal(copy.len, 16);
    assert_string_equal((const char *)copy.data, "sixteen bytes ok");
    assert_string_equal((const char *)arena_copy(&a, (struct bytes){0}).data, "");
    arena_deinit(&a);
}

static void fill(struct arena *a, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += 512)
        arena_alloc(a, 512);
}

static void rounds_of_one_size_take_no_more_memory(void **state)
{
    struct arena a;
    size_t reserved;

    (void)state;
    arena_init(&a, 4096);
    fill(&a, 1 << 20);
    reserved = arena_reserved(&a);
    for (int round = 0; round < 50; round++) {
        arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
        fill(&a, 1 << 20);
        assert_int_equal(arena_reserved(&a), reserved);
    }
    arena_deinit(&a);
}

static void rounds_that_alternate_keep_what_the_large_ones_need(void **state)
{
    struct arena a;
    size_t reserved;

    (void)state;
    arena_init(&a, 4096);
    fill(&a, 1 << 20);
    reserved = arena_reserved(&a);
    for (int round = 0; round < 20; round++) {
        arena_reset(&a);
        assert_int_equal(arena_reserved(&a), reserved);
        fill(&a, round % 2 ? 1 << 20 : 1 << 10);
        assert_int_equal(arena_reserved(&a), reserved);
    }
    arena_deinit(&a);
}

static void one_outlier_is_given_back_after_a_while(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 4096);
    fill(&a, 16 << 20);
    for (int round = 0; round < 60; round++) {
        arena_reset(&a);
        fill(&a, 8192);
    }
    assert_true(arena_reserved(&a) < 64 << 10);
    arena_deinit(&a);
    assert_int_equal(arena_reserved(&a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_does_not_overlap),
        cmocka_unit_test(a_request_larger_than_a_chunk_gets_its_own),
        cmocka_unit_test(calloc_zeroes_memory_that_was_used_before),
        cmocka_unit_test(a_copy_ends_with_a_nul),
        cmocka_unit_test(rounds_of_one_size_take_no_more_memory),
        cmocka_unit_test(rounds_that_alternate_keep_what_the_large_ones_need),
        cmocka_unit_test(one_outlier_is_given_back_after_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
