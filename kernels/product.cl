// The implicit matrix product behind C and F: forward, input gradient, weight gradient. No im2col.
//
//   dst[n, oy, ox, o]   = act(bias[o] + sum over ky, kx, i of src[n, oy*SY + ky - PY, ox*SX + kx - PX, i] * w[o, i, ky, kx])
//   d_src[n, y, x, i]   = sum over o, ky, kx of d_dst[n, oy, ox, o] * w[o, i, ky, kx]  where oy*SY + ky - PY = y, same for x
//   d_weight[o,i,ky,kx] = sum over n, oy, ox of d_dst[n, oy, ox, o] * src[n, oy*SY + ky - PY, ox*SX + kx - PX, i]
//
// A fully connected layer is the same product with N = 1, one row, a batch of "pixels" and a 1 x 1 filter.
//
// Defines: N images; IH IW input rows and columns, OH OW output; KY KX filter, SY SX stride, PY PX padding;
// G groups; IC OC input and output channels of ONE group; strides SRC_*, DST_*, D_SRC_*, D_DST_* (prelude.cl).
// weight: panels [G][PANELS][KY][KX][IC][NR]: NR neighbouring outputs side by side, zeros where a last panel has no output.
// bias:   [G * OC].
// src has as many zero columns beside its rows as any window reads; rows outside the image are skipped.

// --- naive: one work-item a value. The text to learn from, and the variant for devices without a better one. ---

#define WEIGHT(w, g, o, ky, kx, i) \
    (w)[((((g) * PANELS + (o) / NR) * KY + (ky)) * KX + (kx)) * IC * NR + (i) * NR + (o) % NR]

#ifdef FORWARD_NAIVE
__kernel void product_forward_naive(__global const REAL *src, __global const REAL *weight,
#ifdef BIAS
                                    __global const REAL *bias,
#endif
                                    __global REAL *dst)
{
    const int channel = get_global_id(0), pixel = get_global_id(1), n = get_global_id(2);
    const int g = channel / OC, o = channel % OC, oy = pixel / OW, ox = pixel % OW;
    REAL total = 0;
    for (int ky = 0; ky < KY; ++ky) {
        const int y = oy * SY + ky - PY;
        if (y < 0 || y >= IH)
            continue;
        REAL sum = 0; // one sum a filter row: shorter sums round less
        for (int kx = 0; kx < KX; ++kx) {
            const int x = ox * SX + kx - PX;
            if (x < 0 || x >= IW)
                continue;
            for (int i = 0; i < IC; ++i)
                sum += src[SRC_O + n * SRC_N + y * SRC_H + x * SRC_W + g * IC + i] * WEIGHT(weight, g, o, ky, kx, i);
        }
        total += sum;
    }
#ifdef BIAS
    total += bias[channel];
#endif
    dst[DST_O + n * DST_N + oy * DST_H + ox * DST_W + channel] = ACTIVATE(REAL, total);
}
#endif

#ifdef BACKWARD_DATA_NAIVE
__kernel void product_backward_data_naive(__global const REAL *weight, __global const REAL *d_dst, __global REAL *d_src)
{
    const int channel = get_global_id(0), pixel = get_global_id(1), n = get_global_id(2);
    const int g = channel / IC, i = channel % IC, y = pixel / IW, x = pixel % IW;
    REAL total = 0;
    for (int ky = 0; ky < KY; ++ky) {
        const int oy = (y + PY - ky) / SY;
        if (y + PY < ky || (y + PY - ky) % SY != 0 || oy >= OH)
            continue;
        for (int kx = 0; kx < KX; ++kx) {
            const int ox = (x + PX - kx) / SX;
            if (x + PX < kx || (x + PX - kx) % SX != 0 || ox >= OW)
                continue;
            REAL sum = 0;
            for (int o = 0; o < OC; ++o)
                sum += d_dst[D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + g * OC + o] * WEIGHT(weight, g, o, ky, kx, i);
            total += sum;
        }
    }
    d_src[D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W + channel] = total;
}
#endif

