// The decoders of each format, called by picture.c, which has told the formats apart.
#ifndef CKM_PICTURES_H
#define CKM_PICTURES_H

#include "CKimiMedia.h"

int32_t ckm_png_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault);
int32_t ckm_png_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb, ckm_fault *fault);
int32_t ckm_jpeg_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault);
int32_t ckm_jpeg_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                        ckm_fault *fault);
int32_t ckm_webp_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault);
int32_t ckm_webp_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                        ckm_fault *fault);
int32_t ckm_gif_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault);
int32_t ckm_gif_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb, ckm_fault *fault);

/// The orientation that EXIF data has, 1 to 8; 1 where there is none, or no sense in it.
int32_t ckm_exif_orientation(const uint8_t *bytes, size_t count);

/// Where the pixel (x, y) of a picture of an orientation belongs: at first + x * across + y * down, in pixels.
typedef struct {
    ptrdiff_t first, across, down;
} ckm_placing;

ckm_placing ckm_place(size_t width, size_t height, int32_t orientation);

/// A colour seen through `alpha` on white, rounded to the nearest.
static inline uint8_t ckm_on_white(uint32_t colour, uint32_t alpha) {
    uint32_t x = colour * alpha + 255 * (255 - alpha) + 128;
    return (uint8_t)((x + (x >> 8)) >> 8);
}

#endif
