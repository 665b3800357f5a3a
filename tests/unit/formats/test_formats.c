#include "base/utf8.h"
#include "formats/decode.h"
#include "formats/folded.h"
#include "formats/inflate.h"
#include "lib/build.h"
#include "lib/wire.h"

#include <lz4frame.h>
#include <zstd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CAP = 1 << 20 };

struct fixture {
    struct inflater *inf;
    struct buf out, packed;
    struct bytes got;
    struct failure failure;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);

    x->inf = inflater_new();
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    inflater_free(x->inf);
    buf_deinit(&x->out);
    buf_deinit(&x->packed);
    free(x);
    return 0;
}

static void pack_gzip(struct fixture *x, struct bytes plain)
{
    gzip(plain, 6, &x->packed);
}

static void pack_zstd(struct fixture *x, struct bytes plain)
{
    size_t bound = ZSTD_compressBound(plain.len);

    buf_reserve(&x->packed, bound);
    x->packed.len += ZSTD_compress(x->packed.data + x->packed.len, bound, plain.data, plain.len, 3);
}

static void pack_lz4(struct fixture *x, struct bytes plain)
{
    size_t bound = LZ4F_compressFrameBound(plain.len, NULL);

    buf_reserve(&x->packed, bound);
    x->packed.len +=
        LZ4F_compressFrame(x->packed.data + x->packed.len, bound, plain.data, plain.len, NULL);
}

typedef void pack_fn(struct fixture *x, struct bytes plain);
static pack_fn *const codecs[] = {pack_gzip, pack_zstd, pack_lz4};
enum { N_CODECS = 3 };

/* In an allocation of its own size, so that ASan sees a read past the end. */
static int run(struct fixture *x, struct bytes in, size_t max)
{
    uint8_t *exact = malloc(in.len ? in.len : 1);
    int r;

    memcpy(exact, in.data, in.len);
    memset(&x->failure, 0, sizeof x->failure);
    r = inflate(x->inf, bytes_of(exact, in.len), max, &x->out, &x->got, &x->failure);
    if (r == 0 && x->got.data == exact) {
        buf_reset(&x->out);
        buf_append(&x->out, exact, in.len);
        x->got = buf_bytes(&x->out);
    }
    free(exact);
    return r;
}

static struct buf sample_text(size_t len)
{
    struct buf b = {0};

    for (uint64_t i = 0; b.len < len; i++)
        buf_printf(&b, "%llx ", (unsigned long long)(i * 0x9e3779b97f4a7c15u >> 20));
    b.len = len;
    return b;
}

static void each_codec_gives_back_the_bytes(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 65536, 65537, 700000};
    struct fixture *x = *state;

    for (int c = 0; c < N_CODECS; c++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct buf plain = sample_text(sizes[i]);

            buf_reset(&x->packed);
            codecs[c](x, buf_bytes(&plain));
            assert_int_equal(compression_of(buf_bytes(&x->packed)), c + 1);
            assert_int_equal(run(x, buf_bytes(&x->packed), CAP), 0);
            assert_true(bytes_equal(x->got, buf_bytes(&plain)));
            buf_deinit(&plain);
        }
}

static void frames_in_a_row_are_one_stream_under_one_cap(void **state)
{
    struct fixture *x = *state;

    for (int c = 0; c < N_CODECS; c++) {
        struct buf plain = sample_text(1000);

        buf_reset(&x->packed);
        for (int i = 0; i < 3; i++)
            codecs[c](x, buf_bytes(&plain));
        assert_int_equal(run(x, buf_bytes(&x->packed), 3000), 0);
        assert_int_equal(x->got.len, 3000);
        assert_memory_equal(x->got.data + 2000, plain.data, 1000);
        assert_int_equal(run(x, buf_bytes(&x->packed), 2999), FAILURE);
        assert_int_equal(x->failure.status, 413);
        buf_deinit(&plain);
    }
}