// With UPDATE the weight gradient is not stored: the step that knows it changes the weights, which the input gradient has
// read by then.
#ifdef UPDATE
#define WEIGHT_TARGET __global REAL *value, __global REAL *velocity, const REAL rate
#else
#define WEIGHT_TARGET __global REAL *sums
#endif

#ifdef BACKWARD_WEIGHT_NAIVE
// One work-item a packed weight, the panels' empty columns included (they get 0).
__kernel void product_backward_weight_naive(__global const REAL *src, __global const REAL *d_dst, WEIGHT_TARGET)
{
    const int lane = get_global_id(0) % NR, depth = get_global_id(0) / NR, panel = get_global_id(1);
    const int g = panel / PANELS, o = (panel % PANELS) * NR + lane;
    const int i = depth % IC, kx = depth / IC % KX, ky = depth / (IC * KX);
    REAL total = 0;
    if (o < OC) {
        for (int n = 0; n < N; ++n)
            for (int oy = 0; oy < OH; ++oy) {
                const int y = oy * SY + ky - PY;
                if (y < 0 || y >= IH)
                    continue;
                REAL sum = 0; // one sum a row
                for (int ox = 0; ox < OW; ++ox) {
                    const int x = ox * SX + kx - PX;
                    if (x >= 0 && x < IW)
                        sum += src[SRC_O + n * SRC_N + y * SRC_H + x * SRC_W + g * IC + i] *
                               d_dst[D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + g * OC + o];
                }
                total += sum;
            }
    }
    const size_t at = (panel * KY * KX * IC + depth) * NR + lane;
#ifdef UPDATE
    if (o < OC)
        MOVE(REAL, value[at], velocity[at], total)
#else
    sums[at] = total;
#endif
}
#endif

// --- tiled: one work-item is one register tile of MR x NR values, NR = NV vectors of VW. For CPUs. ---
//
// Local size 1, no barriers, no local memory: PoCL keeps the MR * NV accumulators in vector registers. A tile that would
// overhang is shifted back to overlap its neighbour (both write the same values), so no tile is masked along pixels.
// RUN: source numbers that follow each other for one filter row (KX * IC where pixels are dense and G is 1, else IC).
// Against the naive variant: 1.2 -> 200 GFLOP/s on two cores with 512-bit vectors (2026-11-24).

#define RUNS (KY * KX * IC / RUN)
#define LINE_RUNS (KX * IC / RUN) // of a filter row

// Sums of more than BLOCK terms are taken in blocks: a long float sum loses digits.
#ifndef BLOCK
#define BLOCK 512
#endif

#ifdef FORWARD_TILED
// One work-item: a row of a panel, tile by tile; with POOL two rows, whose tiles are two high, and of each 2 x 2 window the
// largest value alone is stored (prelude.cl).
#ifdef POOL
#define TALL 2
#else
#define TALL 1
#endif
#define WIDE (MR / TALL)
#define PIXEL(m) ((m) / WIDE * (SY * SRC_H) + (m) % WIDE * (SX * SRC_W))
#if RUN > BLOCK
#define MULTIPLY_PART(FIRST, LAST)                                                              \
    for (int k0 = 0; k0 < RUN; k0 += BLOCK) {                                                   \
        const int count = min(BLOCK, RUN - k0);                                                 \
        MULTIPLY(acc, FIRST, LAST, a + k0, PIXEL(m), b + k0 * NR, count)                        \
        FOR_ROWS(FIRST, LAST, m, v) { total[m][v] += acc[m][v]; acc[m][v] = (REALV)(0); }     \
    }
