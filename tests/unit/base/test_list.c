#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct item {
    struct list link;
    int n;
};

static int number(struct list *l)
{
    return container_of(l, struct item, link)->n;
}

static void what_is_appended_is_popped_oldest_first(void **state)
{
    struct list head = LIST_INIT(head);
    struct item a = {.n = 1}, b = {.n = 2};

    (void)state;
    assert_null(list_pop(&head));
    list_append(&head, &a.link);
    list_append(&head, &b.link);
    assert_int_equal(number(list_pop(&head)), 1);
    assert_int_equal(number(list_pop(&head)), 2);
    assert_true(list_empty(&head));
}

static void removing_twice_is_harmless(void **state)
{
    struct list head = LIST_INIT(head);
    struct item a = {.n = 1}, b = {.n = 2};

    (void)state;
    list_append(&head, &a.link);
    list_append(&head, &b.link);
    list_remove(&a.link);
    list_remove(&a.link);
    assert_ptr_equal(head.next, &b.link);
    assert_ptr_equal(head.prev, &b.link);
}

static void a_splice_moves_everything_to_the_end(void **state)
{
    struct list to = LIST_INIT(to), from = LIST_INIT(from);
    struct item items[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
    int expected = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        list_append(i < 2 ? &to : &from, &items[i].link);
    list_splice(&to, &from);
    list_splice(&to, &from);
    assert_true(list_empty(&from));
    list_for_each (it, &to)
        assert_int_equal(number(it), expected++);
    assert_int_equal(expected, 4);
}

static void the_body_of_the_safe_loop_may_remove(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[3] = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        list_append(&head, &items[i].link);
    list_for_each_safe (it, &head)
        list_remove(it);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_popped_oldest_first),
        cmocka_unit_test(removing_twice_is_harmless),
        cmocka_unit_test(a_splice_moves_everything_to_the_end),
        cmocka_unit_test(the_body_of_the_safe_loop_may_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