static void the_cap_is_exact(void **state)
{
    struct fixture *x = *state;

    for (int c = 0; c < N_CODECS; c++) {
        struct buf plain = sample_text(CAP);

        buf_reset(&x->packed);
        codecs[c](x, buf_bytes(&plain));
        assert_int_equal(run(x, buf_bytes(&x->packed), CAP), 0);
        assert_int_equal(run(x, buf_bytes(&x->packed), CAP - 1), FAILURE);
        assert_int_equal(x->failure.status, 413);
        assert_string_equal(x->failure.code, "inflated_too_large");
        assert_non_null(strstr(x->failure.hint, "inflated_max"));
        buf_deinit(&plain);
    }
    assert_int_equal(run(x, BYTES_LIT("plain"), 5), 0);
    assert_int_equal(run(x, BYTES_LIT("plain"), 4), FAILURE);
    assert_int_equal(x->failure.status, 413);
}

/* 64 MiB of zeros: a few kilobytes that must cost no more than the cap. */
static void a_bomb_is_stopped_at_the_cap(void **state)
{
    struct fixture *x = *state;

    for (int c = 0; c < N_CODECS; c++) {
        struct buf zeros = {0};

        buf_reserve(&zeros, 64 << 20);
        memset(zeros.data, 0, 64 << 20);
        buf_reset(&x->packed);
        codecs[c](x, bytes_of(zeros.data, 64 << 20));
        assert_true(x->packed.len < 1 << 20);
        assert_int_equal(run(x, buf_bytes(&x->packed), CAP), FAILURE);
        assert_int_equal(x->failure.status, 413);
        assert_true(x->out.cap <= 4 * CAP);
        buf_deinit(&zeros);
    }
}

static void every_truncation_is_malformed(void **state)
{
    struct fixture *x = *state;

    for (int c = 0; c < N_CODECS; c++) {
        struct buf plain = sample_text(300);

        buf_reset(&x->packed);
        codecs[c](x, buf_bytes(&plain));
        for (size_t len = 4; len < x->packed.len; len++) {
            assert_int_equal(run(x, bytes_of(x->packed.data, len), CAP), FAILURE);
            assert_int_equal(x->failure.status, 400);
            assert_string_equal(x->failure.code, "malformed");
        }
        buf_append_str(&x->packed, "and then some");
        assert_int_equal(run(x, buf_bytes(&x->packed), CAP), FAILURE);
        assert_int_equal(x->failure.status, 400);
        buf_deinit(&plain);
    }
}

/* The last four bytes of gzip are only a hint. */
static void a_gzip_that_lies_about_its_size_is_not_believed(void **state)
{
    struct fixture *x = *state;
    struct buf plain = sample_text(100000);

    pack_gzip(x, buf_bytes(&plain));
    buf_append_str(&x->packed, "");
    gzip(BYTES_LIT(""), 1, &x->packed); /* an empty member behind: the hint is 0 */
    assert_int_equal(run(x, buf_bytes(&x->packed), CAP), 0);
    assert_int_equal(x->got.len, 100000);
    x->packed.data[x->packed.len - 1] = 0xff;
    assert_int_equal(run(x, buf_bytes(&x->packed), CAP), FAILURE);
    assert_int_equal(x->failure.status, 400);
    buf_deinit(&plain);
}

static void a_zstd_window_beyond_16_mib_is_refused(void **state)
{
    struct fixture *x = *state;
    ZSTD_CCtx *c = ZSTD_createCCtx();
    struct buf plain = sample_text(1000);
    ZSTD_inBuffer in = {plain.data, plain.len, 0};
    ZSTD_outBuffer out;

    buf_reserve(&x->packed, 4096);
    out = (ZSTD_outBuffer){x->packed.data, 4096, 0};
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 27);
    assert_true(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush) == 0);
    assert_true(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end) == 0);
    assert_int_equal(run(x, bytes_of(x->packed.data, out.pos), CAP), FAILURE);
    assert_int_equal(x->failure.status, 400);
    ZSTD_freeCCtx(c);
    buf_deinit(&plain);
}

