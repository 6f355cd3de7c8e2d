/* bitwright in C: runs an artifact, the file that `bitwright quantize` writes, without Python.
 *
 * Errors are text in memory of the caller: where a function takes `error`, it writes there, cut to `error_bytes`, what went
 * wrong, and an empty text where nothing did; null is for those who do not want to know. No exception leaves the library.
 * Any number of threads may call functions on one model at once, except for bitwright_close. See docs/embedding.md. */
#ifndef BITWRIGHT_H
#define BITWRIGHT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && !defined(BITWRIGHT_STATIC)
#ifdef BITWRIGHT_BUILDING
#define BITWRIGHT_API __declspec(dllexport)
#else
#define BITWRIGHT_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define BITWRIGHT_API __attribute__((visibility("default")))
#else
#define BITWRIGHT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bitwright_model bitwright_model;

/* The version of the library, such as "0.2.0". */
BITWRIGHT_API const char* bitwright_version(void);

/* The model of the artifact in a file, or in `bytes` bytes of memory, which are not needed afterwards. `threads` share the work
 * of a call; 0: as many as this process may use. The environment variable BITWRIGHT_ISA bounds the instructions. Null where the
 * file is missing, damaged, foreign or inconsistent. */
BITWRIGHT_API bitwright_model* bitwright_open(const char* path, int threads, char* error, size_t error_bytes);
BITWRIGHT_API bitwright_model* bitwright_open_memory(const void* artifact, size_t bytes, int threads, char* error,
                                                     size_t error_bytes);

/* Frees a model, which no call may be using any more. Null is nothing to free. */
BITWRIGHT_API void bitwright_close(bitwright_model* model);

/* What an image is: height, width and channels of its pixels, and their order, "RGB", "BGR" or "L" (grey). */
BITWRIGHT_API void bitwright_image(const bitwright_model* model, int* height, int* width, int* channels);
BITWRIGHT_API const char* bitwright_mode(const bitwright_model* model);

/* How many logits an image has, and how many classes they tell apart: as many, but two where there is one logit, which is above
 * 0 for the second class. The name of class 0.. is UTF-8, its number where the artifact has no names, and null for a class that
 * there is not; it lives as long as the model. */
BITWRIGHT_API int bitwright_logits(const bitwright_model* model);
BITWRIGHT_API int bitwright_classes(const bitwright_model* model);
BITWRIGHT_API const char* bitwright_class_name(const bitwright_model* model, int number);

/* Logits, float32 [count, bitwright_logits(model)], of images, uint8 [count, height, width, channels] without gaps. The bytes
 * are those of Python's engine on every processor and with any number of threads. Returns 0, or -1 with an error. */
BITWRIGHT_API int bitwright_run(const bitwright_model* model, const uint8_t* pixels, size_t count, float* logits, char* error,
                                size_t error_bytes);

#ifdef __cplusplus
}
#endif

#endif
