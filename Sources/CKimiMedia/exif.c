// The one field of EXIF that changes how a picture looks.
#include "pictures.h"

#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t count;
    int is_big_endian;
} tiff;

/// `size` bytes (2 or 4) as a number; 0 beyond the end.
static uint32_t number(const tiff *t, size_t at, size_t size) {
    if (at > t->count || t->count - at < size) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | t->bytes[at + (t->is_big_endian ? i : size - 1 - i)];
    return value;
}

int32_t ckm_exif_orientation(const uint8_t *bytes, size_t count) {
    if (count < 14 || memcmp(bytes, "Exif\0\0", 6) != 0) return 1;
    tiff t = {bytes + 6, count - 6, 0};
    if (memcmp(t.bytes, "MM", 2) == 0)
        t.is_big_endian = 1;
    else if (memcmp(t.bytes, "II", 2) != 0)
        return 1;
    if (number(&t, 2, 2) != 42) return 1;
    const size_t directory = number(&t, 4, 4);
    const uint32_t entries = number(&t, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        const size_t entry = directory + 2 + 12 * (size_t)i;
        if (entry > t.count || t.count - entry < 12) return 1;
        if (number(&t, entry, 2) != 0x0112) continue;
        // A SHORT, though some write a LONG.
        const uint32_t value = number(&t, entry + 8, number(&t, entry + 2, 2) == 4 ? 4 : 2);
        return value >= 1 && value <= 8 ? (int32_t)value : 1;
    }
    return 1;
}
