// Convolutions of stride 1 by Winograd's minimal filtering (Lavin and Gray 2015, arXiv 1509.09308): tiles of MT x MT outputs
// from POINTS x POINTS inputs, POINTS = MT + KS - 1, with POINTS^2 products a channel pair in place of (MT * KS)^2.
//
// One dimension: y = A [(G g) * (B d)], d POINTS inputs, g KS weights, y MT outputs, * by element; in two dimensions each
// matrix is applied to rows and to columns. The points are 0, pairs +-p, and infinity:
//
//   A[i][p] = p^i, and 1 at infinity in the last row
//   G[p]    = (1, p, p^2, ...) / product over q != p of (p - q), and (0, ..., 0, 1) at infinity
//   B[p]    = coefficients of the product over q != p of (x - q), and of that over all finite q at infinity
//
// Points are not 0, +-1, +-2, ...: those of POINTS 6 err a quarter as much (float, 2026-11-24).
// The weight gradient is the same sum with the roles exchanged: d the input, g the upstream gradient's MT x MT, y KS x KS.
//
// Defines: POINTS KS MT; the tile MR NV VW, NR = NV * VW. Everything else is an argument, so that layers share compiled
// kernels: sizes as in product.cl, and TY TX tiles of a column and a row.
// weight, transformed: [G][PANELS][POINTS^2][IC][NR].

#define SHAPE                                                                                                              \
    const int N, const int IH, const int IW, const int OH, const int OW, const int PY, const int PX, const int G,          \
        const int IC, const int OC, const int TY, const int TX
#define PANELS ((OC + NR - 1) / NR)

#if POINTS == 4
#define PAIRS 1
#define P1(j) ((REAL)1)
#elif POINTS == 6
#define PAIRS 2
#define P1(j) ((j) == 0 ? (REAL)0.625 : (REAL)1.5)
#elif POINTS == 8
#define PAIRS 3
#define P1(j) ((j) == 0 ? (REAL)0.5625 : (j) == 1 ? (REAL)1 : (REAL)1.75)
#endif
#define P2(j) (P1(j) * P1(j))
#define SQUARE (POINTS * POINTS)
#define UNROLL _Pragma("unroll")

// o[0 .. POINTS] = B d. The rows of a pair are an even and an odd polynomial: x^2 Q(x) +- p x Q(x), Q the product of the other
// pairs' (x^2 - q^2); those of 0 and infinity are the product of all pairs, once and times x.
inline void transform_input(const REALV *d, REALV *o)
{
#if PAIRS == 1
    o[0] = d[2] - P2(0) * d[0];
    o[3] = d[3] - P2(0) * d[1];
    const REALV even[] = {d[2]}, odd[] = {d[1]};
#elif PAIRS == 2
    const REAL sum = P2(0) + P2(1), product = P2(0) * P2(1);
    o[0] = product * d[0] - sum * d[2] + d[4];
    o[5] = product * d[1] - sum * d[3] + d[5];
    const REALV even[] = {d[4] - P2(1) * d[2], d[4] - P2(0) * d[2]}, odd[] = {d[3] - P2(1) * d[1], d[3] - P2(0) * d[1]};
#else
    const REAL sum = P2(0) + P2(1) + P2(2), product = P2(0) * P2(1) * P2(2);
    const REAL mixed = P2(0) * P2(1) + P2(0) * P2(2) + P2(1) * P2(2);
    o[0] = d[6] - sum * d[4] + mixed * d[2] - product * d[0];
    o[7] = d[7] - sum * d[5] + mixed * d[3] - product * d[1];
    const REALV even[] = {d[6] - (P2(1) + P2(2)) * d[4] + (P2(1) * P2(2)) * d[2],
                          d[6] - (P2(0) + P2(2)) * d[4] + (P2(0) * P2(2)) * d[2],
                          d[6] - (P2(0) + P2(1)) * d[4] + (P2(0) * P2(1)) * d[2]};
    const REALV odd[] = {d[5] - (P2(1) + P2(2)) * d[3] + (P2(1) * P2(2)) * d[1],
                         d[5] - (P2(0) + P2(2)) * d[3] + (P2(0) * P2(2)) * d[1],
                         d[5] - (P2(0) + P2(1)) * d[3] + (P2(0) * P2(1)) * d[1]};
#endif
    UNROLL for (int j = 0; j < PAIRS; ++j) {
        o[1 + 2 * j] = even[j] + P1(j) * odd[j];
        o[2 + 2 * j] = even[j] - P1(j) * odd[j];
    }
}