#else
#define MULTIPLY_PART(FIRST, LAST) MULTIPLY(acc, FIRST, LAST, a, PIXEL(m), b, RUN)
#endif
__kernel void product_forward_tiled(__global const REAL *src, __global const REAL *weight,
#ifdef BIAS
                                    __global const REAL *bias,
#endif
                                    __global REAL *dst PLACE_ARGUMENT)
{
    const int row = get_global_id(0), panel = get_global_id(1), g = panel / PANELS, o = (panel % PANELS) * NR;
    const int n = row / (OH / TALL), oy = row % (OH / TALL) * TALL, valid = OC - o;
    __global const REAL *b0 = weight + (size_t)panel * (KY * KX * IC * NR);
    REALV add[NV];
#ifdef BIAS
    _Pragma("unroll") for (int v = 0; v < NV; ++v) add[v] = VLOAD(bias + g * OC + o + v * VW); // past the end: slack
#else
    _Pragma("unroll") for (int v = 0; v < NV; ++v) add[v] = (REALV)(0);
#endif
    for (int tile = 0; tile < TILES; ++tile) {
        const int ox = min(tile * WIDE, OW - WIDE);
        REALV acc[MR][NV];
        FOR_TILE(m, v) acc[m][v] = (REALV)(0);
#if RUN > BLOCK
        REALV total[MR][NV];
        FOR_TILE(m, v) total[m][v] = (REALV)(0);
#endif
        __global const REAL *a0 = src + SRC_O + n * SRC_N + (ox * SX - PX) * SRC_W + g * IC;
        for (int run = 0; run < RUNS; ++run) {
            const int ky = run / LINE_RUNS, kx = run % LINE_RUNS;
            const int y = oy * SY + ky - PY;
            __global const REAL *a = a0 + y * SRC_H + kx * SRC_W;
            __global const REAL *b = b0 + run * (RUN * NR);
#if TALL == 1
            if (y < 0 || y >= IH)
                continue;
            MULTIPLY_PART(0, MR)
#else
            if (y >= 0 && y + SY < IH) {
                MULTIPLY_PART(0, MR)
            } else if (y >= 0 && y < IH) { // the other row's lies outside
                MULTIPLY_PART(0, WIDE)
            } else if (y + SY >= 0 && y + SY < IH) {
                MULTIPLY_PART(WIDE, MR)
            }
#endif
        }
#if RUN > BLOCK
        FOR_TILE(m, v) acc[m][v] = total[m][v];
#endif
        FOR_TILE(m, v) acc[m][v] = ACTIVATE(REALV, acc[m][v] + add[v]);
#if TALL == 1
        __global REAL *p = dst + DST_O + n * DST_N + oy * DST_H + ox * DST_W + g * OC + o;
        _Pragma("unroll") for (int m = 0; m < MR; ++m) { STORE_ROW(p + m * DST_W, acc[m], valid) }
#else
        const int py = oy / 2, px = ox / 2;
        __global REAL *p = dst + DST_O + n * DST_N + py * DST_H + px * DST_W + g * OC + o;
        const size_t first = (((size_t)n * (OH / 2) + py) * (OW / 2) + px) * (G * OC) + g * OC + o;
        _Pragma("unroll") for (int m = 0; m < WIDE / 2; ++m) _Pragma("unroll") for (int v = 0; v < NV; ++v) {
            if (v * VW < valid)
                STORE_LARGEST(acc[2 * m][v], acc[2 * m + 1][v], acc[WIDE + 2 * m][v], acc[WIDE + 2 * m + 1][v],
                              p + m * DST_W + v * VW, first + m * (G * OC) + v * VW, valid - v * VW)
        }
#endif
    }
}
#endif

#ifdef TRANSPOSE_WEIGHT
// weight panels over outputs -> panels over inputs [G][T_PANELS][KY][KX][OC][T_NR], zeros in the empty columns. A work-item
// transposes one block of T_NR inputs x NR outputs, which stays in the first cache. With TURN the filters are turned by half
// a turn too: the input gradient of stride 1 is the forward product of the output's gradient with them.
__kernel void product_transpose_weight(__global const REAL *weight, __global REAL *transposed)
{
    const int block = get_global_id(0), tap = get_global_id(1), panel = get_global_id(2);
    const int g = panel / T_PANELS, first = (panel % T_PANELS) * T_NR, o = block * NR;
    __global const REAL *from = weight + (((size_t)g * PANELS + block) * (KY * KX) + tap) * (IC * NR) + first * NR;
#ifdef TURN
    const int target = KY * KX - 1 - tap;
#else
    const int target = tap;
#endif
    __global REAL *to = transposed + ((size_t)panel * (KY * KX) + target) * (OC * T_NR) + o * T_NR;
    const int outputs = min(NR, OC - o), inputs = min(T_NR, IC - first);
    for (int j = 0; j < outputs; ++j) {
        for (int i = 0; i < inputs; ++i)
            to[j * T_NR + i] = from[i * NR + j];
        for (int i = inputs; i < T_NR; ++i)
            to[j * T_NR + i] = 0;
    }
}
#endif