static void plain_bytes_are_a_view_of_the_input(void **state)
{
    struct fixture *x = *state;
    const struct bytes in = BYTES_LIT("\x0a\x04plain");

    assert_int_equal(inflate(x->inf, in, 100, &x->out, &x->got, &x->failure), 0);
    assert_ptr_equal(x->got.data, in.data);
    assert_int_equal(x->got.len, in.len);
}

static int note_format(void *ctx, struct profile *p, const struct profile_about *about,
                       struct failure *f)
{
    (void)p;
    (void)f;
    *(const char **)ctx = about->format;
    return 0;
}

static void decode_as(const char *hint, struct bytes body, const char *expected_format, int status)
{
    const struct decode_limits limits = {.inflated_max_bytes = CAP,
                                         .profile = profile_limits_default};
    struct decoder *d = decoder_new(&limits);
    struct symbols *sym = symbols_new();
    struct stacks *st = stacks_new();
    struct failure failure = {0};
    struct decode_stats stats = {0};
    const char *format = NULL;
    struct profile p;
    struct reading rd = {.hints.format = bytes_str(hint),
                         .into = &p,
                         .stats = &stats,
                         .emit = note_format,
                         .ctx = &format,
                         .f = &failure};
    int r;

    profile_init(&p, sym, st);
    r = decode(d, body, &rd);
    assert_int_equal(r ? failure.status : 0, status);
    if (expected_format)
        assert_string_equal(format, expected_format);
    else
        assert_null(format);
    profile_deinit(&p);
    stacks_free(st);
    symbols_free(sym);
    decoder_free(d);
}

static void decode_bytes(struct bytes body, const char *expected_format, int status)
{
    decode_as(NULL, body, expected_format, status);
}

static void the_request_s_word_counts_before_the_first_bytes(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write("1{1:1 2:2} 2{1[1] 2[7]} 4{1:1 4{1:1}} 5{1:1 2:3} 6\"\" 6\"cpu\" 6\"ns\" 6\"f\"",
               &raw);
    decode_as("pprof", buf_bytes(&raw), "pprof", 0);
    decode_as("pprof", BYTES_LIT("main;work 5\n"), NULL, 400);
    decode_as("pprof", BYTES_LIT(""), NULL, 400);
    decode_as("lines", BYTES_LIT("main;work 5\n"), "lines", 0);
    decode_as("folded", BYTES_LIT("main;work 5\n"), "folded", 0);
    decode_as("gprof", buf_bytes(&raw), NULL, 415);
    assert_int_equal(x->failure.status, 0);
    buf_deinit(&raw);
}

static void a_body_is_known_by_its_first_bytes(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write("1{1:1 2:2} 2{1[1] 2[7]} 4{1:1 4{1:1}} 5{1:1 2:3} 6\"\" 6\"cpu\" 6\"ns\" 6\"f\"",
               &raw);
    decode_bytes(buf_bytes(&raw), "pprof", 0);
    for (int c = 0; c < N_CODECS; c++) {
        buf_reset(&x->packed);
        codecs[c](x, buf_bytes(&raw));
        decode_bytes(buf_bytes(&x->packed), "pprof", 0);
    }
    decode_bytes(bytes_of(raw.data, raw.len - 1), NULL, 400);
    decode_bytes(BYTES_LIT(""), NULL, 400);
    decode_bytes(BYTES_LIT("main;work 5\n"), "folded", 0);
    decode_bytes(BYTES_LIT("{\"traces\": []}"), NULL, 415);
    decode_bytes(BYTES_LIT("FLR\0\0\2\0\1"), NULL, 400); /* a recording, cut off */
    decode_bytes(BYTES_LIT("PK\3\4"), NULL, 415);
    decode_bytes(BYTES_LIT("\x1f\x8b\x08"), NULL, 400);
    decode_bytes(BYTES_LIT("\x7f"
                           "ELF"),
                 NULL, 415);
    buf_deinit(&raw);
}