// o[0 .. POINTS] = G g, g of so many taps.
inline void transform_weight(const REALV *g, const int taps, REALV *o)
{
    REAL zero = (REAL)1; // the product of (0 - q)
    UNROLL for (int j = 0; j < PAIRS; ++j) zero *= -P2(j);
    o[0] = g[0] * ((REAL)1 / zero);
    UNROLL for (int j = 0; j < PAIRS; ++j) {
        REAL scale = 2 * P2(j), power = (REAL)1; // the product of (p - q): p * 2p * the other pairs' p^2 - q^2
        UNROLL for (int k = 0; k < PAIRS; ++k) scale *= k == j ? (REAL)1 : P2(j) - P2(k);
        scale = (REAL)1 / scale;
        REALV even = (REALV)(0), odd = (REALV)(0);
        UNROLL for (int k = 0; k < taps; ++k) {
            if (k % 2 == 0)
                even += (scale * power) * g[k];
            else
                odd += (scale * power) * g[k];
            power *= P1(j);
        }
        o[1 + 2 * j] = even + odd;
        o[2 + 2 * j] = even - odd;
    }
    o[POINTS - 1] = g[taps - 1];
}

// y[0 .. count] = A m.
inline void transform_output(const REALV *m, const int count, REALV *y)
{
    REALV sum[PAIRS], difference[PAIRS];
    REAL power[PAIRS];
    UNROLL for (int j = 0; j < PAIRS; ++j) {
        sum[j] = m[1 + 2 * j] + m[2 + 2 * j];
        difference[j] = m[1 + 2 * j] - m[2 + 2 * j];
        power[j] = (REAL)1;
    }
    UNROLL for (int i = 0; i < count; ++i) {
        REALV value = i == 0 ? m[0] : i == count - 1 ? m[POINTS - 1] : (REALV)(0);
        UNROLL for (int j = 0; j < PAIRS; ++j) {
            value += power[j] * (i % 2 == 0 ? sum[j] : difference[j]);
            power[j] *= P1(j);
        }
        y[i] = value;
    }
}

// mid[p][x] = the transform along the columns of SIZE x SIZE values at (y0, x0), `valid` channels of one vector; zeros beside the
// image. Only the inner loops are unrolled, here and below: the outer ones cost nothing rolled, and compile in a third of the time.
#define ROLLED _Pragma("nounroll")
#define FIRST_HALF(mid, s, valid, y0, x0, SIZE, H, W, ROW, PIXEL, TRANSFORM)                                              \
    ROLLED for (int x = 0; x < (SIZE); ++x) {                                                                              \
        REALV d[SIZE], o[POINTS];                                                                                          \
        __global const REAL *column = (s) + x * (PIXEL);                                                                   \
        if ((x0) + x < 0 || (x0) + x >= (W))                                                                               \
            UNROLL for (int y = 0; y < (SIZE); ++y) d[y] = (REALV)(0);                                                     \
        else if ((y0) >= 0 && (y0) + (SIZE) <= (H))                                                                        \
            UNROLL for (int y = 0; y < (SIZE); ++y) d[y] = load_part(column + y * (ROW), valid);                           \
        else                                                                                                               \
            UNROLL for (int y = 0; y < (SIZE); ++y)                                                                        \
                if ((y0) + y >= 0 && (y0) + y < (H)) d[y] = load_part(column + y * (ROW), valid);                          \
                else d[y] = (REALV)(0);                                                                                    \
        TRANSFORM                                                                                                          \
        UNROLL for (int p = 0; p < POINTS; ++p) mid[p][x] = o[p];                                                          \
    }

