// One step of stochastic gradient descent (SGD in prelude.cl) for gradients that lie in a buffer. One work-item a block of BLOCK numbers.

__kernel void optimizer_sgd(__global REAL *restrict value, __global REAL *restrict velocity, __global const REAL *restrict gradient,
                            const ulong count, const REAL rate)
{
    const size_t first = (size_t)get_global_id(0) * BLOCK, last = min(first + BLOCK, (size_t)count);
    for (size_t i = first; i < last; ++i) {
        SGD(REAL, value[i], velocity[i], gradient[i])
    }
}