#ifdef BACKWARD_DATA_TILED
// Here NR and PANELS are those of the transposed weights. With a stride, input columns fall into SX phases; a tile takes
// neighbours of one phase, which read neighbouring output columns.
__kernel void product_backward_data_tiled(__global const REAL *transposed, __global const REAL *d_dst, __global REAL *d_src)
{
    const int tile = get_global_id(0) % TILES, phase = get_global_id(0) / TILES % SX, row = get_global_id(0) / (TILES * SX);
    const int panel = get_global_id(1), n = row / IH, y = row % IH, g = panel / PANELS, i = (panel % PANELS) * NR;
    const int count = (IW - phase + SX - 1) / SX; // columns of this phase
    if (count < MR)
        return; // only where IW < SX, and then there are none
    const int j = min(tile * MR, count - MR);
    REALV acc[MR][NV];
    FOR_TILE(m, v) acc[m][v] = (REALV)(0);
#if OC > BLOCK
    REALV total[MR][NV];
    FOR_TILE(m, v) total[m][v] = (REALV)(0);
#endif
    for (int ky = 0; ky < KY; ++ky) {
        const int oy = (y + PY - ky) / SY;
        if (y + PY < ky || (y + PY - ky) % SY != 0 || oy >= OH)
            continue;
        for (int kx = 0; kx < KX; ++kx) {
            if ((phase + PX - kx) % SX != 0)
                continue;
            const int ox = j + (phase + PX - kx) / SX;
            __global const REAL *a = d_dst + D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + g * OC;
            __global const REAL *b = transposed + ((size_t)panel * (KY * KX) + ky * KX + kx) * (OC * NR);
#if OC > BLOCK
            for (int k0 = 0; k0 < OC; k0 += BLOCK) {
                const int terms = min(BLOCK, OC - k0);
                MULTIPLY_RUN(acc, a + k0, D_DST_W, b + k0 * NR, terms)
                FOR_TILE(m, v) { total[m][v] += acc[m][v]; acc[m][v] = (REALV)(0); }
            }
#else
            MULTIPLY_RUN(acc, a, D_DST_W, b, OC)
#endif
        }
    }
#if OC > BLOCK
    FOR_TILE(m, v) acc[m][v] = total[m][v];
#endif
    __global REAL *p = d_src + D_SRC_O + n * D_SRC_N + y * D_SRC_H + (phase + j * SX) * D_SRC_W + g * IC + i;
    const int valid = IC - i;
    _Pragma("unroll") for (int m = 0; m < MR; ++m) { STORE_ROW(p + m * SX * D_SRC_W, acc[m], valid) }
}
#endif

