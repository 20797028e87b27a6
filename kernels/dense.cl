// The products of fully connected layers on CPUs: matrices of a batch of rows, each product blocked so that what is read
// again stays in a cache (product.cl has the formulas, of which this is N = 1, one row, a 1 x 1 filter).
//
//   dst[n, o]      = act(bias[o] + sum over i of src[n, i] * w[o, i])
//   d_src[n, i]    = sum over o of d_dst[n, o] * w[o, i]
//   d_weight[o, i] = sum over n of d_dst[n, o] * src[n, i]
//
// Defines: M rows; the tile MR NV VW, NR outputs of a panel. What differs between layers is an argument, so that they share
// compiled kernels: IC inputs, OC outputs, origin and row stride of the tensors, SRC_O SRC_W and so on.
// weight: [PANELS][IC][NR]. Tiles are MR x NR as in product.cl; the rows that a last tile lacks are done one by one.

#ifdef __has_builtin
#if __has_builtin(__builtin_prefetch)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p), 1, 3)
#endif
#endif
#ifndef PREFETCH
#define PREFETCH(p)
#endif

#define PANELS ((OC + NR - 1) / NR)
#define ROWS_OF(T) const int T##_O, const int T##_W

#ifdef DENSE_FORWARD
// One work-item: SIDE neighbouring panels of ROWS rows. A block of DEPTH weights of a panel stays in the first cache while all tiles
// pass, the rows' block in the second one from panel to panel (128 x 4704 x 1024: 9.4 ms with one panel, 7.8 with two); the
// panel's next block is fetched meanwhile. SUMS: as many as the layer of most ROWS and panels needs; raw: without ACT, which
// is then that of other layers.
#define FORWARD_TILE(R)                                                                         \
    {                                                                                           \
        REALV acc[R][NV];                                                                       \
        if (k0 == 0)                                                                            \
            FOR_ROWS(0, R, m, v) acc[m][v] = (REALV)(0);                                        \
        else                                                                                    \
            FOR_ROWS(0, R, m, v) acc[m][v] = VLOAD(sum + (row + m) * NR + v * VW);              \
        for (int j = row * ahead; j < (row + R) * ahead; j += 64 / (int)sizeof(REAL))           \
            PREFETCH(b + DEPTH * NR + j);                                                       \
        __global const REAL *a = src + SRC_O + (size_t)(first + row) * SRC_W + k0;              \
        FOR_TERMS(k, count) {                                                                   \
            REALV w[NV];                                                                        \
            _Pragma("unroll") for (int v = 0; v < NV; ++v) w[v] = VLOAD(b + k * NR + v * VW);   \
            FOR_ROWS(0, R, m, v) acc[m][v] += (REALV)(a[m * SRC_W + k]) * w[v];                 \
        }                                                                                       \
        FOR_ROWS(0, R, m, v) VSTORE(acc[m][v], sum + (row + m) * NR + v * VW);                  \
    }
__kernel void dense_forward(__global const REAL *restrict src, __global const REAL *restrict weight,
#ifdef BIAS
                            __global const REAL *restrict bias,
#endif
                            __global REAL *restrict dst, ROWS_OF(SRC), ROWS_OF(DST), const int IC, const int OC,
                            const int ROWS, const int SIDE, const int raw)
{
    const int first = get_global_id(1) * ROWS, rows = min(ROWS, M - first);
    const int panel0 = get_global_id(0) * SIDE, panels = min(SIDE, PANELS - panel0);
    const int ahead = ROWS > MR ? DEPTH * NR / ROWS : 0; // of the next block for each row
    REAL sums[SUMS];
    for (int k0 = 0; k0 < IC; k0 += DEPTH) {
        const int count = min(DEPTH, IC - k0);
        for (int panel = 0; panel < panels; ++panel) {
            __global const REAL *b = weight + ((size_t)(panel0 + panel) * IC + k0) * NR;
            REAL *sum = sums + panel * (ROWS * NR);
            int row = 0;
            for (; row + MR <= rows; row += MR)
                FORWARD_TILE(MR)
            for (; row < rows; ++row)
                FORWARD_TILE(1)
        }
    }
    for (int row = 0; row < rows; ++row)
        for (int panel = 0; panel < panels; ++panel)
            for (int v = 0; v < NR; v += VW) {
                const int o = (panel0 + panel) * NR + v;
                REALV value = VLOAD(sums + (panel * ROWS + row) * NR + v);
#ifdef BIAS
                value += load_part(bias + o, OC - o);
#endif
                value = raw ? value : ACTIVATE(REALV, value);
                STORE_PART(dst + DST_O + (size_t)(first + row) * DST_W + o, value, OC - o)
            }
}
#endif

