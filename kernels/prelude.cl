// Stands before every kernel file. Defines from outside: REAL (float or double), PRECISION_F64 for double.
//
// A tensor is [batch, height, width, channels] with channels fastest: element (n, y, x, c) of tensor T is at
// T_O + n * T_N + y * T_H + x * T_W + c, all four build-time constants.

#ifdef PRECISION_F64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

// The same four as a kernel's arguments, where layers share it.
#define VIEW(T) const int T##_O, const int T##_N, const int T##_H, const int T##_W

// REALV: VW numbers. A kernel file that uses vectors is built with VW = 2, 4, 8 or 16.
#ifdef VW
typedef JOIN(REAL, VW) REALV;
#define VLOAD(p) JOIN(vload, VW)(0, (p))
#define VSTORE(v, p) JOIN(vstore, VW)((v), 0, (p))
#endif

#ifdef VW
// The `valid` first numbers at p, zeros behind them.
inline REALV load_part(__global const REAL *p, const int valid)
{
    if (valid >= VW)
        return VLOAD(p);
    REAL part[VW];
    for (int lane = 0; lane < VW; ++lane)
        part[lane] = lane < valid ? p[lane] : (REAL)0;
    return VLOAD(part);
}
#endif

// A register tile: MR rows of NV vectors of VW numbers.
#define FOR_ROWS(first, last, m, v) \
    _Pragma("unroll") for (int m = first; m < last; ++m) _Pragma("unroll") for (int v = 0; v < NV; ++v)
#define FOR_TILE(m, v) FOR_ROWS(0, MR, m, v)

// The terms of a tile's sums. Four to a turn of the loop: the fewer other instructions, the less a neighbour on the same
// core slows it (F 128 x 4704 x 1024 on a shared machine: 9.2 -> 8.0 ms in the median, 6.8 -> 6.6 at best; 2026-11-29).
#define FOR_TERMS(k, count) _Pragma("unroll 4") for (int k = 0; k < (count); ++k)

// Stores one row of a tile at p, of which `valid` columns exist.
#define STORE_ROW(p, row, valid)                                                                \
    if ((valid) >= NR) {                                                                        \
        _Pragma("unroll") for (int v = 0; v < NV; ++v) VSTORE((row)[v], (p) + v * VW);         \
    } else {                                                                                    \
        REAL tail[NR];                                                                          \
        _Pragma("unroll") for (int v = 0; v < NV; ++v) VSTORE((row)[v], tail + v * VW);         \
        for (int lane = 0; lane < (valid); ++lane) (p)[lane] = tail[lane];                      \
    }

// A run whose length is a constant stays one term to a turn unless it is short: unrolled by four it spills (alexnet's first
// layer, 33 terms: 145 against 105 GFLOP/s; 2026-11-29). Short ones have smaller tiles (`SHORT_RUN` in src/op/product/tile.rs).
#if defined(RUN) && RUN >= 16
#define FOR_RUN(k, count) for (int k = 0; k < (count); ++k)
#else
#define FOR_RUN FOR_TERMS
#endif

// acc[m] += a[PLACE] * b[0 .. NR] for COUNT steps and rows m from FIRST to LAST: a advances by 1, b by NR. PLACE may name m.
#define MULTIPLY(acc, FIRST, LAST, a, PLACE, b, COUNT)                                          \
    FOR_RUN(k, COUNT) {                                                                         \
        REALV w[NV];                                                                            \
        _Pragma("unroll") for (int v = 0; v < NV; ++v) w[v] = VLOAD((b) + k * NR + v * VW);     \
        FOR_ROWS(FIRST, LAST, m, v) acc[m][v] += (REALV)((a)[(PLACE) + k]) * w[v];              \
    }
#define MULTIPLY_RUN(acc, a, A_STEP, b, COUNT) MULTIPLY(acc, 0, MR, a, m * (A_STEP), b, COUNT)

// Stores the numbers of a vector that exist: `valid`, or all.
#define STORE_PART(p, value, valid)                                                             \
    if ((valid) >= VW) {                                                                        \
        VSTORE(value, p);                                                                       \
    } else {                                                                                    \
        REAL part[VW];                                                                          \
        VSTORE(value, part);                                                                    \
        for (int lane = 0; lane < (valid); ++lane) (p)[lane] = part[lane];                      \
    }

// POOL: a product stores the largest of each 2 x 2 window, and with SAVE_PLACE which of the four it is, by rows: the first of
// equal ones. A NaN wins, so that it is seen.
#ifdef SAVE_PLACE
#define PLACE_ARGUMENT , __global uchar *restrict place
#define STORE_PLACE(where, at, valid)                                                           \
    {                                                                                           \
        const JOIN(uchar, VW) places = JOIN(convert_uchar, VW)(where);                          \
        if ((valid) >= VW) {                                                                    \
            JOIN(vstore, VW)(places, 0, place + (at));                                          \
        } else {                                                                                \
            uchar part[VW];                                                                     \
            JOIN(vstore, VW)(places, 0, part);                                                  \
            for (int lane = 0; lane < (valid); ++lane) place[(at) + lane] = part[lane];         \
        }                                                                                       \
    }
#else
#define PLACE_ARGUMENT
#define STORE_PLACE(where, at, valid)
#endif
#define LARGER(value, number)                                                                   \
    where = (value) > best || (value) != (value) ? (REALV)(number) : where;                     \
    best = (value) > best || (value) != (value) ? (value) : best;
