#include "base/clock.h"
#include "lib/random.h"
#include "query/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool matches(const char *pattern, struct bytes text)
{
    struct regex *re;
    struct failure f;
    bool m;

    if (regex_new(bytes_str(pattern), &re, &f) != 0)
        fail_msg("%s: %s", pattern, f.message);
    m = regex_matches(re, text);
    regex_free(re);
    return m;
}

static void assert_refused(const char *pattern)
{
    struct regex *re;
    struct failure f;

    if (regex_new(bytes_str(pattern), &re, &f) == 0)
        fail_msg("%s was taken", pattern);
    assert_int_equal(f.status, 400);
    assert_string_equal(f.code, "regex_bad");
}

static void an_expression_matches_the_whole_text(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"v1.*", "v1.2.3", true},
        {"v1.*", "xv1", false},
        {"v1", "v12", false},
        {"", "", true},
        {"", "a", false},
        {"a|b|", "", true},
        {"(prod|staging)", "staging", true},
        {"(?:a|b)+c", "abac", true},
        {"a{2,3}", "aaa", true},
        {"a{2,3}", "aaaa", false},
        {"a{2}", "aa", true},
        {"a{2,}", "aaaaa", true},
        {"a{2,}", "a", false},
        {"[a-c]x", "bx", true},
        {"[^a-c]x", "bx", false},
        {"[]a]", "]", true},
        {"[a-]", "-", true},
        {"\\d+\\.\\d+", "12.5", true},
        {"\\d+\\.\\d+", "12x5", false},
        {"\\w+", "a_9", true},
        {"\\W", "a", false},
        {"^a$", "a", true},
        {"a^b", "ab", false},
        {"a$b", "ab", false},
        {"(^|x)a", "a", true},
        {"(^|x)a", "xa", true},
        {"a.c", "a\nc", true},
        {"a.c",
         "a\xc3\xa9"
         "c",
         true},
        {"a..c",
         "a\xc3\xa9"
         "c",
         false},
        {"\xc3\xa9+", "\xc3\xa9\xc3\xa9", true},
        {"[^x]", "\xe2\x82\xac", true},
        {"[^x]{2}", "\xe2\x82\xac", false},
        {"(a*)*", "aaaa", true},
        {"(a*)*b", "aaaa", false},
        {"(a?){3}a{3}", "aaa", true},
        {"a*?", "aaa", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (matches(cases[i].pattern, bytes_str(cases[i].text)) != cases[i].matches)
            fail_msg("/%s/ and \"%s\"", cases[i].pattern, cases[i].text);
}

static void what_is_not_supported_is_refused(void **state)
{
    static const char *const bad[] = {"(",      ")",        "a)",         "[a",  "*",     "a**",
                                      "a{3,2}", "a{1001}",  "\\",         "\\q", "(?=a)", "[b-a]",
                                      "a{",     "(?P<n>a)", "[\xc3\xa9]", "\\1", "+"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(bad[i]);
}

static void an_expression_that_would_be_too_large_is_refused(void **state)
{
    char deep[500];

    (void)state;
    assert_refused("(a{1000}){1000}");
    assert_refused("(((){1000}){1000}){1000}");
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    assert_refused(deep);
}

static void time_is_linear_where_backtracking_explodes(void **state)
{
    static const char *const evil[] = {"(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)x",
                                       "(a?){200}a{200}b"};
    static char text[4096];
    int64_t begin = clock_mono_ms();

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++)
        assert_false(matches(evil[i], bytes_of(text, sizeof text)));
    assert_true(clock_mono_ms() - begin < 20000);
}

/* ---- property: equals a naive matcher over random expressions ----------------------------------
 */

enum { TEXT_MAX = 7 };

/* A random expression as text, and as a tree for the naive matcher: a set of ends, as a bit mask
 * over positions, for each begin. */
struct expr {
    enum { LITERAL, ANY, NOT_A, CAT, ALT, REPEAT, BEGIN, END } kind;
    char c;
    int min, max;
    struct expr *l, *r;
};

static struct expr *make(uint64_t *seed, int depth, struct buf *text)
{
    struct expr *e = calloc(1, sizeof *e);