// Rows of the transposed gradient: M in whole tiles.
#define WHOLE ((M + NV * VW - 1) / (NV * VW) * (NV * VW))

#ifdef DENSE_TRANSPOSE
// transposed [OC][WHOLE], zeros beyond M. One work-item: BLOCK outputs.
__kernel void dense_transpose(__global const REAL *restrict d_dst, __global REAL *restrict transposed, ROWS_OF(D_DST),
                              const int OC)
{
    const int first = get_global_id(0) * BLOCK, last = min(first + BLOCK, OC);
    for (int n = 0; n < WHOLE; ++n)
        for (int o = first; o < last; ++o)
            transposed[(size_t)o * WHOLE + n] = n < M ? d_dst[D_DST_O + (size_t)n * D_DST_W + o] : (REAL)0;
}
#endif

#ifdef DENSE_BACKWARD_DATA
// One work-item: INPUTS inputs of all rows, at most SUMS numbers. A tile is MR inputs x NV vectors of rows: weights are broadcast as they lie, two panels
// at a time in runs that follow each other, and never transposed (28 -> 14 ms for 32 x 9216 x 4096 against chunks of
// transposed weights; PoCL 3.1, two cores with 256-bit vectors, 2026-11-25).
#define DATA_TILE(R)                                                                            \
    {                                                                                           \
        REALV acc[R][NV];                                                                       \
        if (p0 == 0)                                                                            \
            FOR_ROWS(0, R, m, v) acc[m][v] = (REALV)(0);                                        \
        else                                                                                    \
            FOR_ROWS(0, R, m, v) acc[m][v] = VLOAD(sums + (i + m) * WHOLE + n + v * VW);        \
        for (int panel = p0; panel < p1; ++panel) {                                             \
            __global const REAL *a = weight + ((size_t)panel * IC + first + i) * NR;            \
            __global const REAL *b = transposed + (size_t)panel * NR * WHOLE + n;               \
            const int count = min(NR, OC - panel * NR);                                         \
            FOR_TERMS(o, count) {                                                               \
                REALV d[NV];                                                                    \
                _Pragma("unroll") for (int v = 0; v < NV; ++v) d[v] = VLOAD(b + o * WHOLE + v * VW); \
                FOR_ROWS(0, R, m, v) acc[m][v] += (REALV)(a[m * NR + o]) * d[v];                \
            }                                                                                   \
        }                                                                                       \
        FOR_ROWS(0, R, m, v) VSTORE(acc[m][v], sums + (i + m) * WHOLE + n + v * VW);            \
    }
__kernel void dense_backward_data(__global const REAL *restrict weight, __global const REAL *restrict transposed,
                                  __global REAL *restrict d_src, ROWS_OF(D_SRC), const int IC, const int OC,
                                  const int INPUTS)
{
    const int first = get_global_id(0) * INPUTS, inputs = min(INPUTS, IC - first);
    REAL sums[SUMS];
    for (int p0 = 0; p0 < PANELS; p0 += 2) {
        const int p1 = min(p0 + 2, PANELS);
        for (int n = 0; n < WHOLE; n += NV * VW) {
            int i = 0;
            for (; i + MR <= inputs; i += MR)
                DATA_TILE(MR)
            for (; i < inputs; ++i)
                DATA_TILE(1)
        }
    }
    for (int n = 0; n < M; ++n) {
        __global REAL *to = d_src + D_SRC_O + (size_t)n * D_SRC_W + first;
        for (int i = 0; i < inputs; ++i)
            to[i] = sums[i * WHOLE + n];
    }
}
#endif

