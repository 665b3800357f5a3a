/* Options: the same rows read from file, environment and flags, and every way to get them wrong. */
#include "base/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FOOD_OPTIONS(X)                                                                            \
    X(INT, guests, "4", 1, 12, NULL, "people at the table")                                        \
    X(BOOL, dessert, "true", 0, 0, NULL, "whether there is one")                                   \
    X(STRING, cook, NULL, 0, 0, NULL, "name of the cook")                                          \
    X(LIST, dishes, "soup", 0, 0, NULL, "what is served, in order")                                \
    X(ENUM, drink, "water", 0, 0, "water|wine|beer", "what is drunk | poured")                     \
    X(DURATION, cooking_time, "30m", 1000, 86400000, NULL, "time on the fire")                     \
    X(DURATION, keep, "7d", 0, INT64_MAX, NULL, "how long leftovers keep")                         \
    X(SIZE, pot, "4KiB", 1024, INT64_C(1) << 30, NULL, "size of the pot")
struct food {
    FOOD_OPTIONS(OPTION_FIELD)
};
#define FOOD_ROW(...) OPTION_ROW(struct food, __VA_ARGS__)
static const struct option_row food_rows[] = {FOOD_OPTIONS(FOOD_ROW){0}};

struct fixture {
    struct options *o;
    struct food food;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->o = options_new();
    options_bind(f->o, food_rows, &f->food, "Food");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    options_free(f->o);
    free(f);
    return 0;
}

static int load_yaml(struct fixture *f, const char *text)
{
    return options_load_yaml(f->o, bytes_str(text), "c.yaml");
}

/* args ends with NULL; argc and argv come back for a look at what is left. */
static int load_args(struct fixture *f, char **argv, int *argc)
{
    for (*argc = 0; argv[*argc]; ++*argc)
        ;
    return options_load_args(f->o, argc, argv);
}

#define LOAD_ARGS(f, ...) load_args((f), (char *[]){(char *)"prog", __VA_ARGS__, NULL}, &(int){0})
#define LOAD_ENV(f, ...)  options_load_env((f)->o, (char *[]){__VA_ARGS__, NULL})

static void assert_error(struct fixture *f, size_t i, const char *expected)
{
    assert_true(i < options_errors(f->o));
    assert_string_equal(options_error(f->o, i), expected);
}

/* One text, one error: the shape of most cases below. */
static void assert_only_error(struct fixture *f, int errors, const char *expected)
{
    assert_int_equal(errors, 1);
    assert_int_equal(options_errors(f->o), 1);
    assert_error(f, 0, expected);
}

static void defaults_are_written_when_a_table_is_bound(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->food.guests, 4);
    assert_true(f->food.dessert);
    assert_null(f->food.cook);
    assert_string_equal(f->food.dishes, "soup");
    assert_string_equal(f->food.drink, "water");
    assert_int_equal(f->food.cooking_time, 30 * 60 * 1000);
    assert_int_equal(f->food.keep, INT64_C(7) * 86400 * 1000);
    assert_int_equal(f->food.pot, 4096);
}

static void a_file_sets_every_kind(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_yaml(f, "# dinner\n"
                                  "guests: 12\n"
                                  "dessert: false\n"
                                  "cook: 'Ann, of course'\n"
                                  "dishes: [soup, 'fish']\n"
                                  "drink: wine\n"
                                  "cooking_time: 90s\n"
                                  "keep: unlimited\n"
                                  "pot: 1MiB\n"),
                     0);
    assert_int_equal(f->food.guests, 12);
    assert_false(f->food.dessert);
    assert_string_equal(f->food.cook, "Ann, of course");
    assert_string_equal(f->food.dishes, "soup,fish");
    assert_string_equal(f->food.drink, "wine");
    assert_int_equal(f->food.cooking_time, 90000);
    assert_int_equal(f->food.keep, INT64_MAX);
    assert_int_equal(f->food.pot, 1 << 20);
}