#ifdef WINOGRAD_WEIGHT
// weight panels [G][PANELS][KS][KS][IC][NR] -> transformed. One work-item: one input of a panel.
__kernel void winograd_weight(__global const REAL *weight, __global REAL *transformed, const int IC)
{
    const int i = get_global_id(0), panel = get_global_id(1);
    for (int v = 0; v < NR; v += VW) {
        REALV mid[POINTS][KS];
        ROLLED for (int x = 0; x < KS; ++x) {
            REALV g[KS], o[POINTS];
            UNROLL for (int y = 0; y < KS; ++y) {
                const int tap = y * KS + x;
                g[y] = VLOAD(weight + ((size_t)(panel * KS * KS + tap) * IC + i) * NR + v);
            }
            transform_weight(g, KS, o);
            UNROLL for (int p = 0; p < POINTS; ++p) mid[p][x] = o[p];
        }
        ROLLED for (int p = 0; p < POINTS; ++p) {
            REALV o[POINTS];
            transform_weight(mid[p], KS, o);
            UNROLL for (int q = 0; q < POINTS; ++q)
                VSTORE(o[q], transformed + ((size_t)(panel * SQUARE + p * POINTS + q) * IC + i) * NR + v);
        }
    }
}
#endif

// Slabs of neighbouring points lie a cache line more than a multiple of their size apart, so that they do not share sets.
#define PAD 16

