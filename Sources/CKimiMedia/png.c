// PNG by libpng.
#include "fault.h"
#include "pictures.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>

/// What libpng's functions need at hand.
typedef struct {
    const uint8_t *bytes;
    size_t count, place;
    ckm_fault *fault;
    /// What is given back when libpng jumps out.
    uint8_t *row;
    png_bytep *rows;
} source;

static void fail(png_structp png, png_const_charp message) {
    source *s = png_get_error_ptr(png);
    ckm_fail(s->fault, CKM_FORMAT, "PNG: %s", message);
    png_longjmp(png, 1);
}

static void be_silent(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void read(png_structp png, png_bytep to, size_t count) {
    source *s = png_get_io_ptr(png);
    if (s->count - s->place < count) png_error(png, "the file ends early");
    memcpy(to, s->bytes + s->place, count);
    s->place += count;
}

static png_structp start(source *s, png_infop *info) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, s, fail, be_silent);
    if (!png) return NULL;
    *info = png_create_info_struct(png);
    if (!*info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return NULL;
    }
    png_set_read_fn(png, s, read);
    // The caller looks at the size before anything of the picture's size is allocated.
    png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);
    png_set_chunk_cache_max(png, 128);
    png_set_chunk_malloc_max(png, 8 << 20);
    // Text, profiles and the like are stepped over, not unpacked.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    return png;
}

/// The work of a function, where libpng may jump out of it. Whatever must be known afterwards is behind `png`: it is as it was at
/// the jump.
static int32_t find_size(png_structp png, png_infop info, ckm_size *size) {
    if (setjmp(png_jmpbuf(png))) return CKM_FORMAT;
    png_read_info(png, info);
    size->width = png_get_image_width(png, info);
    size->height = png_get_image_height(png, info);
    return CKM_OK;
}

int32_t ckm_png_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault) {
    source s = {bytes, count, 0, fault, NULL, NULL};
    png_infop info = NULL;
    png_structp png = start(&s, &info);
    if (!png) return ckm_fail(fault, CKM_NO_MEMORY, "PNG: no memory");
    const int32_t code = find_size(png, info, size);
    png_destroy_read_struct(&png, &info, NULL);
    return code;
}

/// Turns all kinds of pixels to 8-bit RGB or RGBA; whether the latter.
static int set_transforms(png_structp png, png_infop info) {
    const int has_transparency = png_get_valid(png, info, PNG_INFO_tRNS) != 0;
    const int colour = png_get_color_type(png, info);
    png_set_expand(png);
    png_set_strip_16(png);
    if (colour == PNG_COLOR_TYPE_GRAY || colour == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(png);
    return has_transparency || (colour & PNG_COLOR_MASK_ALPHA);
}

/// Rows one after the other, each composed as it comes.
static void read_rows(png_structp png, source *s, ckm_size size, int has_alpha, uint8_t *rgb) {
    if (!has_alpha) {
        for (uint32_t y = 0; y < size.height; y++) png_read_row(png, rgb + 3 * (size_t)y * size.width, NULL);
        return;
    }
    s->row = malloc(4 * (size_t)size.width);
    if (!s->row) png_error(png, "no memory for a row");
    for (uint32_t y = 0; y < size.height; y++) {
        png_read_row(png, s->row, NULL);
        ckm_compose_on_white(rgb + 3 * (size_t)y * size.width, s->row, size.width, 1, 0);
    }
}

/// An interlaced picture is whole only after its last pass.
static void read_passes(png_structp png, source *s, ckm_size size, int has_alpha, const ckm_limits *limits, uint8_t *rgb) {
    const size_t channels = has_alpha ? 4 : 3, stride = channels * size.width;
    if (has_alpha) {
        if (limits->work / stride < size.height) png_error(png, "interlaced with transparency, and too large for that");
        s->row = malloc(stride * size.height);
    }
    uint8_t *pixels = has_alpha ? s->row : rgb;
    s->rows = malloc(size.height * sizeof *s->rows);
    if (!pixels || !s->rows) png_error(png, "no memory for an interlaced picture");
    for (uint32_t y = 0; y < size.height; y++) s->rows[y] = pixels + y * stride;
    png_read_image(png, s->rows);
    if (has_alpha) ckm_compose_on_white(rgb, pixels, size.width, size.height, stride);
}

/// As find_size.
static int32_t decode(png_structp png, png_infop info, source *s, ckm_size size, const ckm_limits *limits, uint8_t *rgb) {
    if (setjmp(png_jmpbuf(png))) return CKM_FORMAT;
    png_read_info(png, info);
    if (png_get_image_width(png, info) != size.width || png_get_image_height(png, info) != size.height)
        png_error(png, "another size");
    const int has_alpha = set_transforms(png, info);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (has_alpha ? 4 : 3) * (size_t)size.width) png_error(png, "a row of an unexpected length");
    if (passes == 1)
        read_rows(png, s, size, has_alpha, rgb);
    else
        read_passes(png, s, size, has_alpha, limits, rgb);
    png_read_end(png, NULL);
    return CKM_OK;
}

int32_t ckm_png_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                       ckm_fault *fault) {
    source s = {bytes, count, 0, fault, NULL, NULL};
    png_infop info = NULL;
    png_structp png = start(&s, &info);
    if (!png) return ckm_fail(fault, CKM_NO_MEMORY, "PNG: no memory");
    const int32_t code = decode(png, info, &s, size, limits, rgb);
    png_destroy_read_struct(&png, &info, NULL);
    free(s.row);
    free(s.rows);
    return code;
}