/* Protobuf allows any order, and its bytes may look like a text's. */
static void a_pprof_is_known_in_any_order_of_its_fields(void **state)
{
    static const char fields[][40] = {"1{1:1 2:2}",
                                      "2{1[1] 2[7]}",
                                      "3{1:1 3:4096}",
                                      "4{1:1 2:1 4{1:1}}",
                                      "5{1:1 2:3}",
                                      "6\"\" 6\"cpu\" 6\"ns\" 6\"f\"",
                                      "7:2",
                                      "8:0",
                                      "9:1764000000000000000",
                                      "10:30000000000",
                                      "11{1:1 2:2}",
                                      "12:10000000",
                                      "13:3",
                                      "14:1",
                                      "15:2",
                                      "16:7",
                                      "1000\"x\""};
    enum { N = sizeof fields / sizeof *fields };
    static const char *const like_text[] = {
        "12:32 7:10",      "15:32 7:10", "9:32 7:10", "13:32 7:10", "2{1[33 32 50 10 65] 2[1]}",
        "3{1:1 5:32} 7:10"};
    struct buf raw = {0}, text = {0};

    (void)state;
    for (int step = 1; step < N; step += 3) /* N is a prime: each step goes round */
        for (int first = 0; first < N; first++) {
            buf_reset(&raw);
            buf_reset(&text);
            for (int i = 0; i < N; i++)
                buf_printf(&text, "%s ", fields[(first + i * step) % N]);
            wire_write(buf_cstr(&text), &raw);
            decode_bytes(buf_bytes(&raw), "pprof", 0);
        }
    for (size_t i = 0; i < sizeof like_text / sizeof *like_text; i++) {
        buf_reset(&raw);
        wire_write(like_text[i], &raw);
        wire_write("1{1:1 2:2} 6\"\" 6\"cpu\" 6\"ns\"", &raw);
        assert_string_equal(decode_format_of(buf_bytes(&raw)), "pprof");
    }
    buf_deinit(&raw);
    buf_deinit(&text);
}

static void what_only_looks_like_a_pprof_is_not_taken_for_one(void **state)
{
    struct buf raw = {0};

    (void)state;
    assert_string_equal(decode_format_of(BYTES_LIT("` 8\n")), "folded");
    assert_string_equal(decode_format_of(BYTES_LIT("x;2 8\n")), "folded");
    /* Each "p;" is a tag and a number: a function of a short name that calls itself. */
    assert_string_equal(
        decode_format_of(BYTES_LIT("p;p;p;p;p;p;p;p;p;p;p;p;p;p;p;p;p;p;p;p 10\n")), "folded");
    /* OTLP: a resource, a scope, a dictionary with the empty string first. */
    wire_write("1{1{} 2{1{}}} 2{1{} 5\"\" 5\"cpu\" 6{1:1}}", &raw);
    assert_string_equal(decode_format_of(buf_bytes(&raw)), "otlp");
    buf_reset(&raw);
    wire_write("6\"\" 16:1 1:1", &raw); /* a number where Profile has a message */
    assert_null(decode_format_of(buf_bytes(&raw)));
    buf_deinit(&raw);
}

static void assert_written(const struct tree *t, const struct symbols *sym,
                           const char *const *lines)
{
    struct buf out = {0};
    size_t len = 0;

    folded_write(t, sym, &out);
    for (; *lines; lines++) {
        assert_non_null(strstr(buf_cstr(&out), *lines));
        len += strlen(*lines);
    }
    assert_int_equal(out.len, len);
    buf_deinit(&out);
}

