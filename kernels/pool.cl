// Pooling over windows, [batch, height, width, channels].
//
//   max: dst[n, oy, ox, c] = the largest src in the window; padding never wins. The first of equal ones counts.
//   avg: dst[n, oy, ox, c] = the sum over the window's cells inside the image / how many there are
//
// Defines: IH IW OH OW; KY KX SY SX PY PX; C channels; PLACE the type of a place within a window (uchar or int).
//
// Each kernel is written over a step of VW channels. One work-item is a row of pixels (FOR_ROW) and goes through the
// channels of each VW at a time, the rest one by one; a device of many small work-items is given VW = 1 and a work-item a
// channel instead (ITEM_CHANNEL). One pixel an item with vectors against one value an item: 13.3 -> 0.85 ms for 128 maps of
// 48x28x28 (PoCL 3.1, two cores with 256-bit vectors, 2026-11-25).

#ifndef PLACE
#define PLACE uchar
#endif

#ifdef ITEM_CHANNEL
#define FOR_CHANNELS(BODY)                                                                      \
    {                                                                                           \
        const int c = get_global_id(0) % C;                                                     \
        BODY(REAL, PLACE, SCALAR_LOAD, SCALAR_STORE, SCALAR_PLACES, SCALAR_KEEP)                \
    }
#define COLUMN(place) ((place) / C)
#define PLACES_OF(columns) ((columns) * C)
#else
#define FOR_CHANNELS(BODY)                                                                      \
    for (int c = 0; c + VW <= C; c += VW)                                                       \
        BODY(REALV, PLACEV, VLOAD, VSTORE, VECTOR_PLACES, VECTOR_KEEP)                          \
    for (int c = C / VW * VW; c < C; ++c)                                                       \
        BODY(REAL, PLACE, SCALAR_LOAD, SCALAR_STORE, SCALAR_PLACES, SCALAR_KEEP)
#define COLUMN(place) (place)
#define PLACES_OF(columns) (columns)
#define PLACEV JOIN(PLACE, VW)
// Places go through REAL, whose comparisons give masks that fit its vectors; every place fits exactly.
#define VECTOR_PLACES(p) JOIN(CONVERT_REAL, VW)(JOIN(vload, VW)(0, (p)))
#define VECTOR_KEEP(v, p) JOIN(vstore, VW)(JOIN(CONVERT_PLACE, VW)(v), 0, (p))
#define CONVERT_PLACE JOIN(convert_, PLACE)
#ifdef PRECISION_F64
#define CONVERT_REAL convert_double
#else
#define CONVERT_REAL convert_float
#endif
#endif
#define SCALAR_LOAD(p) (*(p))
#define SCALAR_STORE(v, p) (*(p) = (v))
#define SCALAR_PLACES(p) ((REAL) * (p))
#define SCALAR_KEEP(v, p) (*(p) = (PLACE)(v))

#ifdef MAX_FORWARD
// place: where in its window the maximum stood, ky * KX + kx, [batch, OH, OW, C] without gaps; only where SAVE_PLACE.
#ifdef SAVE_PLACE
#define SAVE(KEEP, where) KEEP(where, place + ((n * OH + oy) * OW + ox) * C + c);
#else
#define SAVE(KEEP, where)
#endif
// A NaN wins, so that it is seen.
#define MAX_FORWARD_STEP(T, P, LOAD, STORE, PLACES, KEEP)                                       \
    {                                                                                           \
        T best = LOAD(a + y0 * SRC_H + x0 * SRC_W + c);                                         \
        T where = (T)((REAL)((y0 - top) * KX + x0 - left));                                     \
        for (int y = y0; y < y1; ++y)                                                           \
            for (int x = x0; x < x1; ++x) {                                                     \
                const T value = LOAD(a + y * SRC_H + x * SRC_W + c);                            \
                where = value > best || value != value ? (T)((REAL)((y - top) * KX + x - left)) : where; \
                best = value > best || value != value ? value : best;                           \
            }                                                                                   \
        STORE(best, dst + DST_O + n * DST_N + oy * DST_H + ox * DST_W + c);                     \
        SAVE(KEEP, where)                                                                       \
    }
__kernel void pool_max_forward(__global const REAL *src, __global REAL *dst
#ifdef SAVE_PLACE
                               , __global PLACE *place
#endif
)
{
    const int oy = get_global_id(1), n = get_global_id(2);
    const int top = oy * SY - PY, y0 = max(top, 0), y1 = min(top + KY, IH);
    __global const REAL *a = src + SRC_O + n * SRC_N;
    FOR_ROW(item, PLACES_OF(OW))
    {
        const int ox = COLUMN(item), left = ox * SX - PX, x0 = max(left, 0), x1 = min(left + KX, IW);
        FOR_CHANNELS(MAX_FORWARD_STEP)
    }
}
#endif