#ifdef BACKWARD_WEIGHT_TILED
// A tile is MR depths x NR outputs, summed over all pixels of one image: within one run, or over ROWS whole runs where they
// are short. A work-item takes a panel, a chunk of CHUNK images and every SPLIT-th tile, image by image, so that an image
// stays in the cache while all tiles pass over it (100 -> 150 GFLOP/s against a tile an item, 256-bit vectors, 2026-11-25);
// tiles add up in sums: [CHUNKS][packed weights].
#define TAP(m) (((m) / RUN) * SRC_H + (m) % RUN)
__kernel void product_backward_weight_tiled(__global const REAL *src, __global const REAL *d_dst, WEIGHT_TARGET)
{
    const int panel = get_global_id(1), chunk = get_global_id(2), g = panel / PANELS, o = (panel % PANELS) * NR;
    const int valid = OC - o, first = chunk * CHUNK, last = min(N, first + CHUNK);
#ifdef UPDATE
    const size_t own = (size_t)panel * (KY * KX * IC) * NR;
#else
    __global REAL *own = sums + ((size_t)chunk * (G * PANELS) + panel) * (KY * KX * IC) * NR;
#endif
    for (int n = first; n < last; ++n) {
        for (int t = get_global_id(0); t < RUNS / ROWS * TILES; t += SPLIT) {
            const int run = t / TILES * ROWS;
#if ROWS > 1
            const int start = 0;
#else
            const int start = min(t % TILES * MR, RUN - MR);
#endif
            const int ky = run / LINE_RUNS, kx = run % LINE_RUNS;
            REALV acc[MR][NV];
            FOR_TILE(m, v) acc[m][v] = (REALV)(0);
            for (int oy = 0; oy < OH; ++oy) {
                const int y = oy * SY + ky - PY;
#if ROWS == 1
                if (y < 0 || y >= IH)
                    continue;
#endif
                __global const REAL *a = src + SRC_O + n * SRC_N + y * SRC_H + (kx - PX) * SRC_W + g * IC + start;
                __global const REAL *b = d_dst + D_DST_O + n * D_DST_N + oy * D_DST_H + g * OC + o;
#if ROWS > 1
                if (y < 0 || y + ROWS > IH) { // some rows of the filter lie outside: the others alone
                    _Pragma("unroll") for (int m = 0; m < MR; ++m) {
                        if (y + m / RUN < 0 || y + m / RUN >= IH)
                            continue;
                        for (int ox = 0; ox < OW; ++ox)
                            _Pragma("unroll") for (int v = 0; v < NV; ++v)
                                acc[m][v] += (REALV)(a[ox * (SX * SRC_W) + TAP(m)]) * VLOAD(b + ox * D_DST_W + v * VW);
                    }
                    continue;
                }
#endif
                FOR_TERMS(ox, OW) {
                    REALV w[NV];
                    _Pragma("unroll") for (int v = 0; v < NV; ++v) w[v] = VLOAD(b + ox * D_DST_W + v * VW);
                    FOR_TILE(m, v) acc[m][v] += (REALV)(a[ox * (SX * SRC_W) + TAP(m)]) * w[v];
                }
            }
            // Tiles that were shifted back overlap their neighbour: their first rows are its, and already there.
            const int skip = t % TILES * MR - start;
#ifdef UPDATE
            __global REAL *p = value + own + (run * RUN + start) * NR, *q = velocity + own + (run * RUN + start) * NR;
#else
            __global REAL *p = own + (run * RUN + start) * NR;
#endif
            _Pragma("unroll") for (int m = 0; m < MR; ++m) {
                if (ROWS == 1 && m < skip)
                    continue;
#ifdef UPDATE
                REALV w[NV], change[NV];
                _Pragma("unroll") for (int v = 0; v < NV; ++v) {
                    w[v] = VLOAD(p + m * NR + v * VW);
                    change[v] = VLOAD(q + m * NR + v * VW);
                    MOVE(REALV, w[v], change[v], acc[m][v])
                }
                STORE_ROW(p + m * NR, w, valid)
                STORE_ROW(q + m * NR, change, valid)
                continue;
#else
                if (n > first)
                    _Pragma("unroll") for (int v = 0; v < NV; ++v) acc[m][v] += VLOAD(p + m * NR + v * VW);
                STORE_ROW(p + m * NR, acc[m], valid)
                // The columns that a last panel lacks were multiplied by the next pixel's numbers: they stay zero.
                for (int lane = max(valid, 0); lane < NR; ++lane)
                    p[m * NR + lane] = 0;
#endif
            }
        }
    }
}
#endif

// --- blocked: the tiled products of long sums, in blocks that stay in the first cache. ---
//
// A work-item takes a band of BAND output rows. All its tiles pass over a block before the next one comes, so what they share
// stays in the first cache; a tile's rows are neighbouring pixels of the band, whichever row they lie in, so that 13 columns
// do not cost as much as 16. Rows of windows that lie outside the image are left out of a band's rows, not of each tile.

