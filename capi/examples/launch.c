/* One launch of one kernel, with operands of ones: every element of C comes out as K.
 *
 *   cc launch.c -I ../include -L <where the libraries are> -lnvfp4gen_capi -lcuda -o launch
 *   ./launch generated g1_m1_n8_k64_f16_dynamic
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvfp4gen.h"

/* Of the CUDA driver API; programs that have cuda.h include that. */
extern int cuMemAlloc_v2(uint64_t *address, size_t bytes);
extern int cuMemFree_v2(uint64_t address);
extern int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes);
extern int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes);

static void check(nvfp4gen_status status) {
    if (status != NVFP4GEN_STATUS_OK) {
        fprintf(stderr, "error: %s\n", nvfp4gen_error());
        exit(1);
    }
}

static void check_driver(int code) {
    if (code != 0) {
        fprintf(stderr, "error: the driver returned %d\n", code);
        exit(1);
    }
}

/* Device memory with this byte everywhere. */
static uint64_t filled(size_t bytes, int value) {
    uint64_t address = 0;
    void *host = malloc(bytes);
    memset(host, value, bytes);
    check_driver(cuMemAlloc_v2(&address, bytes));
    check_driver(cuMemcpyHtoD_v2(address, host, bytes));
    free(host);
    return address;
}

/* Bytes of blocked scales: rows are padded to 128, sixteenths of K to 4. */
static size_t scale_bytes(size_t rows, size_t k) {
    return (rows + 127) / 128 * ((k + 63) / 64) * 512;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: %s DIRECTORY KEY\n", arguments[0]);
        return 2;
    }
    nvfp4gen_library *library;
    nvfp4gen_device *device;
    nvfp4gen_kernel *kernel;
    nvfp4gen_launch *launch;
    check(nvfp4gen_library_open(arguments[1], &library));
    check(nvfp4gen_device_open(0, &device));
    check(nvfp4gen_kernel_load(library, device, arguments[2], &kernel));
    check(nvfp4gen_launch_prepare(kernel, &launch));

    /* Five addresses a group. Two codes of 1.0 make the byte 0x22, and a scale of 1.0 is 0x38. */
    size_t groups = nvfp4gen_kernel_groups(kernel);
    uint64_t(*pointers)[5] = calloc(groups, sizeof *pointers);
    for (size_t g = 0; g < groups; g++) {
        uint32_t s[3];
        check(nvfp4gen_kernel_sizes(kernel, g, s));
        size_t m = s[0], n = s[1], k = s[2];
        if (m == 0) continue;
        pointers[g][0] = filled(m * k / 2, 0x22);
        pointers[g][1] = filled(n * k / 2, 0x22);
        pointers[g][2] = filled(scale_bytes(m, k), 0x38);
        pointers[g][3] = filled(scale_bytes(n, k), 0x38);
        pointers[g][4] = filled(m * n * 2, 0xFF);
    }

    check(nvfp4gen_launch_bind(launch, pointers[0], groups)); /* stores, nothing else */
    check(nvfp4gen_launch_enqueue(launch, NULL));             /* one driver call */

    for (size_t g = 0; g < groups; g++) {
        uint32_t s[3];
        check(nvfp4gen_kernel_sizes(kernel, g, s));
        if (s[0] == 0) continue;
        uint16_t *c = malloc((size_t)s[0] * s[1] * 2);
        check_driver(cuMemcpyDtoH_v2(c, pointers[g][4], (size_t)s[0] * s[1] * 2));
        printf("group %zu: K = %u, C is f16 0x%04X to 0x%04X\n", g, s[2], c[0], c[(size_t)s[0] * s[1] - 1]);
        free(c);
        for (int i = 0; i < 5; i++) check_driver(cuMemFree_v2(pointers[g][i]));
    }
    free(pointers);
    nvfp4gen_launch_release(launch);
    nvfp4gen_kernel_unload(kernel);
    nvfp4gen_device_close(device);
    nvfp4gen_library_close(library);
    return 0;
}