static void lists_are_sequences_or_comma_separated(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_yaml(f, "dishes:\n  - a\n  - b\n"), 0);
    assert_string_equal(f->food.dishes, "a,b");
    assert_int_equal(load_yaml(f, "dishes: a , b,c\n"), 0);
    assert_string_equal(f->food.dishes, "a,b,c");
    assert_int_equal(load_yaml(f, "dishes: []\n"), 0);
    assert_string_equal(f->food.dishes, "");
}

static void a_list_with_a_bad_entry_is_left_alone(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_yaml(f, "dishes: [a, '', b, ~]\n"), 2);
    assert_string_equal(f->food.dishes, "soup");
}

static void an_empty_file_sets_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_yaml(f, ""), 0);
    assert_int_equal(load_yaml(f, "# only a comment\n"), 0);
    assert_int_equal(load_yaml(f, "---\n"), 0);
    assert_int_equal(f->food.guests, 4);
}

static void every_error_of_a_file_is_listed_with_line_and_column(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_yaml(f, "guests: many\n"
                                  "guest: 5\n"
                                  "  \n"
                                  "guests: 5\n"
                                  "pot: 1KiB\n"
                                  "drink:   milk\n"),
                     4);
    assert_error(f, 0, "c.yaml:1:9: guests: 'many' is not a whole decimal number");
    assert_error(f, 1, "c.yaml:2:1: unknown key 'guest': did you mean guests?");
    assert_error(f, 2, "c.yaml:4:1: guests: given twice, first in line 1");
    assert_error(f, 3, "c.yaml:6:10: drink: 'milk' is not one of water|wine|beer");
    assert_int_equal(f->food.pot, 1024);
}

static void a_syntax_error_has_its_place(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_yaml(f, "guests: 5\ndishes: [a, b\n"), 1);
    assert_non_null(strstr(options_error(f->o, 0), "c.yaml:3:1: did not find expected"));
}

static void yaml_beyond_flat_names_is_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"kitchen:\n  cook: Ann\n", "c.yaml:1:1: unknown key 'kitchen'"},
        {"cook:\n  name: Ann\n", "c.yaml:2:3: a mapping where a value is expected: names are flat"},
        {"cook: [a]\n", "c.yaml:1:7: a list where one value is expected"},
        {"- a\n", "c.yaml:1:1: expected a mapping of option names to values"},
        {"dishes: [a, [b]]\n", "c.yaml:1:13: an entry of a list must be a single value"},
        {"dishes: [a, '']\n", "c.yaml:1:13: an entry of a list is empty or holds a comma"},
        {"dishes: ['a,b']\n", "c.yaml:1:10: an entry of a list is empty or holds a comma"},
        {"cook:\n", "c.yaml:1:6: no value: leave the key out, or write '' for an empty text"},
        {"cook: ~\n", "c.yaml:1:7: no value: leave the key out, or write '' for an empty text"},
        {"cook: !!str Ann\n", "c.yaml:1:7: tags are not supported"},
        {"? [a]\n: b\n", "c.yaml:1:3: a key must be a name"},
        {"cook: \"a\\0b\"\n", "c.yaml:1:7: cook: 'a?b' is a text with a NUL byte"},
        {"guests: 5\n---\nguests: 6\n", "c.yaml:2:1: a second document: one is expected"},
        {"dessert: yes\n", "c.yaml:1:10: dessert: 'yes' is not true or false"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *own = NULL;

        set_up(&own);
        assert_only_error(own, load_yaml(own, cases[i].text), cases[i].error);
        tear_down(&own);
    }
    (void)state;
}

static void an_alias_is_refused_and_reading_goes_on(void **state)
{
    struct fixture *f = *state;

    assert_only_error(f, load_yaml(f, "cook: &a Ann\ndrink: *a\nguests: 7\n"),
                      "c.yaml:2:8: aliases are not supported");
    assert_int_equal(f->food.guests, 7);
}

static void a_file_is_read_from_disk(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/hearth-options-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "guests: 9\n", 10), 10);
    close(fd);
    assert_int_equal(options_load_file(f->o, path), 0);
    assert_int_equal(f->food.guests, 9);
    unlink(path);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    struct fixture *f = *state;

    assert_only_error(f, options_load_file(f->o, "/nonexistent/c.yaml"),
                      "/nonexistent/c.yaml: cannot be read: No such file or directory");
}

