/* Pixels on their way to the tower, in buffers of exactly their size: turning, composing, resizing, patches; EXIF data of all
   kinds; and the decoders' own code on bytes that only begin as pictures do. */
#include "support.h"

#include "CKimiMedia.h"
#include "pictures.h"

static uint8_t *noise(size_t bytes) {
    uint8_t *to = exact(bytes, 1);
    for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)random_bits();
    return to;
}

/* Mostly small, now and then long. */
static size_t side(void) { return 1 + below(below(4) ? 40 : 700); }

static void turn(void) {
    const size_t width = 1 + below(30), height = 1 + below(30), stride = 3 * width + below(5);
    const int32_t orientation = 1 + (int32_t)below(8), back = orientation == 6 ? 8 : orientation == 8 ? 6 : orientation;
    uint8_t *from = noise(stride * (height - 1) + 3 * width), *to = exact(3 * width * height, 1),
            *again = exact(3 * width * height, 1);
    ckm_orient(to, from, width, height, stride, orientation);
    const bool is_turned = orientation >= 5;
    ckm_orient(again, to, is_turned ? height : width, is_turned ? width : height, 3 * (is_turned ? height : width), back);
    for (size_t y = 0; y < height; y++) same_bytes(again + 3 * width * y, from + stride * y, 3 * width, "ckm_orient", "and back");
    give_back(again);
    give_back(to);
    give_back(from);
}

static void compose(void) {
    const size_t width = 1 + below(30), height = 1 + below(30), stride = 4 * width + below(5);
    uint8_t *from = noise(stride * (height - 1) + 4 * width), *to = exact(3 * width * height, 1);
    ckm_compose_on_white(to, from, width, height, stride);
    for (size_t i = 0; i < 3 * width * height; i++) {
        const uint8_t *pixel = from + i / 3 / width * stride + 4 * (i / 3 % width);
        const double right = (pixel[i % 3] * pixel[3] + 255.0 * (255 - pixel[3])) / 255;
        REQUIRE(to[i] >= right - 0.5 && to[i] <= right + 0.5, "%d for %f", to[i], right);
    }
    give_back(to);
    give_back(from);
}

static void resize(void) {
    const size_t width = side(), height = side(), to_width = below(3) ? 1 + below(width) : side(),
                 to_height = below(3) ? 1 + below(height) : side();
    uint8_t *from = noise(3 * width * height), *to = exact(3 * to_width * to_height, 1);
    /* All of one colour stays that. */
    const uint8_t colour = (uint8_t)random_bits();
    const bool is_plain = below(2);
    if (is_plain) memset(from, colour, 3 * width * height);
    REQUIRE(ckm_resize(to, to_width, to_height, from, width, height) == CKM_OK, "%zu x %zu", width, height);
    for (size_t i = 0; is_plain && i < 3 * to_width * to_height; i++)
        REQUIRE(abs(to[i] - colour) <= 1, "%d of %d, %zu x %zu to %zu x %zu", to[i], colour, width, height, to_width, to_height);
    give_back(to);
    give_back(from);
}

static void cut(void) {
    const size_t width = 1 + below(60), height = 1 + below(60), patch = 1 + below(16);
    const size_t columns = (width + patch - 1) / patch + below(2), rows = (height + patch - 1) / patch + below(2);
    const size_t begin = below(columns * rows), end = begin + 1 + below(columns * rows - begin), each = 3 * patch * patch;
    float *table = floats(3 * 256, ORDINARY), *to = floats((end - begin) * each, ORDINARY);
    uint8_t *pixels = noise(3 * width * height);
    ckm_patches(to, begin, end, pixels, width, height, columns, patch, table);
    for (size_t i = 0; i < (end - begin) * each; i++) {
        const size_t p = begin + i / each, c = i / patch / patch % 3, y = p / columns * patch + i / patch % patch,
                     x = p % columns * patch + i % patch;
        const float right = table[256 * c + (x < width && y < height ? pixels[3 * (y * width + x) + c] : 0)];
        REQUIRE(to[i] == right, "patch %zu, channel %zu, %zu, %zu", p, c, x, y);
    }
    give_back(pixels);
    give_back(to);
    give_back(table);
}

static void read_exif(void) {
    static const uint8_t whole[] = {'E',  'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                                    0x12, 1,   3,   0,   1, 0, 0,   0,   6,  0, 0, 0, 0, 0, 0, 0};
    const size_t count = below(4) ? sizeof whole : below(sizeof whole);
    uint8_t *bytes = exact(count, 1);
    memcpy(bytes, whole, count);
    if (count == sizeof whole) REQUIRE(ckm_exif_orientation(bytes, count) == 6, "EXIF");
    for (size_t i = below(6); i > 0 && count > 0; i--) bytes[below(count)] = (uint8_t)random_bits();
    const int32_t found = ckm_exif_orientation(bytes, count);
    REQUIRE(found >= 1 && found <= 8, "%d", found);
    give_back(bytes);
}

static void read_noise(void) {
    static const char *const heads[] = {"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\4\0\0\0\4", "\xFF\xD8\xFF\xE1",
                                        "RIFF\x40\0\0\0WEBPVP8 ", "GIF89a\4\0\4\0\x80\0"};
    static const size_t lengths[] = {24, 4, 16, 12};
    const size_t kind = below(4), count = lengths[kind] + below(200);
    uint8_t *bytes = noise(count);
    memcpy(bytes, heads[kind], lengths[kind]);
    const ckm_limits limits = {1 << 16, 1 << 12, 1 << 20};
    ckm_size size;
    ckm_fault fault;
    if (ckm_picture_size(bytes, count, &size, &fault) == CKM_OK && (uint64_t)size.width * size.height <= limits.pixels &&
        size.width && size.height) {
        uint8_t *rgb = exact(3 * (size_t)size.width * size.height, 1);
        ckm_picture_decode(bytes, count, size, &limits, rgb, &fault);
        give_back(rgb);
    }
    ckm_gif *gif;
    if (ckm_gif_open(bytes, count, &limits, 100, &gif, &size, &fault) == CKM_OK) {
        while (ckm_gif_next(gif, &fault) == CKM_OK) continue;
        ckm_gif_close(gif);
    }
    give_back(bytes);
}

void check_media(size_t rounds) {
    void (*const parts[])(void) = {turn, compose, resize, cut, read_exif, read_noise};
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) parts[i]();
}
