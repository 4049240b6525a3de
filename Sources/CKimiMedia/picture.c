// Tells the picture formats apart by their content, and puts pixels where they belong.
#include "fault.h"
#include "pictures.h"

int32_t ckm_picture_kind(const uint8_t *bytes, size_t count) {
    if (count >= 8 && memcmp(bytes, "\x89PNG\r\n\x1A\n", 8) == 0) return CKM_PNG;
    if (count >= 3 && memcmp(bytes, "\xFF\xD8\xFF", 3) == 0) return CKM_JPEG;
    if (count >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0) return CKM_WEBP;
    if (count >= 6 && (memcmp(bytes, "GIF87a", 6) == 0 || memcmp(bytes, "GIF89a", 6) == 0)) return CKM_GIF;
    return CKM_NO_PICTURE;
}

static int32_t no_picture(ckm_fault *fault) { return ckm_fail(fault, CKM_UNSUPPORTED, "neither PNG nor JPEG, WebP or GIF"); }

int32_t ckm_picture_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault) {
    switch (ckm_picture_kind(bytes, count)) {
    case CKM_PNG: return ckm_png_size(bytes, count, size, fault);
    case CKM_JPEG: return ckm_jpeg_size(bytes, count, size, fault);
    case CKM_WEBP: return ckm_webp_size(bytes, count, size, fault);
    case CKM_GIF: return ckm_gif_size(bytes, count, size, fault);
    default: return no_picture(fault);
    }
}

int32_t ckm_picture_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                           ckm_fault *fault) {
    switch (ckm_picture_kind(bytes, count)) {
    case CKM_PNG: return ckm_png_decode(bytes, count, size, limits, rgb, fault);
    case CKM_JPEG: return ckm_jpeg_decode(bytes, count, size, limits, rgb, fault);
    case CKM_WEBP: return ckm_webp_decode(bytes, count, size, limits, rgb, fault);
    case CKM_GIF: return ckm_gif_decode(bytes, count, size, limits, rgb, fault);
    default: return no_picture(fault);
    }
}

ckm_placing ckm_place(size_t width, size_t height, int32_t orientation) {
    ptrdiff_t w = (ptrdiff_t)width, h = (ptrdiff_t)height;
    switch (orientation) {
    case 2: return (ckm_placing){w - 1, -1, w};       // mirrored
    case 3: return (ckm_placing){w * h - 1, -1, -w};  // upside down
    case 4: return (ckm_placing){w * (h - 1), 1, -w}; // mirrored, upside down
    case 5: return (ckm_placing){0, h, 1};            // mirrored, to be turned left
    case 6: return (ckm_placing){h - 1, h, -1};       // to be turned right
    case 7: return (ckm_placing){w * h - 1, -h, -1};  // mirrored, to be turned right
    case 8: return (ckm_placing){h * (w - 1), -h, 1}; // to be turned left
    default: return (ckm_placing){0, 1, w};
    }
}

void ckm_orient(uint8_t *to, const uint8_t *from, size_t width, size_t height, size_t stride, int32_t orientation) {
    const ckm_placing place = ckm_place(width, height, orientation);
    for (size_t y = 0; y < height; y++) {
        const uint8_t *row = from + y * stride;
        uint8_t *at = to + 3 * (place.first + (ptrdiff_t)y * place.down);
        if (place.across == 1) {
            memcpy(at, row, 3 * width);
            continue;
        }
        for (size_t x = 0; x < width; x++, row += 3) {
            uint8_t *pixel = at + 3 * (ptrdiff_t)x * place.across;
            pixel[0] = row[0], pixel[1] = row[1], pixel[2] = row[2];
        }
    }
}

void ckm_compose_on_white(uint8_t *rgb, const uint8_t *rgba, size_t width, size_t height, size_t stride) {
    for (size_t y = 0; y < height; y++) {
        const uint8_t *from = rgba + y * stride;
        for (size_t x = 0; x < width; x++, from += 4, rgb += 3)
            for (int c = 0; c < 3; c++) rgb[c] = ckm_on_white(from[c], from[3]);
    }
}