static void a_huge_file_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_only_error(f, options_load_file(f->o, "/dev/zero"),
                      "/dev/zero: cannot be read: File too large");
}

static void the_environment_sets_values(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(LOAD_ENV(f, (char *)"PATH=/bin", (char *)"HEARTH_GUESTS=3",
                              (char *)"HEARTH_COOKING_TIME=5m"),
                     0);
    assert_int_equal(f->food.guests, 3);
    assert_int_equal(f->food.cooking_time, 300000);
    assert_int_equal(options_warnings(f->o), 0);
}

static void a_bad_variable_is_an_error_that_names_it(void **state)
{
    struct fixture *f = *state;

    assert_only_error(f, LOAD_ENV(f, (char *)"HEARTH_GUESTS=13"),
                      "HEARTH_GUESTS: guests: '13' is out of bounds: 1 to 12");
}

static void an_unknown_variable_is_a_warning_unless_it_is_anothers(void **state)
{
    static const char *const foreign[] = {"kafka_brokers", NULL};
    struct fixture *f = *state;

    options_foreign_env(f->o, foreign);
    assert_int_equal(LOAD_ENV(f, (char *)"HEARTH_KAFKA_BROKERS=k:9092", (char *)"HEARTH_GUEST=3",
                              (char *)"HEARTH_guests=2"),
                     0);
    assert_int_equal(f->food.guests, 4);
    assert_int_equal(options_warnings(f->o), 2);
    assert_string_equal(options_warning(f->o, 0),
                        "'HEARTH_GUEST': this program has no such option: did you mean guests?");
}

static void no_environment_at_all_is_fine(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(options_load_env(f->o, NULL), 0);
}

static void flags_have_all_their_forms(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(LOAD_ARGS(f, (char *)"--guests", (char *)"5", (char *)"--cooking-time=2h",
                               (char *)"--no-dessert", (char *)"--cook=", (char *)"--drink=beer"),
                     0);
    assert_int_equal(f->food.guests, 5);
    assert_int_equal(f->food.cooking_time, 7200000);
    assert_false(f->food.dessert);
    assert_string_equal(f->food.cook, "");
    assert_string_equal(f->food.drink, "beer");
}

static void a_bool_flag_takes_no_argument_of_its_own(void **state)
{
    struct fixture *f = *state;
    char *argv[] = {(char *)"prog", (char *)"--dessert", (char *)"a.pb.gz", NULL};
    int argc;

    f->food.dessert = false;
    assert_int_equal(load_args(f, argv, &argc), 0);
    assert_true(f->food.dessert);
    assert_int_equal(argc, 2);
    assert_string_equal(argv[1], "a.pb.gz");
}

static void positional_arguments_move_to_the_front(void **state)
{
    struct fixture *f = *state;
    char *argv[] = {(char *)"prog", (char *)"a",  (char *)"--guests", (char *)"5",
                    (char *)"-",    (char *)"--", (char *)"--cook",   NULL};
    int argc;

    assert_int_equal(load_args(f, argv, &argc), 0);
    assert_int_equal(argc, 4);
    assert_string_equal(argv[1], "a");
    assert_string_equal(argv[2], "-");
    assert_string_equal(argv[3], "--cook");
}

static void repeated_list_flags_add_up_and_replace_the_default(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(LOAD_ARGS(f, (char *)"--dishes=a,b", (char *)"--dishes", (char *)"c"), 0);
    assert_string_equal(f->food.dishes, "a,b,c");
}