#ifdef DENSE_BACKWARD_WEIGHT
// One work-item: INPUTS inputs of a panel, whose gradient of all rows stays in the first cache. With UPDATE the weights change by
// the gradient, which is never stored; those of the tile after next are fetched meanwhile (34 -> 18 ms for 32 x 9216 x 4096).
#define AHEAD 8
#ifdef UPDATE
#define WEIGHT_TARGET __global REAL *restrict value, __global REAL *restrict velocity, const REAL rate
#else
#define WEIGHT_TARGET __global REAL *restrict sums
#endif
#ifdef UPDATE
#define WEIGHT_TILE_FETCH(R)                                                                    \
    for (int j = 0; j < R * NR; j += 64 / (int)sizeof(REAL)) {                                  \
        PREFETCH(value + at + AHEAD * R * NR + j);                                              \
        PREFETCH(velocity + at + AHEAD * R * NR + j);                                           \
    }
#define WEIGHT_TILE_END(R)                                                                      \
    FOR_ROWS(0, R, m, v)                                                                        \
    {                                                                                           \
        const size_t place = at + m * NR + v * VW;                                              \
        REALV w = VLOAD(value + place), change = VLOAD(velocity + place);                       \
        MOVE(REALV, w, change, acc[m][v])                                                        \
        VSTORE(w, value + place);                                                               \
        VSTORE(change, velocity + place);                                                       \
    }
#else
#define WEIGHT_TILE_FETCH(R)
#define WEIGHT_TILE_END(R) FOR_ROWS(0, R, m, v) VSTORE(acc[m][v], sums + at + m * NR + v * VW);
#endif
#define WEIGHT_TILE(R)                                                                          \
    {                                                                                           \
        const size_t at = ((size_t)panel * IC + first + i) * NR;                                \
        REALV acc[R][NV];                                                                       \
        FOR_ROWS(0, R, m, v) acc[m][v] = (REALV)(0);                                            \
        __global const REAL *a = src + SRC_O + first + i;                                       \
        WEIGHT_TILE_FETCH(R)                                                                    \
        FOR_TERMS(n, M) {                                                                       \
            REALV d[NV];                                                                        \
            _Pragma("unroll") for (int v = 0; v < NV; ++v) d[v] = VLOAD(upstream + n * NR + v * VW); \
            FOR_ROWS(0, R, m, v) acc[m][v] += (REALV)(a[(size_t)n * SRC_W + m]) * d[v];         \
        }                                                                                       \
        WEIGHT_TILE_END(R)                                                                      \
    }
__kernel void dense_backward_weight(__global const REAL *restrict src, __global const REAL *restrict d_dst, WEIGHT_TARGET,
                                    ROWS_OF(SRC), ROWS_OF(D_DST), const int IC, const int OC, const int INPUTS)
{
    const int first = get_global_id(0) * INPUTS, inputs = min(INPUTS, IC - first), panel = get_global_id(1), o = panel * NR;
    REAL upstream[M * NR];
    for (int n = 0; n < M; ++n)
        for (int v = 0; v < NR; v += VW)
            VSTORE(load_part(d_dst + D_DST_O + (size_t)n * D_DST_W + o + v, OC - o - v), upstream + n * NR + v);
    int i = 0;
    for (; i + MR <= inputs; i += MR)
        WEIGHT_TILE(MR)
    for (; i < inputs; ++i)
        WEIGHT_TILE(1)
}
#endif
