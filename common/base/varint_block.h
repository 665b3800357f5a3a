/*
 * Varints by blocks, for columns of numbers of which nearly all have one byte or two. Read one by
 * one, where a number begins depends on how long the one before is, which cannot be foreseen. Here
 * every byte of a block is taken for the first of a number, and what that number would be is
 * computed for all bytes at once; those that are first indeed are the ones to use:
 *
 *     for (uint64_t first = block.first; first; first &= first - 1)
 *         use(block.number[__builtin_ctzll(first)]);
 *
 * (The idea of masks of first bytes is of J. Plaisance et al., Vectorized VByte Decoding, 2015.)
 */
#ifndef HEARTH_BASE_VARINT_BLOCK_H
#define HEARTH_BASE_VARINT_BLOCK_H

#include "base/bytes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes. */
enum { VARINT_BLOCK = 64 };

struct varint_block {
    uint64_t first;  /* bit i: a number begins at byte i */
    bool has_longer; /* some number has more than two bytes, and is not in number */
    bool goes_on;    /* the last byte does not end its number; the next block has to know */
    uint16_t number[VARINT_BLOCK]; /* [byte] what begins there, if it is one that is first */
};

/* Of 16 bytes: which have their high bit, and number. */
static inline uint32_t varint_cut_16_portable(const uint8_t *at, uint16_t *number)
{
    uint32_t high_bits = 0;

    for (unsigned i = 0; i < 16; i++) {
        uint32_t goes_on = at[i] >> 7;

        high_bits |= goes_on << i;
        number[i] = (uint16_t)((at[i] & 0x7f) | ((uint32_t)at[i + 1] << 7 & (0 - goes_on)));
    }
    return high_bits;
}

#ifdef __SSE2__
static inline uint32_t varint_cut_16(const uint8_t *at, uint16_t *number)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i low = _mm_loadu_si128((const __m128i *)at);
    __m128i next = _mm_loadu_si128((const __m128i *)(at + 1));
    __m128i high = _mm_and_si128(next, _mm_cmplt_epi8(low, zero)); /* where it goes on */
    __m128i seven = _mm_andnot_si128(_mm_set1_epi8(-128), low);
    __m128i a = _mm_srli_epi16(_mm_unpacklo_epi8(zero, high), 1);
    __m128i b = _mm_srli_epi16(_mm_unpackhi_epi8(zero, high), 1);

    a = _mm_or_si128(a, _mm_unpacklo_epi8(seven, zero));
    b = _mm_or_si128(b, _mm_unpackhi_epi8(seven, zero));
    _mm_storeu_si128((__m128i *)number, a);
    _mm_storeu_si128((__m128i *)(number + 8), b);
    return (uint32_t)_mm_movemask_epi8(low);
}
#else
#define varint_cut_16 varint_cut_16_portable
#endif

/* The next block, which begins at `at`; of it n > 0 bytes count, but VARINT_BLOCK + 1 can be read.
 * The last byte of all ends a number. Before the first block, b->goes_on is false. */
static inline void varint_block_cut(struct varint_block *b, const uint8_t *at, size_t n)
{
    uint64_t there = n < VARINT_BLOCK ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
    uint64_t high_bits = varint_cut_16(at, b->number), inner;

    if (n > 16)
        high_bits |= (uint64_t)varint_cut_16(at + 16, b->number + 16) << 16;
    if (n > 32) {
        high_bits |= (uint64_t)varint_cut_16(at + 32, b->number + 32) << 32;
        high_bits |= (uint64_t)varint_cut_16(at + 48, b->number + 48) << 48;
    }
    high_bits &= there;
    inner = high_bits << 1 | b->goes_on;
    b->first = there & ~inner;
    b->goes_on = high_bits >> 63;
    b->has_longer = (high_bits & inner) != 0 || (b->goes_on && at[VARINT_BLOCK] >= 0x80);
}

#endif
