/* nvfp4gen: kernels of known problem sizes, loaded once, bound with five addresses a group, launched with one driver call.
 *
 * Every function that can fail returns a status; nvfp4gen_error() then says why, and what to do.
 * Written from capi/src by `NVFP4GEN_BLESS=1 cargo test -p nvfp4gen-capi`, not to be edited. */

#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// What a call came to.
typedef enum {
  // Done.
  NVFP4GEN_STATUS_OK = 0,
  // An argument is null, or not text.
  NVFP4GEN_STATUS_ARGUMENT = 1,
  // There is no driver, no device, or the driver is too old.
  NVFP4GEN_STATUS_NO_DEVICE = 2,
  // The library directory is damaged or not there.
  NVFP4GEN_STATUS_LIBRARY = 3,
  // The library does not have this kernel; the text of the error tells how to add it.
  NVFP4GEN_STATUS_MISSING = 4,
  // The device or the driver cannot run this kernel.
  NVFP4GEN_STATUS_UNFIT = 5,
  // Addresses are missing, null, misaligned or the same.
  NVFP4GEN_STATUS_ADDRESSES = 6,
  // The kernel cannot be used like this: launched early, captured, or in another kernel's graph.
  NVFP4GEN_STATUS_USE = 7,
  // A call of the driver failed.
  NVFP4GEN_STATUS_DRIVER = 8,
  // A mistake in nvfp4gen itself.
  NVFP4GEN_STATUS_INTERNAL = 9,
} nvfp4gen_status;

// A GPU. May be used by several threads at a time.
typedef struct nvfp4gen_device nvfp4gen_device;

// A CUDA graph of one launch. One thread at a time may use it.
typedef struct nvfp4gen_graph nvfp4gen_graph;

// A loaded kernel. May be used by several threads at a time.
typedef struct nvfp4gen_kernel nvfp4gen_kernel;

// A prepared launch: a parameter block of its own. One thread at a time may use it.
typedef struct nvfp4gen_launch nvfp4gen_launch;

// The kernels of a directory. May be used by several threads at a time.
typedef struct nvfp4gen_library nvfp4gen_library;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Why the last call of this thread that failed did so, and what to do. Valid until the next one fails.
const char *nvfp4gen_error(void);

// The version of nvfp4gen.
const char *nvfp4gen_version(void);

// Opens what `nvfp4gen build` wrote to `directory`. No GPU is touched.
//
// # Safety
// `directory` is NUL-terminated, `out` may be written.
nvfp4gen_status nvfp4gen_library_open(const char *directory, nvfp4gen_library **out);

// The key of kernel number `index`, or null if there are not so many. Valid as long as the library.
//
// # Safety
// `library` is a live handle or null.
const char *nvfp4gen_library_key(const nvfp4gen_library *library, size_t index);

// Closes a library. Its kernels stay loaded.
//
// # Safety
// `library` is a live handle or null; it is not used again.
void nvfp4gen_library_close(nvfp4gen_library *library);

// Opens a device by its number, with the context that the CUDA runtime uses. It becomes the calling thread's if that has
// none.
//
// # Safety
// `out` may be written.
nvfp4gen_status nvfp4gen_device_open(uint32_t ordinal,
                                     nvfp4gen_device **out);

// Makes the device's context the calling thread's.
//
// # Safety
// `device` is a live handle or null.
nvfp4gen_status nvfp4gen_device_make_current(const nvfp4gen_device *device);

// Closes a device. Kernels loaded on it keep it.
//
// # Safety
// `device` is a live handle or null; it is not used again.
void nvfp4gen_device_close(nvfp4gen_device *device);

// Loads the kernel of this shape key: once, everything that can be done before addresses are known.
//
// # Safety
// Handles are live, `key` is NUL-terminated, `out` may be written.
nvfp4gen_status nvfp4gen_kernel_load(const nvfp4gen_library *library,
                                     const nvfp4gen_device *device,
                                     const char *key,
                                     nvfp4gen_kernel **out);