    e->kind = depth <= 0 ? random_below(seed, 3) : random_below(seed, 8);
    switch (e->kind) {
    case LITERAL:
        e->c = "ab"[random_below(seed, 2)];
        buf_append_u8(text, (uint8_t)e->c);
        break;
    case ANY:
        buf_append_str(text, ".");
        break;
    case NOT_A:
        buf_append_str(text, "[^a]");
        break;
    case BEGIN:
        buf_append_str(text, "^");
        break;
    case END:
        buf_append_str(text, "$");
        break;
    case CAT:
    case ALT:
        buf_append_str(text, "(");
        e->l = make(seed, depth - 1, text);
        buf_append_str(text, e->kind == ALT ? "|" : "");
        e->r = make(seed, depth - 1, text);
        buf_append_str(text, ")");
        break;
    case REPEAT:
        buf_append_str(text, "(");
        e->l = make(seed, depth - 1, text);
        e->min = (int)random_below(seed, 3);
        e->max = e->min + (int)random_below(seed, 3);
        if (random_below(seed, 2))
            e->max = TEXT_MAX + 3;
        buf_printf(text, e->max > TEXT_MAX ? "){%d,}" : "){%d,%d}", e->min, e->max);
        break;
    }
    return e;
}

static void expr_free(struct expr *e)
{
    if (!e)
        return;
    expr_free(e->l);
    expr_free(e->r);
    free(e);
}

static unsigned ends(const struct expr *e, const char *text, int n, int at);

static unsigned ends_of_all(const struct expr *e, const char *text, int n, unsigned begins)
{
    unsigned out = 0;

    for (int i = 0; i <= n; i++)
        if (begins >> i & 1)
            out |= ends(e, text, n, i);
    return out;
}

static unsigned ends(const struct expr *e, const char *text, int n, int at)
{
    unsigned reached, out = 0;

    switch (e->kind) {
    case LITERAL:
        return at < n && text[at] == e->c ? 2u << at : 0;
    case ANY:
        return at < n ? 2u << at : 0;
    case NOT_A:
        return at < n && text[at] != 'a' ? 2u << at : 0;
    case BEGIN:
        return at == 0 ? 1 : 0;
    case END:
        return at == n ? 1u << at : 0;
    case CAT:
        return ends_of_all(e->r, text, n, ends(e->l, text, n, at));
    case ALT:
        return ends(e->l, text, n, at) | ends(e->r, text, n, at);
    case REPEAT:
        reached = 1u << at;
        for (int i = 0; i <= e->max; i++) {
            if (i >= e->min)
                out |= reached;
            reached = ends_of_all(e->l, text, n, reached);
        }
        return out;
    }
    return 0;
}

static void it_agrees_with_a_naive_matcher(void **state)
{
    uint64_t seed = random_seed();
    char text[TEXT_MAX + 1];

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct buf pattern = {0};
        struct expr *e = make(&seed, 4, &pattern);
        struct regex *re;
        struct failure f;

        if (regex_new(buf_bytes(&pattern), &re, &f) != 0) {
            assert_non_null(strstr(f.message, "states")); /* large counts within counts */
        } else {
            for (int t = 0; t < 20; t++) {
                int n = (int)random_below(&seed, TEXT_MAX + 1);

                for (int i = 0; i < n; i++)
                    text[i] = "abc"[random_below(&seed, 3)];
                if (regex_matches(re, bytes_of(text, (size_t)n)) != (ends(e, text, n, 0) >> n & 1))
                    fail_msg("/%s/ and \"%.*s\"", buf_cstr(&pattern), n, text);
            }
            regex_free(re);
        }
        expr_free(e);
        buf_deinit(&pattern);
    }
}

static void random_bytes_never_break_it(void **state)
{
    static const char alphabet[] = "ab()[]{}|*+?.^$\\-,0123:\xc3\xa9";
    uint64_t seed = random_seed();
    char pattern[24];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = random_below(&seed, sizeof pattern);
        struct regex *re;
        struct failure f;

        for (size_t i = 0; i < n; i++)
            pattern[i] = alphabet[random_below(&seed, sizeof alphabet - 1)];
        if (regex_new(bytes_of(pattern, n), &re, &f) == 0) {
            regex_matches(re, bytes_of(pattern, n));
            regex_free(re);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expression_matches_the_whole_text),
        cmocka_unit_test(what_is_not_supported_is_refused),
        cmocka_unit_test(an_expression_that_would_be_too_large_is_refused),
        cmocka_unit_test(time_is_linear_where_backtracking_explodes),
        cmocka_unit_test(it_agrees_with_a_naive_matcher),
        cmocka_unit_test(random_bytes_never_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
