// Pixels as the tower takes them: patch after patch, in each the channels one after the other.
#include "CKimiMedia.h"

void ckm_patches(float *to, size_t begin, size_t end, const uint8_t *pixels, size_t width, size_t height, size_t columns,
                 size_t patch, const float *table) {
    for (size_t p = begin; p < end; p++) {
        const size_t top = p / columns * patch, left = p % columns * patch;
        // How much of the patch the picture covers; the rest is padding, black before it is normalised.
        const size_t wide = left >= width ? 0 : width - left < patch ? width - left : patch;
        for (size_t c = 0; c < 3; c++) {
            const float *value = table + 256 * c;
            for (size_t y = top; y < top + patch; y++, to += patch) {
                const size_t n = y < height ? wide : 0;
                const uint8_t *from = n > 0 ? pixels + 3 * (y * width + left) + c : pixels;
                for (size_t x = 0; x < n; x++) to[x] = value[from[3 * x]];
                for (size_t x = n; x < patch; x++) to[x] = value[0];
            }
        }
    }
}