// The rows from top to end, of those from y0 to y1, for which filter row ky lies within the image.
#define ROWS_INSIDE(top, end, y0, y1, ky)                                                       \
    int top = y0, end = y1;                                                                     \
    while (top < end && top * SY + (ky) - PY < 0)                                               \
        ++top;                                                                                  \
    while (top < end && (end - 1) * SY + (ky) - PY >= IH)                                       \
        --end;

#ifdef FORWARD_BLOCKED
// The block that stays are DEPTH of a run's weights; the band's sums are kept beside it. With POOL of each 2 x 2 window the
// largest value alone is stored. The input gradient of stride 1 is this product too, with turned weights.
// Against the tiled variant: 105 -> 160 GFLOP/s for 3x3, 384 to 384 channels, 13x13 (256-bit vectors, 2026-11-28).
__kernel void product_forward_blocked(__global const REAL *src, __global const REAL *weight,
#ifdef BIAS
                                      __global const REAL *bias,
#endif
                                      __global REAL *dst PLACE_ARGUMENT)
{
    const int panel = get_global_id(0), g = panel / PANELS, o = (panel % PANELS) * NR, valid = OC - o;
    const int n = get_global_id(1) / BANDS, y0 = get_global_id(1) % BANDS * BAND, y1 = min(y0 + BAND, OH);
    __global const REAL *b0 = weight + (size_t)panel * (KY * KX * IC * NR);
    REALV sums[BAND * OW][NV];
    for (int p = 0; p < (y1 - y0) * OW; ++p)
#ifdef BIAS
        _Pragma("unroll") for (int v = 0; v < NV; ++v) sums[p][v] = VLOAD(bias + g * OC + o + v * VW); // past the end: slack
#else
        _Pragma("unroll") for (int v = 0; v < NV; ++v) sums[p][v] = (REALV)(0);
#endif
    for (int run = 0; run < RUNS; ++run) {
        const int ky = run / LINE_RUNS, kx = run % LINE_RUNS;
        ROWS_INSIDE(top, end, y0, y1, ky)
        const int count = (end - top) * OW;
        REALV(*sum)[NV] = sums + (top - y0) * OW;
        __global const REAL *a0 = src + SRC_O + n * SRC_N + (top * SY + ky - PY) * SRC_H + (kx - PX) * SRC_W + g * IC;
        for (int k0 = 0; k0 < RUN; k0 += DEPTH) {
            const int terms = min(DEPTH, RUN - k0);
            __global const REAL *b = b0 + (run * RUN + k0) * NR;
            for (int p = 0; p < count; p += MR) {
                const int first = min(p, count - MR);
                __global const REAL *a[MR];
                _Pragma("unroll") for (int m = 0; m < MR; ++m)
                    a[m] = a0 + k0 + (first + m) / OW * (SY * SRC_H) + (first + m) % OW * (SX * SRC_W);
                REALV acc[MR][NV];
                FOR_TILE(m, v) acc[m][v] = (REALV)(0);
                FOR_TERMS(k, terms) {
                    REALV w[NV];
                    _Pragma("unroll") for (int v = 0; v < NV; ++v) w[v] = VLOAD(b + k * NR + v * VW);
                    FOR_TILE(m, v) acc[m][v] += (REALV)(a[m][k]) * w[v];
                }
                // The last tile overlaps its neighbour: its first rows are that one's, and already added.
                _Pragma("unroll") for (int m = 0; m < MR; ++m) if (first + m >= p)
                    _Pragma("unroll") for (int v = 0; v < NV; ++v) sum[first + m][v] += acc[m][v];
            }
        }
    }
#ifdef POOL
    for (int y = y0; y < y1; y += 2)
        for (int x = 0; x < OW; x += 2) {
            REALV(*at)[NV] = sums + (y - y0) * OW + x;
            __global REAL *p = dst + DST_O + n * DST_N + y / 2 * DST_H + x / 2 * DST_W + g * OC + o;
            const size_t first = (((size_t)n * (OH / 2) + y / 2) * (OW / 2) + x / 2) * (G * OC) + g * OC + o;
            _Pragma("unroll") for (int v = 0; v < NV; ++v) if (v * VW < valid) {
                const REALV a = ACTIVATE(REALV, at[0][v]), b = ACTIVATE(REALV, at[1][v]);
                const REALV c = ACTIVATE(REALV, at[OW][v]), d = ACTIVATE(REALV, at[OW + 1][v]);
                STORE_LARGEST(a, b, c, d, p + v * VW, first + v * VW, valid - v * VW)
            }
        }
#else
    __global REAL *to = dst + DST_O + n * DST_N + g * OC + o;
    for (int y = y0; y < y1; ++y)
        for (int x = 0; x < OW; ++x) {
            REALV row[NV];
            _Pragma("unroll") for (int v = 0; v < NV; ++v) row[v] = ACTIVATE(REALV, sums[(y - y0) * OW + x][v]);
            STORE_ROW(to + y * DST_H + x * DST_W, row, valid)
        }
#endif
}
#endif

