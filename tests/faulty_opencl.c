// An OpenCL library with one fault, for tests of what netc says of faulty devices.
//
// It is linked with the machine's OpenCL loader: functions that are not here are the loader's. NETC_TEST_FAULT names the
// fault: "build" (the compiler refuses every program), "launch" (a kernel cannot be started), "skip" (kernels are not
// run, although the driver says so), "memory" (one mebibyte of it), "single" (no double precision).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    CL_SUCCESS = 0,
    CL_OUT_OF_RESOURCES = -5,
    CL_BUILD_PROGRAM_FAILURE = -11,
    CL_INVALID_VALUE = -30,
    CL_DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010,
    CL_DEVICE_GLOBAL_MEM_SIZE = 0x101F,
    CL_DEVICE_EXTENSIONS = 0x1030,
    CL_DEVICE_DOUBLE_FP_CONFIG = 0x1032,
    CL_PROGRAM_BUILD_LOG = 0x1183,
};

static int fault(const char *name) {
    const char *set = getenv("NETC_TEST_FAULT");
    return set != NULL && strcmp(set, name) == 0;
}

static int32_t answer(const void *value, size_t length, size_t size, void *space, size_t *needed) {
    if (needed != NULL) *needed = length;
    if (space == NULL) return CL_SUCCESS;
    if (size < length) return CL_INVALID_VALUE;
    memcpy(space, value, length);
    return CL_SUCCESS;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int32_t clBuildProgram(void *program, uint32_t devices, const void *list, const char *options, void *notify, void *data) {
    if (fault("build")) return CL_BUILD_PROGRAM_FAILURE;
    return REAL(clBuildProgram)(program, devices, list, options, notify, data);
}

int32_t clGetProgramBuildInfo(void *program, void *device, uint32_t name, size_t size, void *space, size_t *needed) {
    static const char log[] = "1:1: error: no kernel is good enough\n1 error generated\n";
    if (fault("build") && name == CL_PROGRAM_BUILD_LOG) return answer(log, sizeof log, size, space, needed);
    return REAL(clGetProgramBuildInfo)(program, device, name, size, space, needed);
}

int32_t clEnqueueNDRangeKernel(void *queue, void *kernel, uint32_t dimensions, const size_t *offset, const size_t *global,
                               const size_t *local, uint32_t waits, const void *list, void *event) {
    if (fault("launch")) return CL_OUT_OF_RESOURCES;
    if (fault("skip")) return CL_SUCCESS;
    return REAL(clEnqueueNDRangeKernel)(queue, kernel, dimensions, offset, global, local, waits, list, event);
}

int32_t clGetDeviceInfo(void *device, uint32_t name, size_t size, void *space, size_t *needed) {
    static const uint64_t none = 0, mebibyte = 1 << 20;
    if (fault("memory") && (name == CL_DEVICE_GLOBAL_MEM_SIZE || name == CL_DEVICE_MAX_MEM_ALLOC_SIZE))
        return answer(&mebibyte, sizeof mebibyte, size, space, needed);
    if (fault("single")) {
        if (name == CL_DEVICE_DOUBLE_FP_CONFIG) return answer(&none, sizeof none, size, space, needed);
        if (name == CL_DEVICE_EXTENSIONS) return answer("", 1, size, space, needed);
    }
    return REAL(clGetDeviceInfo)(device, name, size, space, needed);
}
