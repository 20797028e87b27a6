// Activations on their own, and the way back through an activation and a dropout inside C and F.
//
//   forward:  dst = act(src), or dst = act(dst) where IN_PLACE
//   backward: d_dst = d_dst * act'(dst), in place, from the output alone: every activation here allows it
//   dropout:  dst = keep ? src / (1 - p) : 0, in place; keep where word(element) >= THRESHOLD = round(p * 2^32)
//
// `element` counts [batch, height, width, channels] without gaps, so the mask does not depend on the layout. The mask is
// drawn again in the backward pass (prelude.cl), never stored; the host draws the same bits.
//
// Defines: ACT; C, W, H; DROPOUT where there is one, with THRESHOLD, SCALE = 1 / (1 - p) and LAYER, the generator's
// object; MASK_GIVEN where the mask is an argument (a byte an element, 1 keeps) and not drawn.
// One work-item a value, dimension 0 running along a row's W * C numbers, or (FOR_ROW) a row.

#define PURPOSE_DROPOUT 2u

#ifdef MASK_GIVEN
#define DRAW_ARGUMENTS , __global const uchar *mask
#define KEEP(element) (mask[element] != 0)
#else
#define DRAW_ARGUMENTS , const uint step, const uint seed_low, const uint seed_high
#define KEEP(element) (philox_word((uint)(element), PURPOSE_DROPOUT, LAYER, step, seed_low, seed_high) >= THRESHOLD)
#endif

// keep(i) for the numbers i of a row, in order, the first being `first` of all: BODY sees `i` and `kept`. A work-item that has a
// row draws eight blocks of the generator, of four words each, at a time (PoCL 3.1, two cores, 131,072 values, 2026-11-25: 4.8 ms
// for a word at a time, 0.6 ms so).
#if defined(ROW_ITEM) && !defined(MASK_GIVEN)
#define BLOCKS 8
#define FOR_DRAWN(i, kept, first, count, BODY)                                                  \
    for (uint block = (uint)(first) / 4; block * 4 < (uint)(first) + (count); block += BLOCKS) { \
        uint words[4 * BLOCKS];                                                                 \
        philox_blocks(block, PURPOSE_DROPOUT, LAYER, step, seed_low, seed_high, words);         \
        const int start = (int)(block * 4 - (uint)(first));                                     \
        const int from = max(start, 0), to = min(start + 4 * BLOCKS, (int)(count));             \
        for (int i = from; i < to; ++i) {                                                       \
            const bool kept = words[i - start] >= THRESHOLD;                                    \
            BODY                                                                                \
        }                                                                                       \
    }
#else
#define FOR_DRAWN(i, kept, first, count, BODY)                                                  \
    FOR_ROW(i, count)                                                                           \
    {                                                                                           \
        const bool kept = KEEP((first) + i);                                                    \
        BODY                                                                                    \
    }
#endif

#define PLACE_IN(T) (T##_O + n * T##_N + y * T##_H + i / C * T##_W + i % C)

#ifdef FORWARD
__kernel void activation_forward(
#ifndef IN_PLACE
    __global const REAL *restrict src,
#endif
    __global REAL *restrict dst)
{
    const int y = get_global_id(1), n = get_global_id(2);
    FOR_ROW(i, W * C)
    {
#ifdef IN_PLACE
        const REAL value = dst[PLACE_IN(DST)];
#else
        const REAL value = src[PLACE_IN(SRC)];
#endif
        dst[PLACE_IN(DST)] = ACTIVATE(REAL, value);
    }
}
#endif

#ifdef DROPOUT_FORWARD
__kernel void dropout_forward(__global REAL *restrict dst DRAW_ARGUMENTS)
{
    const int y = get_global_id(1), n = get_global_id(2);
    FOR_DRAWN(i, kept, (n * H + y) * (W * C), W * C, {
        const REAL value = dst[PLACE_IN(DST)];
        dst[PLACE_IN(DST)] = kept ? value * SCALE : (REAL)0;
    })
}
#endif

#ifdef OUTPUT_BACKWARD
// Back through a layer's own dropout and activation, in place on its d_dst. Without ACT no dst is read.
__kernel void output_backward(
#if ACT != 0
    __global const REAL *restrict dst,
#endif
    __global REAL *restrict d_dst
#ifdef DROPOUT
    DRAW_ARGUMENTS
#endif
)
{
    const int y = get_global_id(1), n = get_global_id(2);
#ifdef DROPOUT
    FOR_DRAWN(i, kept, (n * H + y) * (W * C), W * C, {
        REAL factor = kept ? SCALE : (REAL)0;
#else
    FOR_ROW(i, W * C)
    {
        REAL factor = 1;
#define SCALE ((REAL)1)
#endif
#if ACT != 0
        const REAL value = dst[PLACE_IN(DST)] / SCALE; // what the activation gave, where it was kept
        factor *= ACTIVATE_BACKWARD(REAL, value);
#endif
        d_dst[PLACE_IN(D_DST)] *= factor;
#ifdef DROPOUT
    })
#else
    }
#endif
}
#endif