#ifdef BACKWARD_WEIGHT_BLOCKED
// A work-item takes a panel and a chunk of CHUNK images, band by band. A tile's rows are MR of a line's LINE inputs, SIDE of
// them at a time: with PACK a line is a pixel's channels, else a run. What the tiles of a band read is packed beside each
// other before they do: the gradient's panel, and with PACK the SIDE channels of the columns that filter column kx reads.
// So bands of stride 1 are one loop over all pixels, and pixels far apart in memory do not share cache sets.
// Against the tiled variant: 90 -> 150 GFLOP/s for 5x5, 96 to 256 channels, 27x27; 66 -> 110 for 11x11, stride 4, 3 to 96
// channels, 55x55 (256-bit vectors, 2026-11-28).
#ifdef PACK
#define TURNS KX
#define A_ROW (OW * SIDE)
#define A_PIXEL SIDE
#else
#define TURNS 1
#define A_ROW SRC_H
#define A_PIXEL (SX * SRC_W)
#endif
#if defined(PACK) && SY == 1
#define JOINED BAND // rows that follow each other without a gap
#else
#define JOINED 1
#endif
__kernel void product_backward_weight_blocked(__global const REAL *src, __global const REAL *d_dst, __global REAL *sums)
{
    const int panel = get_global_id(0), chunk = get_global_id(1), g = panel / PANELS, o = (panel % PANELS) * NR;
    const int valid = OC - o, first = chunk * CHUNK, last = min(N, first + CHUNK);
    __global REAL *own = sums + ((size_t)chunk * (G * PANELS) + panel) * (KY * KX * IC) * NR;
    REALV gradient[BAND * OW][NV];
#ifdef PACK
    REAL source[((BAND - 1) * SY + KY) * A_ROW];
#endif
    for (int n = first; n < last; ++n)
        for (int y0 = 0; y0 < OH; y0 += BAND) {
            const int y1 = min(y0 + BAND, OH);
            for (int oy = y0; oy < y1; ++oy)
                for (int ox = 0; ox < OW; ++ox) {
                    __global const REAL *p = d_dst + D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + g * OC + o;
                    _Pragma("unroll") for (int v = 0; v < NV; ++v)
                        gradient[(oy - y0) * OW + ox][v] = load_part(p + v * VW, valid - v * VW);
                }
            for (int turn = 0; turn < (LINE + SIDE - 1) / SIDE * TURNS; ++turn) {
                const int begin = turn / TURNS * SIDE, kx = turn % TURNS, line = min(begin, LINE - SIDE);
#ifdef PACK
                const int high = max(y0 * SY - PY, 0), low = min((y1 - 1) * SY - PY + KY, IH);
                for (int y = high; y < low; ++y)
                    for (int x = 0; x < OW; ++x) {
                        __global const REAL *p = src + SRC_O + n * SRC_N + y * SRC_H + (x * SX + kx - PX) * SRC_W + g * IC + line;
                        REAL *to = source + (y - high) * A_ROW + x * SIDE;
                        _Pragma("unroll") for (int i = 0; i < SIDE; ++i) to[i] = p[i];
                    }
#endif
                for (int ky = 0; ky < KY; ++ky) {
                    ROWS_INSIDE(top, end, y0, y1, ky)
                    for (int tile = 0; tile < SIDE; tile += MR) {
                        // A tile that was shifted back overlaps its neighbour: its first rows are that one's.
                        const int start = min(tile, SIDE - MR), skip = max(begin - line, tile) - start;
                        if (skip >= MR)
                            continue;
                        REALV acc[MR][NV];
                        FOR_TILE(m, v) acc[m][v] = (REALV)(0);
                        for (int oy = top; oy < end; oy += JOINED) {
                            const int count = (JOINED > 1 ? end - top : 1) * OW;
#ifdef PACK
                            const REAL *a = source + (oy * SY + ky - PY - high) * A_ROW + start;
#else
                            __global const REAL *a = src + SRC_O + n * SRC_N + (oy * SY + ky - PY) * SRC_H - PX * SRC_W + line + start;
#endif
                            const REALV(*b)[NV] = gradient + (oy - y0) * OW;
                            FOR_TERMS(p, count) {
                                REALV w[NV];
                                _Pragma("unroll") for (int v = 0; v < NV; ++v) w[v] = b[p][v];
                                FOR_TILE(m, v) acc[m][v] += (REALV)(a[p * A_PIXEL + m]) * w[v];
                            }
                        }
                        __global REAL *p = own + ((ky * TURNS + kx) * LINE + line + start) * NR;
                        _Pragma("unroll") for (int m = 0; m < MR; ++m) if (m >= skip) {
                            if (n > first || y0 > 0)
                                _Pragma("unroll") for (int v = 0; v < NV; ++v) acc[m][v] += VLOAD(p + m * NR + v * VW);
                            _Pragma("unroll") for (int v = 0; v < NV; ++v) VSTORE(acc[m][v], p + m * NR + v * VW);
                        }
                    }
                }
            }
        }
}
#endif

