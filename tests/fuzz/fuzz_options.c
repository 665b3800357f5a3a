/*
 * A configuration file of any content. Whatever it holds: values stay within their bounds, each
 * error that is returned is listed (up to the cap) and says its place, and a second reading agrees
 * with the first.
 */
#include "base/err.h"
#include "base/options.h"

#define FUZZ_OPTIONS(X)                                                                            \
    X(INT, n, "4", -1, 12, NULL, "a number")                                                       \
    X(BOOL, b, "true", 0, 0, NULL, "a truth")                                                      \
    X(STRING, s, NULL, 0, 0, NULL, "a text")                                                       \
    X(LIST, l, "x", 0, 0, NULL, "a list")                                                          \
    X(ENUM, e, "one", 0, 0, "one|two", "a word")                                                   \
    X(DURATION, d, "30m", 1000, INT64_MAX, NULL, "a duration")                                     \
    X(SIZE, z, "4KiB", 1024, INT64_C(1) << 30, NULL, "a size")
struct values {
    FUZZ_OPTIONS(OPTION_FIELD)
};
#define FUZZ_ROW(...) OPTION_ROW(struct values, __VA_ARGS__)
static const struct option_row fuzz_rows[] = {FUZZ_OPTIONS(FUZZ_ROW){0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_values(const struct values *v)
{
    CHECK(v->n >= -1 && v->n <= 12);
    CHECK(v->d >= 1000);
    CHECK(v->z >= 1024 && v->z <= INT64_C(1) << 30);
    CHECK(strcmp(v->e, "one") == 0 || strcmp(v->e, "two") == 0);
    CHECK(v->l[0] != ',' && !strstr(v->l, ",,"));
    CHECK(v->l[0] == '\0' || v->l[strlen(v->l) - 1] != ',');
}

static void check_errors(const struct options *o, int n)
{
    CHECK(options_errors(o) == (size_t)n || (n > 1000 && options_errors(o) == 1000));
    for (size_t i = 0; i < options_errors(o) && i < 999; i++) {
        const char *error = options_error(o, i);

        CHECK(strncmp(error, "f:", 2) == 0 && error[2] >= '1' && error[2] <= '9');
        for (; *error; error++)
            CHECK((unsigned char)*error >= ' ');
    }
}

static int read_once(struct bytes text, struct values *v, struct options *o)
{
    int n;

    options_bind(o, fuzz_rows, v, "Fuzz");
    n = options_load_yaml(o, text, "f");
    check_values(v);
    check_errors(o, n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes text = bytes_of(data, len);
    struct options *first = options_new(), *second = options_new();
    struct values a, b;

    CHECK(read_once(text, &a, first) == read_once(text, &b, second));
    CHECK(a.n == b.n && a.b == b.b && a.d == b.d && a.z == b.z && strcmp(a.l, b.l) == 0);
    options_free(first);
    options_free(second);
    return 0;
}
