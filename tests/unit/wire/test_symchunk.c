#include "wire/symchunk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void grow(struct symbols *s, int from, int to)
{
    char name[32];

    for (int i = from; i < to; i++) {
        struct function f = {.start_line = -i};
        struct mapping m = {0};
        struct frame fr = {.line_or_address = (uint64_t)i << 40};

        snprintf(name, sizeof name, "function_%d", i);
        f.name = symbols_string(s, bytes_str(name));
        f.file = symbols_string(s, BYTES_LIT("a.c"));
        m.file = f.file;
        m.build_id = f.name;
        fr.function = i % 3 ? symbols_function(s, &f) : 0;
        fr.mapping = fr.function ? 0 : symbols_mapping(s, &m);
        symbols_frame(s, &fr);
    }
}

static void assert_same(const struct symbols *a, const struct symbols *b)
{
    assert_int_equal(symbols_n_strings(a), symbols_n_strings(b));
    assert_int_equal(symbols_n_functions(a), symbols_n_functions(b));
    assert_int_equal(symbols_n_mappings(a), symbols_n_mappings(b));
    assert_int_equal(symbols_n_frames(a), symbols_n_frames(b));
    for (uint32_t i = 0; i < symbols_n_strings(a); i++)
        assert_true(bytes_equal(symbols_text(a, i), symbols_text(b, i)));
    for (uint32_t i = 0; i < symbols_n_frames(a); i++) {
        const struct frame *x = symbols_get_frame(a, i), *y = symbols_get_frame(b, i);

        assert_true(x->function == y->function && x->mapping == y->mapping &&
                    x->line_or_address == y->line_or_address);
        assert_true(symbols_frame_hashes(a)[i] == symbols_frame_hashes(b)[i]);
    }
}

static void chunks_give_the_same_ids_again(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new(), *got = symbols_new();
    struct symbols_mark mark = {0};

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct buf out = {0};

        grow(s, i * 100, (i + 1) * 100);
        symchunk_encode(z, s, mark, &out);
        mark = symbols_mark(s);
        assert_int_equal(symchunk_decode(z, got, buf_bytes(&out)), 0);
        assert_same(s, got);
        buf_deinit(&out);
    }
    symbols_free(s);
    symbols_free(got);
    zcodec_free(z);
}

static void a_chunk_out_of_order_is_refused(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new(), *got = symbols_new();
    struct symbols_mark mark;
    struct buf first = {0}, second = {0};

    (void)state;
    grow(s, 0, 10);
    symchunk_encode(z, s, (struct symbols_mark){0}, &first);
    mark = symbols_mark(s);
    grow(s, 10, 20);
    symchunk_encode(z, s, mark, &second);
    assert_int_equal(symchunk_decode(z, got, buf_bytes(&second)), -EBADMSG);
    assert_int_equal(symchunk_decode(z, got, buf_bytes(&first)), 0);
    assert_int_equal(symchunk_decode(z, got, buf_bytes(&first)), -EBADMSG);
    assert_int_equal(symchunk_decode(z, got, buf_bytes(&second)), 0);
    assert_same(s, got);
    buf_deinit(&first);
    buf_deinit(&second);
    symbols_free(s);
    symbols_free(got);
    zcodec_free(z);
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new();
    struct buf out = {0};

    (void)state;
    grow(s, 0, 10);
    symchunk_encode(z, s, (struct symbols_mark){0}, &out);
    for (size_t i = 0; i < out.len; i++) {
        struct symbols *got = symbols_new();

        out.data[i] ^= 4;
        assert_int_equal(symchunk_decode(z, got, buf_bytes(&out)), -EBADMSG);
        out.data[i] ^= 4;
        assert_int_equal(symchunk_decode(z, got, bytes_of(out.data, i)), -EBADMSG);
        symbols_free(got);
    }
    buf_deinit(&out);
    symbols_free(s);
    zcodec_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_give_the_same_ids_again),
        cmocka_unit_test(a_chunk_out_of_order_is_refused),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