// --- sums ---

#ifdef BACKWARD_BIAS
// d_bias[c] = sum over all pixels of d_dst. One work-item BLOCK channels of `chunk_rows` rows: sums [chunks][channels].
__kernel void product_backward_bias(__global const REAL *restrict d_dst, __global REAL *restrict sums, const ulong channels,
                                    const ulong rows, const ulong chunk_rows, const ulong height, const ulong width,
                                    const ulong origin, const ulong image, const ulong row, const ulong pixel)
{
    const size_t c0 = (size_t)get_global_id(0) * BLOCK, chunk = get_global_id(1), last = min((size_t)rows, (chunk + 1) * chunk_rows);
    const int count = min((size_t)BLOCK, channels - c0);
    REAL total[BLOCK], sum[BLOCK];
    for (int c = 0; c < count; ++c)
        total[c] = 0;
    for (size_t r = chunk * chunk_rows; r < last; ++r) {
        __global const REAL *p = d_dst + origin + r / height * image + r % height * row + c0;
        for (int c = 0; c < count; ++c)
            sum[c] = 0;
        for (size_t x = 0; x < width; ++x, p += pixel)
            for (int c = 0; c < count; ++c)
                sum[c] += p[c];
        for (int c = 0; c < count; ++c)
            total[c] += sum[c];
    }
    for (int c = 0; c < count; ++c)
        sums[chunk * channels + c0 + c] = total[c];
}
#endif

#ifdef SUM_CHUNKS
// dst[i] = sum over chunks of sums[chunk][i], in order: the same bits every time. One work-item a block of BLOCK numbers.
__kernel void product_sum_chunks(__global const REAL *restrict sums, __global REAL *restrict dst, const ulong count, const ulong chunks)
{
    const size_t first = (size_t)get_global_id(0) * BLOCK, last = min(first + BLOCK, (size_t)count);
    for (size_t i = first; i < last; ++i)
        dst[i] = sums[i];
    for (size_t chunk = 1; chunk < chunks; ++chunk)
        for (size_t i = first; i < last; ++i)
            dst[i] += sums[chunk * count + i];
}
#endif