static void bad_flags_are_errors_that_name_them(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(LOAD_ARGS(f, (char *)"--guets=5", (char *)"-g", (char *)"--guests=0",
                               (char *)"--drink=wine", (char *)"--drink=beer", (char *)"--pot",
                               (char *)"--no-cook", (char *)"--cook"),
                     7);
    assert_error(f, 0, "--guets: unknown flag 'guets': did you mean guests?");
    assert_error(f, 1, "-g: unknown flag: names are long and begin with --");
    assert_error(f, 2, "--guests: guests: '0' is out of bounds: 1 to 12");
    assert_error(f, 3, "--drink: given twice");
    assert_error(f, 4, "--pot: needs a value");
    assert_error(f, 5, "--no-cook: unknown flag 'no_cook'");
    assert_error(f, 6, "--cook: needs a value");
}

static void flags_beat_environment_beats_file_in_any_order(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(LOAD_ARGS(f, (char *)"--guests=1"), 0);
    assert_int_equal(LOAD_ENV(f, (char *)"HEARTH_GUESTS=2", (char *)"HEARTH_DRINK=wine"), 0);
    assert_int_equal(load_yaml(f, "guests: 3\ndrink: beer\ncook: Ann\n"), 0);
    assert_int_equal(f->food.guests, 1);
    assert_string_equal(f->food.drink, "wine");
    assert_string_equal(f->food.cook, "Ann");
}

static void a_value_that_loses_is_still_checked(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(LOAD_ARGS(f, (char *)"--guests=1"), 0);
    assert_only_error(f, load_yaml(f, "guests: 99\n"),
                      "c.yaml:1:9: guests: '99' is out of bounds: 1 to 12");
}

static void options_can_be_set_by_name(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(options_set(f->o, "guests", "8", "test"), 0);
    assert_int_equal(f->food.guests, 8);
    assert_only_error(f, options_set(f->o, "chairs", "8", "test"), "test: unknown option 'chairs'");
}

static void text_from_outside_cannot_forge_a_line_of_an_error(void **state)
{
    struct fixture *f = *state;

    assert_only_error(f, LOAD_ENV(f, (char *)"HEARTH_GUESTS=1\n\x1b[2J"),
                      "HEARTH_GUESTS: guests: '1??[2J' is not a whole decimal number");
}

static void the_list_of_errors_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct buf text = {0};

    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "x%d: 1\n", i);
    assert_int_equal(load_yaml(f, buf_cstr(&text)), 5000);
    assert_int_equal(options_errors(f->o), 1000);
    assert_error(f, 999, "too many errors: the rest is not listed");
    buf_deinit(&text);
}