#ifdef WINOGRAD_FORWARD
// dst = act(bias + src * weight). One work-item takes every ITEMS-th block of BT tiles (a multiple of MR): their input transform,
// then for each panel all products and the output transform, in a slab of its own. The last tile of a row
// or column is shifted back to lie inside. With POOL the largest of each 2 x 2 window alone is stored (prelude.cl; OH, OW and MT are
// even). Slab: [POINTS^2][BT][LANES] and [POINTS^2][BT][NR], LANES = IC in whole vectors.
#define LANES ((IC + VW - 1) / VW * VW)
#define SLAB_V (BT * LANES + PAD)
#define SLAB_M (BT * NR + PAD)
__kernel void winograd_forward(__global const REAL *restrict src, __global const REAL *restrict weight,
#ifdef BIAS
                               __global const REAL *restrict bias,
#endif
                               __global REAL *restrict dst PLACE_ARGUMENT, __global REAL *restrict slabs, VIEW(SRC), VIEW(DST), SHAPE,
                               const int BT, const int ITEMS)
{
    __global REAL *restrict input = slabs + (size_t)get_global_id(0) * (SQUARE * (SLAB_V + SLAB_M));
    __global REAL *restrict sums = input + SQUARE * SLAB_V;
    const int TILES = N * TY * TX, BLOCKS = (TILES + BT - 1) / BT;
    const int parts = (IC + KC - 1) / KC, depth = (IC + parts - 1) / parts; // a panel's weights stay in the first cache
    for (int block = get_global_id(0); block < G * BLOCKS; block += ITEMS) {
        const int g = block / BLOCKS, first = block % BLOCKS * BT;
        for (int t = 0; t < BT; ++t) {
            const int tile = min(first + t, TILES - 1), n = tile / (TY * TX);
            const int y0 = min(tile / TX % TY * MT, OH - MT) - PY, x0 = min(tile % TX * MT, OW - MT) - PX;
            for (int c = 0; c < LANES; c += VW) {
                __global const REAL *s = src + SRC_O + n * SRC_N + y0 * SRC_H + x0 * SRC_W + g * IC + c;
                REALV mid[POINTS][POINTS];
                FIRST_HALF(mid, s, VW, y0, x0, POINTS, IH, IW, SRC_H, SRC_W, transform_input(d, o);)
                ROLLED for (int p = 0; p < POINTS; ++p) {
                    REALV o[POINTS];
                    transform_input(mid[p], o);
                    UNROLL for (int q = 0; q < POINTS; ++q) VSTORE(o[q], input + (p * POINTS + q) * SLAB_V + t * LANES + c);
                }
            }
        }
        for (int panel = 0; panel < PANELS; ++panel) {
            const int o0 = panel * NR, valid = OC - o0;
            __global const REAL *b0 = weight + (size_t)(g * PANELS + panel) * (SQUARE * IC * NR);
            for (int p = 0; p < SQUARE; ++p)
                for (int k0 = 0; k0 < IC; k0 += depth) {
                    const int count = min(depth, IC - k0);
                    for (int t = 0; t < BT; t += MR) {
                        __global const REAL *a = input + p * SLAB_V + t * LANES + k0, *b = b0 + (p * IC + k0) * NR;
                        __global REAL *sum = sums + p * SLAB_M + t * NR;
                        REALV acc[MR][NV];
                        if (k0 == 0)
                            FOR_TILE(m, v) acc[m][v] = (REALV)(0);
                        else
                            FOR_TILE(m, v) acc[m][v] = VLOAD(sum + m * NR + v * VW);
                        MULTIPLY_RUN(acc, a, LANES, b, count)
                        FOR_TILE(m, v) VSTORE(acc[m][v], sum + m * NR + v * VW);
                    }
                }
            for (int t = 0; t < BT && first + t < TILES; ++t) {
                const int tile = first + t, n = tile / (TY * TX);
                const int y0 = min(tile / TX % TY * MT, OH - MT), x0 = min(tile % TX * MT, OW - MT);
                // A tile that was shifted back leaves its neighbour's values alone: they may be another work-item's.
                const int skip_y = tile / TX % TY * MT - y0, skip_x = tile % TX * MT - x0;
                for (int v = 0; v < NR && v < valid; v += VW) {
#ifdef POOL
                    const int py = y0 / 2, px = x0 / 2, channel = g * OC + o0 + v;
                    __global REAL *p0 = dst + DST_O + n * DST_N + py * DST_H + px * DST_W + channel;
                    const size_t place0 = (((size_t)n * (OH / 2) + py) * (OW / 2) + px) * (G * OC) + channel;
#else
                    __global REAL *p0 = dst + DST_O + n * DST_N + y0 * DST_H + x0 * DST_W + g * OC + o0 + v;
#endif
                    REALV mid[MT][POINTS];
                    ROLLED for (int q = 0; q < POINTS; ++q) {
                        REALV m[POINTS], y[MT];
                        UNROLL for (int p = 0; p < POINTS; ++p) m[p] = VLOAD(sums + (p * POINTS + q) * SLAB_M + t * NR + v);
                        transform_output(m, MT, y);
                        UNROLL for (int i = 0; i < MT; ++i) mid[i][q] = y[i];
                    }
#ifdef BIAS
                    const REALV add = VLOAD(bias + g * OC + o0 + v); // past the end: slack
#else
                    const REALV add = (REALV)(0);
#endif
#ifdef POOL
                    ROLLED for (int i = skip_y / 2; i < MT / 2; ++i) {
                        REALV y[2][MT];
                        UNROLL for (int k = 0; k < 2; ++k) {
                            transform_output(mid[2 * i + k], MT, y[k]);
                            UNROLL for (int j = 0; j < MT; ++j) y[k][j] = ACTIVATE(REALV, y[k][j] + add);
                        }
                        UNROLL for (int j = 0; j < MT / 2; ++j)
                            if (2 * j >= skip_x) STORE_LARGEST(y[0][2 * j], y[0][2 * j + 1], y[1][2 * j], y[1][2 * j + 1], p0 + i * DST_H + j * DST_W,
                                          place0 + ((size_t)i * (OW / 2) + j) * (G * OC), valid - v)
                    }
#else
                    ROLLED for (int i = skip_y; i < MT; ++i) {
                        REALV y[MT];
                        transform_output(mid[i], MT, y);
                        UNROLL for (int j = 0; j < MT; ++j) {
                            if (j < skip_x)
                                continue;
                            const REALV value = ACTIVATE(REALV, y[j] + add);
                            __global REAL *to = p0 + i * DST_H + j * DST_W;
                            STORE_PART(to, value, valid - v)
                        }
                    }
#endif
                }
            }
        }
    }
}
#endif