// How many groups the kernel has, those without tokens included; 0 for null.
//
// # Safety
// `kernel` is a live handle or null.
size_t nvfp4gen_kernel_groups(const nvfp4gen_kernel *kernel);

// The sizes of a group: M tokens, N weight rows, K elements summed over.
//
// # Safety
// `kernel` is a live handle or null, `sizes` has room for three numbers.
nvfp4gen_status nvfp4gen_kernel_sizes(const nvfp4gen_kernel *kernel, size_t group, uint32_t *sizes);

// Gives a kernel back. It is unloaded with the last of its launches and graphs, which must not be before their work is
// done.
//
// # Safety
// `kernel` is a live handle or null; it is not used again.
void nvfp4gen_kernel_unload(nvfp4gen_kernel *kernel);

// Prepares a launch. The device's context becomes the calling thread's if that has none.
//
// # Safety
// `kernel` is a live handle, `out` may be written.
nvfp4gen_status nvfp4gen_launch_prepare(const nvfp4gen_kernel *kernel, nvfp4gen_launch **out);

// Writes the addresses of all groups into the parameter block: `groups` times five device addresses, in the order A, B,
// SFA, SFB, C. They hold until the next bind. After an error the launch is not bound.
//
// # Safety
// `launch` is a live handle that no other thread uses meanwhile; `pointers` has `5 * groups` addresses. They must lead
// to memory of the operands' sizes until the work of every launch with them is done.
nvfp4gen_status nvfp4gen_launch_bind(nvfp4gen_launch *launch,
                                     const uint64_t *pointers,
                                     size_t groups);

// Launches the kernel on a `CUstream` (null is the default one) with the addresses last bound: one driver call, which
// copies the parameter block.
//
// # Safety
// `launch` is a live handle that no other thread binds meanwhile, `stream` a live stream or null.
nvfp4gen_status nvfp4gen_launch_enqueue(const nvfp4gen_launch *launch,
                                        void *stream);

// Bind and enqueue in one call.
//
// # Safety
// As both.
nvfp4gen_status nvfp4gen_launch_run(nvfp4gen_launch *launch,
                                    void *stream,
                                    const uint64_t *pointers,
                                    size_t groups);

// Whether the kernel may start while the one before it in the stream is still finishing (programmatic dependent launch).
//
// # Safety
// `launch` is a live handle that no other thread uses meanwhile.
nvfp4gen_status nvfp4gen_launch_set_programmatic(nvfp4gen_launch *launch,
                                                 bool on);

// Gives a launch back. Its work goes on.
//
// # Safety
// `launch` is a live handle or null; it is not used again.
void nvfp4gen_launch_release(nvfp4gen_launch *launch);

// Records a bound launch into a graph. Launches can be captured by the caller's own graphs as well: enqueue into a stream
// that is being captured.
//
// # Safety
// `launch` is a live handle that no other thread uses meanwhile, `out` may be written.
nvfp4gen_status nvfp4gen_graph_record(const nvfp4gen_launch *launch,
                                      nvfp4gen_graph **out);

// Takes over the addresses of a launch of the same kernel, for the replays to come.
//
// # Safety
// Both are live handles that no other thread uses meanwhile.
nvfp4gen_status nvfp4gen_graph_update(nvfp4gen_graph *graph, const nvfp4gen_launch *launch);

// Launches the graph on a `CUstream` (null is the default one).
//
// # Safety
// `graph` is a live handle that no other thread uses meanwhile, `stream` a live stream or null.
nvfp4gen_status nvfp4gen_graph_replay(const nvfp4gen_graph *graph, void *stream);

// Gives a graph back. Replays in flight go on.
//
// # Safety
// `graph` is a live handle or null; it is not used again.
void nvfp4gen_graph_release(nvfp4gen_graph *graph);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus
