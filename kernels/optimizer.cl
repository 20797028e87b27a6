// One step of stochastic gradient descent with momentum and weight decay (Krizhevsky et al. 2012, section 5):
//
//   v = MOMENTUM * v - rate * DECAY * w - rate * g
//   w = w + v
//
// One work-item a block of BLOCK numbers.

__kernel void optimizer_sgd(__global REAL *restrict value, __global REAL *restrict velocity, __global const REAL *restrict gradient,
                            const ulong count, const REAL rate)
{
    const size_t first = (size_t)get_global_id(0) * BLOCK, last = min(first + BLOCK, (size_t)count);
    for (size_t i = first; i < last; ++i) {
        const REAL v = MOMENTUM * velocity[i] - rate * (DECAY * value[i] + gradient[i]);
        velocity[i] = v;
        value[i] += v;
    }
}