// --- the weight gradient: chunks of images, whose TILES tiles are transformed into panels, then multiplied ---
// source:   [G][POINTS^2][BLOCKS][TILES][VW], BLOCKS = IC in whole vectors
// upstream: [G][POINTS^2][PANELS][TILES][NR]
// sums:     [G][POINTS^2][PANELS][BLOCKS * VW][NR]
#define IN_BLOCKS ((IC + VW - 1) / VW)
#define POINT_SOURCE (IN_BLOCKS * TILES * VW + PAD)
#define POINT_UPSTREAM (PANELS * TILES * NR + PAD)
#define POINT_SUMS (PANELS * IN_BLOCKS * VW * NR)

#ifdef WINOGRAD_SOURCE
// One work-item: a row of tiles of an image, the chunk's image get_global_id(1), one group.
__kernel void winograd_source(__global const REAL *restrict src, __global REAL *restrict source, VIEW(SRC), SHAPE,
                              const int TILES, const int first)
{
    const int ty = get_global_id(0), image = get_global_id(1), g = get_global_id(2), n = first + image, y0 = ty * MT - PY;
    if (n >= N)
        return;
    for (int tx = 0; tx < TX; ++tx) {
        const int x0 = tx * MT - PX;
        for (int c = 0; c < IN_BLOCKS; ++c) {
            __global const REAL *s = src + SRC_O + n * SRC_N + y0 * SRC_H + x0 * SRC_W + g * IC + c * VW;
            __global REAL *to = source + (size_t)g * SQUARE * POINT_SOURCE + (c * TILES + (image * TY + ty) * TX + tx) * VW;
            REALV mid[POINTS][POINTS];
            FIRST_HALF(mid, s, IC - c * VW, y0, x0, POINTS, IH, IW, SRC_H, SRC_W, transform_input(d, o);)
            ROLLED for (int p = 0; p < POINTS; ++p) {
                REALV o[POINTS];
                transform_input(mid[p], o);
                UNROLL for (int q = 0; q < POINTS; ++q) VSTORE(o[q], to + (size_t)(p * POINTS + q) * POINT_SOURCE);
            }
        }
    }
}
#endif

#ifdef WINOGRAD_UPSTREAM
// As above, of the upstream gradient: MT x MT values, zeros beside the image.
__kernel void winograd_upstream(__global const REAL *restrict d_dst, __global REAL *restrict upstream, VIEW(D_DST), SHAPE,
                                const int TILES, const int first)
{
    const int ty = get_global_id(0), image = get_global_id(1), g = get_global_id(2), n = first + image, y0 = ty * MT;
    if (n >= N)
        return;
    for (int tx = 0; tx < TX; ++tx) {
        const int x0 = tx * MT;
        for (int c = 0; c < PANELS * NR; c += VW) {
            __global const REAL *s = d_dst + D_DST_O + n * D_DST_N + y0 * D_DST_H + x0 * D_DST_W + g * OC + c;
            __global REAL *to = upstream + (size_t)g * SQUARE * POINT_UPSTREAM +
                                ((c / NR) * TILES + (image * TY + ty) * TX + tx) * NR + c % NR;
            REALV mid[POINTS][MT];
            FIRST_HALF(mid, s, OC - c, y0, x0, MT, OH, OW, D_DST_H, D_DST_W, transform_weight(d, MT, o);)
            ROLLED for (int p = 0; p < POINTS; ++p) {
                REALV o[POINTS];
                transform_weight(mid[p], MT, o);
                UNROLL for (int q = 0; q < POINTS; ++q) VSTORE(o[q], to + (size_t)(p * POINTS + q) * POINT_UPSTREAM);
            }
        }
    }
}
#endif