static void a_tree_is_written_as_folded_lines(void **state)
{
    struct symbols *sym = symbols_new();
    struct tree t = {0}, b = {0}, out = {0};
    const struct tree *in[] = {&t, &b};

    (void)state;
    build_tree(&t, sym, "main;work 5\nmain 1\nmain;work;libc.so+0x10 -2\na\tb;x 3\n 4");
    assert_written(&t, sym,
                   (const char *[]){"main;work 5\n", "main 1\n", "main;work;libc.so+0x10 -2\n",
                                    "a_b;x 3\n", "(no stack) 4\n", NULL});
    build_tree(&b, sym, "main;work 7\nnew 1");
    build_tree(&t, sym, "main;work 5");
    tree_zip(&out, 2, in, (uint8_t[]){0, 1}, 2, sym);
    assert_written(&out, sym, (const char *[]){"main;work 5 7\n", "new 0 1\n", NULL});
    build_tree(&t, sym, "a 5\nb 2\nc 1");
    tree_prune(&out, &t, 3);
    assert_written(&out, sym, (const char *[]){"a 5\n", "(other) 3\n", NULL});
    tree_deinit(&t);
    tree_deinit(&b);
    tree_deinit(&out);
    symbols_free(sym);
}

static void text_is_utf8_or_becomes_it(void **state)
{
    static const struct {
        struct bytes in;
        const char *repaired; /* NULL: valid as it is */
    } cases[] = {
        {BYTES_LIT(""), NULL},
        {BYTES_LIT("plain ascii, longer than a word"), NULL},
        {BYTES_LIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\xa5\xf4\x8f\xbf\xbf\xed\x9f\xbf"), NULL},
        {BYTES_LIT("\0"), NULL},
        {BYTES_LIT("\x80"), "\xef\xbf\xbd"},
        {BYTES_LIT("ab\xc3"), "ab\xef\xbf\xbd"},
        {BYTES_LIT("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
        {BYTES_LIT("\xe0\x80\xaf"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {BYTES_LIT("\xf5z"), "\xef\xbf\xbdz"},
        {BYTES_LIT("\xe2\x82z"), "\xef\xbf\xbd\xef\xbf\xbdz"},
        {BYTES_LIT("longer than eight\xff"), "longer than eight\xef\xbf\xbd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};

        assert_int_equal(utf8_valid(cases[i].in), cases[i].repaired == NULL);
        utf8_repair(cases[i].in, &out);
        assert_true(utf8_valid(buf_bytes(&out)));
        if (cases[i].repaired)
            assert_string_equal(buf_cstr(&out), cases[i].repaired);
        else
            assert_true(bytes_equal(buf_bytes(&out), cases[i].in));
        buf_deinit(&out);
    }
    assert_int_equal(utf8_cut(BYTES_LIT("a\xe2\x82\xac"), 3).len, 1);
    assert_int_equal(utf8_cut(BYTES_LIT("a\xe2\x82\xac"), 4).len, 4);
    assert_int_equal(utf8_cut(BYTES_LIT("abc"), 2).len, 2);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(each_codec_gives_back_the_bytes),
        FIXTURE_TEST(frames_in_a_row_are_one_stream_under_one_cap),
        FIXTURE_TEST(the_cap_is_exact),
        FIXTURE_TEST(a_bomb_is_stopped_at_the_cap),
        FIXTURE_TEST(every_truncation_is_malformed),
        FIXTURE_TEST(a_gzip_that_lies_about_its_size_is_not_believed),
        FIXTURE_TEST(a_zstd_window_beyond_16_mib_is_refused),
        FIXTURE_TEST(plain_bytes_are_a_view_of_the_input),
        FIXTURE_TEST(a_body_is_known_by_its_first_bytes),
        cmocka_unit_test(a_pprof_is_known_in_any_order_of_its_fields),
        cmocka_unit_test(what_only_looks_like_a_pprof_is_not_taken_for_one),
        FIXTURE_TEST(the_request_s_word_counts_before_the_first_bytes),
        cmocka_unit_test(a_tree_is_written_as_folded_lines),
        cmocka_unit_test(text_is_utf8_or_becomes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