// The windows that cover an input pixel: rows oy0 to oy1, columns ox0 to ox1, both inclusive.
#define COVERING                                                                                \
    const int oy0 = max((y + PY - KY + SY) / SY, 0), oy1 = min((y + PY) / SY, OH - 1);          \
    const int ox0 = max((x + PX - KX + SX) / SX, 0), ox1 = min((x + PX) / SX, OW - 1);

#ifdef MAX_BACKWARD
// d_src[n, y, x, c] = sum of d_dst over the windows whose maximum stood there. With ACT the way back goes on through the
// activation that made src: where a window's maximum stood, src is that window's dst, so dst is all that is needed of both.
#if ACT == 0
#define THROUGH(T, LOAD, d) (d)
#define DST_ARGUMENT
#else
#define THROUGH(T, LOAD, d) ((d) * ACTIVATE_BACKWARD(T, LOAD(dst + DST_O + n * DST_N + oy * DST_H + ox * DST_W + c)))
#define DST_ARGUMENT __global const REAL *dst,
#endif
#define MAX_BACKWARD_STEP(T, P, LOAD, STORE, PLACES, KEEP)                                      \
    {                                                                                           \
        T total = (T)(0);                                                                       \
        for (int oy = oy0; oy <= oy1; ++oy)                                                     \
            for (int ox = ox0; ox <= ox1; ++ox) {                                               \
                const T here = (T)((REAL)((y + PY - oy * SY) * KX + x + PX - ox * SX));         \
                const T d = LOAD(d_dst + D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + c); \
                total += PLACES(place + ((n * OH + oy) * OW + ox) * C + c) == here ? THROUGH(T, LOAD, d) : (T)(0); \
            }                                                                                   \
        STORE(total, d_src + D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W + c);            \
    }
__kernel void pool_max_backward(__global const PLACE *place, DST_ARGUMENT __global const REAL *d_dst, __global REAL *d_src)
{
    const int y = get_global_id(1), n = get_global_id(2);
    FOR_ROW(item, PLACES_OF(IW))
    {
        const int x = COLUMN(item);
        COVERING
        FOR_CHANNELS(MAX_BACKWARD_STEP)
    }
}
#endif

#define CELLS(oy, ox) \
    ((min((oy) * SY - PY + KY, IH) - max((oy) * SY - PY, 0)) * (min((ox) * SX - PX + KX, IW) - max((ox) * SX - PX, 0)))

#ifdef AVG_FORWARD
#define AVG_FORWARD_STEP(T, P, LOAD, STORE, PLACES, KEEP)                                       \
    {                                                                                           \
        T total = (T)(0);                                                                       \
        for (int y = max(oy * SY - PY, 0); y < min(oy * SY - PY + KY, IH); ++y)                 \
            for (int x = max(ox * SX - PX, 0); x < min(ox * SX - PX + KX, IW); ++x)             \
                total += LOAD(src + SRC_O + n * SRC_N + y * SRC_H + x * SRC_W + c);             \
        STORE(total / (T)((REAL)CELLS(oy, ox)), dst + DST_O + n * DST_N + oy * DST_H + ox * DST_W + c); \
    }
__kernel void pool_avg_forward(__global const REAL *src, __global REAL *dst)
{
    const int oy = get_global_id(1), n = get_global_id(2);
    FOR_ROW(item, PLACES_OF(OW))
    {
        const int ox = COLUMN(item);
        FOR_CHANNELS(AVG_FORWARD_STEP)
    }
}
#endif

#ifdef AVG_BACKWARD
#define AVG_BACKWARD_STEP(T, P, LOAD, STORE, PLACES, KEEP)                                      \
    {                                                                                           \
        T total = (T)(0);                                                                       \
        for (int oy = oy0; oy <= oy1; ++oy)                                                     \
            for (int ox = ox0; ox <= ox1; ++ox)                                                 \
                total += LOAD(d_dst + D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + c) / (T)((REAL)CELLS(oy, ox)); \
        STORE(total, d_src + D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W + c);            \
    }
__kernel void pool_avg_backward(__global const REAL *d_dst, __global REAL *d_src)
{
    const int y = get_global_id(1), n = get_global_id(2);
    FOR_ROW(item, PLACES_OF(IW))
    {
        const int x = COLUMN(item);
        COVERING
        FOR_CHANNELS(AVG_BACKWARD_STEP)
    }
}
#endif