#ifdef WINOGRAD_MULTIPLY
// sums += source^T * upstream over the chunk's `tiles` tiles; sums = where it is the first chunk. One work-item: one panel of one
// point. KC tiles at a time: a panel of them stays in the first cache.
__kernel void winograd_multiply(__global const REAL *restrict source, __global const REAL *restrict upstream,
                                __global REAL *restrict sums, const int IC, const int OC, const int TILES, const int tiles,
                                const int add)
{
    const int panel = get_global_id(0), point = get_global_id(1); // point: of all groups
    __global const REAL *a0 = source + (size_t)point * POINT_SOURCE, *b0 = upstream + (size_t)point * POINT_UPSTREAM + panel * (TILES * NR);
    __global REAL *c0 = sums + (size_t)point * POINT_SUMS + panel * (IN_BLOCKS * VW * NR);
    for (int k0 = 0; k0 < tiles; k0 += KC) {
        const int count = min(KC, tiles - k0);
        const bool more = add || k0 > 0;
        for (int i = 0; i < IN_BLOCKS * VW; i += MR) {
            __global const REAL *a = a0 + (i / VW * TILES + k0) * VW + i % VW, *b = b0 + k0 * NR;
            __global REAL *c = c0 + i * NR;
            REALV acc[MR][NV];
            FOR_TILE(m, v) acc[m][v] = (REALV)(0);
            FOR_TERMS(k, count) {
                REALV w[NV];
                UNROLL for (int v = 0; v < NV; ++v) w[v] = VLOAD(b + k * NR + v * VW);
                FOR_TILE(m, v) acc[m][v] += (REALV)(a[k * VW + m]) * w[v];
            }
            if (more)
                FOR_TILE(m, v) acc[m][v] += VLOAD(c + m * NR + v * VW);
            FOR_TILE(m, v) VSTORE(acc[m][v], c + m * NR + v * VW);
        }
    }
}
#endif

#ifdef WINOGRAD_GRADIENT
// d_weight panels from the sums. One work-item: one input of a panel.
__kernel void winograd_gradient(__global const REAL *restrict sums, __global REAL *restrict d_weight, const int IC, const int OC)
{
    const int i = get_global_id(0), panel = get_global_id(1), g = panel / PANELS;
    __global const REAL *from = sums + (size_t)g * SQUARE * POINT_SUMS + (panel % PANELS * (IN_BLOCKS * VW) + i) * NR;
    for (int v = 0; v < NR; v += VW) {
        REALV mid[KS][POINTS];
        ROLLED for (int q = 0; q < POINTS; ++q) {
            REALV m[POINTS], y[KS];
            UNROLL for (int p = 0; p < POINTS; ++p) m[p] = VLOAD(from + (size_t)(p * POINTS + q) * POINT_SUMS + v);
            transform_output(m, KS, y);
            UNROLL for (int k = 0; k < KS; ++k) mid[k][q] = y[k];
        }
        ROLLED for (int ky = 0; ky < KS; ++ky) {
            REALV y[KS];
            transform_output(mid[ky], KS, y);
            for (int kx = 0; kx < KS; ++kx) {
                __global REAL *to = d_weight + ((size_t)(panel * KS * KS + ky * KS + kx) * IC + i) * NR + v;
                VSTORE(y[kx], to);
            }
        }
    }
}
#endif