#define STORE_LARGEST(a, b, c, d, p, at, valid)                                                 \
    {                                                                                           \
        REALV best = a, where = (REALV)(0);                                                     \
        LARGER(b, 1)                                                                            \
        LARGER(c, 2)                                                                            \
        LARGER(d, 3)                                                                            \
        STORE_PART(p, best, valid)                                                              \
        STORE_PLACE(where, at, valid)                                                           \
    }

// The places of a row that one work-item takes: all of them where ROW_ITEM, else that of its dimension 0. PoCL compiles a
// group of one item sooner than one of hundreds: 0.1 s against 0.4 s (PoCL 3.1, 2026-11-25).
#ifdef ROW_ITEM
#define FOR_ROW(i, places) for (int i = 0; i < (places); ++i)
#else
#define FOR_ROW(i, places) for (int i = get_global_id(0), i##_end = i + 1; i < i##_end; ++i)
#endif

// ACT: 0 none, 1 relu, 2 leaky (slope 0.1), 3 sigmoid, 4 tanh. Comparisons are written so that a NaN stays one.
#ifndef ACT
#define ACT 0
#endif
#if ACT == 0
#define ACTIVATE(T, x) (x)
#define ACTIVATE_BACKWARD(T, y) ((T)(1))
#elif ACT == 1
#define ACTIVATE(T, x) ((x) < (T)(0) ? (T)(0) : (x))
#define ACTIVATE_BACKWARD(T, y) ((y) > (T)(0) ? (T)(1) : (T)(0))
#elif ACT == 2
#define ACTIVATE(T, x) ((x) < (T)(0) ? (x) * (T)((REAL)0.1) : (x))
#define ACTIVATE_BACKWARD(T, y) ((y) > (T)(0) ? (T)(1) : (T)((REAL)0.1))
#elif ACT == 3
#define ACTIVATE(T, x) ((T)(1) / ((T)(1) + exp(-(x))))
#define ACTIVATE_BACKWARD(T, y) ((y) * ((T)(1) - (y)))
#elif ACT == 4
#define ACTIVATE(T, x) tanh(x)
#define ACTIVATE_BACKWARD(T, y) ((T)(1) - (y) * (y))
#endif

// One step of stochastic gradient descent, of the value w and its velocity v. T: REAL or REALV.
//
//   UPDATE 1   v = MOMENTUM * v - rate * (DECAY * w + g), w = w + v     momentum (Krizhevsky et al. 2012, section 5)
//   UPDATE 2   p = DECAY * w + g, v = MOMENTUM * v + p, w = w - rate * (p + MOMENTUM * v)     Nesterov, as torch.optim.SGD
#if defined(UPDATE) && UPDATE == 1
#define MOVE(T, w, v, g)                                                                        \
    {                                                                                           \
        const T move_change = (T)(MOMENTUM) * (v) - (T)(rate) * ((T)(DECAY) * (w) + (g));       \
        (v) = move_change;                                                                      \
        (w) += move_change;                                                                     \
    }
#elif defined(UPDATE)
#define MOVE(T, w, v, g)                                                                        \
    {                                                                                           \
        const T move_pull = (T)(DECAY) * (w) + (g);                                             \
        const T move_velocity = (T)(MOMENTUM) * (v) + move_pull;                                \
        (v) = move_velocity;                                                                    \
        (w) -= (T)(rate) * (move_pull + (T)(MOMENTUM) * move_velocity);                         \
    }
#endif

// Philox4x32-10 (Salmon et al. 2011): word `index` of the stream with the given key and upper counter words. The host's
// generator (src/random.rs) draws the same bits.
inline uint philox_word(uint index, uint purpose, uint object, uint step, uint key0, uint key1)
{
    uint c0 = index >> 2, c1 = purpose, c2 = object, c3 = step;
    for (int round = 0; round < 10; ++round) {
        uint high0 = mul_hi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        uint high1 = mul_hi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    uint lane = index & 3u;
    return lane < 2u ? (lane == 0u ? c0 : c1) : (lane == 2u ? c2 : c3);
}

// All words of eight blocks from `first` on, in order.
inline void philox_blocks(uint first, uint purpose, uint object, uint step, uint key0, uint key1, uint *words)
{
    uint8 c0 = first + (uint8)(0, 1, 2, 3, 4, 5, 6, 7), c1 = purpose, c2 = object, c3 = step;
    for (int round = 0; round < 10; ++round) {
        const ulong8 product0 = convert_ulong8(c0) * 0xD2511F53ul, product1 = convert_ulong8(c2) * 0xCD9E8D57ul;
        c0 = convert_uint8(product1 >> 32) ^ c1 ^ key0;
        c1 = convert_uint8(product1);
        c2 = convert_uint8(product0 >> 32) ^ c3 ^ key1;
        c3 = convert_uint8(product0);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    uint columns[4][8];
    vstore8(c0, 0, columns[0]);
    vstore8(c1, 0, columns[1]);
    vstore8(c2, 0, columns[2]);
    vstore8(c3, 0, columns[3]);
    for (int block = 0; block < 8; ++block)
        for (int word = 0; word < 4; ++word)
            words[4 * block + word] = columns[word][block];
}