static void durations_have_one_unit_and_do_not_overflow(void **state)
{
    int64_t v = -1;

    (void)state;
    assert_int_equal(option_parse_duration("500ms", &v), 0);
    assert_int_equal(v, 500);
    assert_int_equal(option_parse_duration("0", &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(option_parse_duration("106751991167d", &v), 0);
    assert_int_equal(option_parse_duration("106751991168d", &v), -ERANGE);
    assert_int_equal(option_parse_duration("99999999999999999999ms", &v), -ERANGE);
    assert_int_equal(option_parse_duration("10", &v), -EINVAL);
    assert_int_equal(option_parse_duration("", &v), -EINVAL);
    assert_int_equal(option_parse_duration("s", &v), -EINVAL);
    assert_int_equal(option_parse_duration("-1s", &v), -EINVAL);
    assert_int_equal(option_parse_duration("1.5s", &v), -EINVAL);
    assert_int_equal(option_parse_duration("1h30m", &v), -EINVAL);
    assert_int_equal(option_parse_duration("99999999999999999999x", &v), -EINVAL);
}

static void sizes_have_binary_units_and_do_not_overflow(void **state)
{
    int64_t v = -1;

    (void)state;
    assert_int_equal(option_parse_size("1TiB", &v), 0);
    assert_int_equal(v, INT64_C(1) << 40);
    assert_int_equal(option_parse_size("8388607TiB", &v), 0);
    assert_int_equal(option_parse_size("8388608TiB", &v), -ERANGE);
    assert_int_equal(option_parse_size("1KB", &v), -EINVAL);
    assert_int_equal(option_parse_size("1 KiB", &v), -EINVAL);
    assert_int_equal(option_parse_size("unlimited", &v), -EINVAL);
}

static void whole_numbers_are_decimal_and_bounded(void **state)
{
    int64_t v = 0;

    (void)state;
    assert_int_equal(option_parse_int("-9223372036854775807", INT64_MIN, INT64_MAX, &v), 0);
    assert_int_equal(v, -INT64_MAX);
    assert_int_equal(option_parse_int("9223372036854775807", 0, INT64_MAX, &v), 0);
    assert_int_equal(option_parse_int("9223372036854775808", 0, INT64_MAX, &v), -ERANGE);
    assert_int_equal(option_parse_int("9223372036854775808", INT64_MIN, INT64_MAX, &v), -ERANGE);
    assert_int_equal(option_parse_int("-9223372036854775809", INT64_MIN, INT64_MAX, &v), -ERANGE);
    assert_int_equal(option_parse_int("11", 0, 10, &v), -ERANGE);
    assert_int_equal(v, INT64_MAX);
    for (const char **s = (const char *[]){"", "-", "+1", " 1", "1 ", "0x1", "1e3", "--1", NULL};
         *s; s++)
        assert_int_equal(option_parse_int(*s, INT64_MIN, INT64_MAX, &v), -EINVAL);
}

static void help_and_markdown_say_what_the_rows_say(void **state)
{
    struct fixture *f = *state;
    struct buf help = {0}, markdown = {0};

    options_help(f->o, &help);
    assert_non_null(strstr(buf_cstr(&help), "  --cooking-time <duration>\n"
                                            "      time on the fire\n"
                                            "      HEARTH_COOKING_TIME; default 30m; 1s to 1d\n"));
    options_markdown(f->o, &markdown);
    assert_non_null(strstr(buf_cstr(&markdown), "### Food\n"));
    assert_non_null(strstr(buf_cstr(&markdown),
                           "| `pot` | size | `4KiB` | 1KiB to 1GiB | size of the pot |\n"));
    assert_non_null(strstr(buf_cstr(&markdown), "| `drink` | word | `water` | water, wine, beer | "
                                                "what is drunk \\| poured |\n"));
    assert_non_null(strstr(buf_cstr(&markdown), "| `keep` | duration | `7d` | at least 0 |"));
    buf_deinit(&help);
    buf_deinit(&markdown);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_written_when_a_table_is_bound),
        TEST(a_file_sets_every_kind),
        TEST(lists_are_sequences_or_comma_separated),
        TEST(a_list_with_a_bad_entry_is_left_alone),
        TEST(an_empty_file_sets_nothing),
        TEST(every_error_of_a_file_is_listed_with_line_and_column),
        TEST(a_syntax_error_has_its_place),
        TEST(yaml_beyond_flat_names_is_refused),
        TEST(an_alias_is_refused_and_reading_goes_on),
        TEST(a_file_is_read_from_disk),
        TEST(a_file_that_cannot_be_read_is_an_error),
        TEST(a_huge_file_is_refused),
        TEST(the_environment_sets_values),
        TEST(a_bad_variable_is_an_error_that_names_it),
        TEST(an_unknown_variable_is_a_warning_unless_it_is_anothers),
        TEST(no_environment_at_all_is_fine),
        TEST(flags_have_all_their_forms),
        TEST(a_bool_flag_takes_no_argument_of_its_own),
        TEST(positional_arguments_move_to_the_front),
        TEST(repeated_list_flags_add_up_and_replace_the_default),
        TEST(bad_flags_are_errors_that_name_them),
        TEST(flags_beat_environment_beats_file_in_any_order),
        TEST(a_value_that_loses_is_still_checked),
        TEST(options_can_be_set_by_name),
        TEST(text_from_outside_cannot_forge_a_line_of_an_error),
        TEST(the_list_of_errors_is_bounded),
        cmocka_unit_test(durations_have_one_unit_and_do_not_overflow),
        cmocka_unit_test(sizes_have_binary_units_and_do_not_overflow),
        cmocka_unit_test(whole_numbers_are_decimal_and_bounded),
        TEST(help_and_markdown_say_what_the_rows_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
