// Pooling over windows, [batch, height, width, channels].
//
//   max: dst[n, oy, ox, c] = the largest src in the window; padding never wins. The first of equal ones counts.
//   avg: dst[n, oy, ox, c] = the sum over the window's cells inside the image / how many there are
//
// Defines: IH IW OH OW; KY KX SY SX PY PX; C channels; PLACE the type of a place within a window (uchar or int).
// One work-item a value, channels fastest: neighbours read and write neighbours, which compilers vectorise.

#ifndef PLACE
#define PLACE uchar
#endif

#ifdef MAX_FORWARD
// place: where in its window the maximum stood, ky * KX + kx, [batch, OH, OW, C] without gaps; only where SAVE_PLACE.
__kernel void pool_max_forward(__global const REAL *src, __global REAL *dst
#ifdef SAVE_PLACE
                               , __global PLACE *place
#endif
)
{
    const int i = get_global_id(0), oy = get_global_id(1), n = get_global_id(2), ox = i / C, c = i % C;
    REAL best = -INFINITY;
    int where = 0, seen = 0;
    for (int ky = 0; ky < KY; ++ky)
        for (int kx = 0; kx < KX; ++kx) {
            const int y = oy * SY - PY + ky, x = ox * SX - PX + kx;
            if (y < 0 || y >= IH || x < 0 || x >= IW)
                continue;
            const REAL value = src[SRC_O + n * SRC_N + y * SRC_H + x * SRC_W + c];
            if (!seen || value > best || value != value) { // a NaN wins, so that it is seen
                best = value;
                where = ky * KX + kx;
                seen = 1;
            }
        }
    dst[DST_O + n * DST_N + oy * DST_H + ox * DST_W + c] = best;
#ifdef SAVE_PLACE
    place[(n * OH + oy) * (OW * C) + i] = (PLACE)where;
#endif
}
#endif

#ifdef MAX_BACKWARD
// d_src[n, y, x, c] = sum of d_dst over the windows whose maximum stood there.
__kernel void pool_max_backward(__global const PLACE *place, __global const REAL *d_dst, __global REAL *d_src)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2), x = i / C, c = i % C;
    REAL total = 0;
    for (int ky = (y + PY) % SY; ky < KY; ky += SY) {
        const int oy = (y + PY - ky) / SY;
        if (y + PY < ky || oy >= OH)
            continue;
        for (int kx = (x + PX) % SX; kx < KX; kx += SX) {
            const int ox = (x + PX - kx) / SX;
            if (x + PX < kx || ox >= OW)
                continue;
            if ((int)place[((n * OH + oy) * OW + ox) * C + c] == ky * KX + kx)
                total += d_dst[D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + c];
        }
    }
    d_src[D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W + c] = total;
}
#endif

#define CELLS(oy, ox) \
    ((min((oy) * SY - PY + KY, IH) - max((oy) * SY - PY, 0)) * (min((ox) * SX - PX + KX, IW) - max((ox) * SX - PX, 0)))

#ifdef AVG_FORWARD
__kernel void pool_avg_forward(__global const REAL *src, __global REAL *dst)
{
    const int i = get_global_id(0), oy = get_global_id(1), n = get_global_id(2), ox = i / C, c = i % C;
    REAL total = 0;
    for (int y = max(oy * SY - PY, 0); y < min(oy * SY - PY + KY, IH); ++y)
        for (int x = max(ox * SX - PX, 0); x < min(ox * SX - PX + KX, IW); ++x)
            total += src[SRC_O + n * SRC_N + y * SRC_H + x * SRC_W + c];
    dst[DST_O + n * DST_N + oy * DST_H + ox * DST_W + c] = total / (REAL)CELLS(oy, ox);
}
#endif

#ifdef AVG_BACKWARD
__kernel void pool_avg_backward(__global const REAL *d_dst, __global REAL *d_src)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2), x = i / C, c = i % C;
    REAL total = 0;
    for (int ky = (y + PY) % SY; ky < KY; ky += SY) {
        const int oy = (y + PY - ky) / SY;
        if (y + PY < ky || oy >= OH)
            continue;
        for (int kx = (x + PX) % SX; kx < KX; kx += SX) {
            const int ox = (x + PX - kx) / SX;
            if (x + PX < kx || ox >= OW)
                continue;
            total += d_dst[D_DST_O + n * D_DST_N + oy * D_DST_H + ox * D_DST_W + c] / (REAL)CELLS(oy, ox);
        }
    }
    d_src[D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W + c] = total;
}
#endif
