// GIF by giflib, frame after frame; what is transparent or not painted is white.
#include "fault.h"
#include "pictures.h"

#include <gif_lib.h>
#include <stdlib.h>

/// Of all frames of a file together: a minute of decoding, and more than files that are meant to be seen have.
static const uint64_t most_pixels = 1ull << 33;

typedef struct {
    size_t x, y, width, height;
} area;

struct ckm_gif {
    const uint8_t *bytes;
    size_t count, place;
    GifFileType *file;
    ckm_limits limits;
    ckm_size size;
    /// [height, width, 3]; the caller's where a picture is decoded.
    uint8_t *canvas;
    int owns_canvas;
    /// What was there before a frame that is to be undone.
    uint8_t *saved;
    uint8_t *line;
    /// How the frame before this one goes, and where it was.
    int disposal;
    area painted;
    /// Of the frame to come.
    GraphicsControlBlock control;
    size_t frame_count;
    uint64_t *times;
};

static int read(GifFileType *file, GifByteType *to, int count) {
    ckm_gif *g = file->UserData;
    const size_t left = g->count - g->place, taken = count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;
    memcpy(to, g->bytes + g->place, taken);
    g->place += taken;
    return (int)taken;
}

static int32_t fail(ckm_gif *g, ckm_fault *fault) {
    if (g->file && g->file->Error == D_GIF_ERR_NOT_ENOUGH_MEM) return ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
    if (g->place == g->count) return ckm_fail(fault, CKM_FORMAT, "GIF: the file ends early");
    const char *text = g->file ? GifErrorString(g->file->Error) : NULL;
    return ckm_fail(fault, CKM_FORMAT, "GIF: %s", text ? text : "damaged");
}

static void forget_control(ckm_gif *g) {
    g->control = (GraphicsControlBlock){.DisposalMode = DISPOSAL_UNSPECIFIED, .TransparentColor = NO_TRANSPARENT_COLOR};
}

static int32_t begin(ckm_gif *g, ckm_fault *fault) {
    int error = 0;
    g->place = 0;
    forget_control(g);
    g->disposal = DISPOSAL_UNSPECIFIED;
    g->file = DGifOpen(g, read, &error);
    if (g->file) return CKM_OK;
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM) return ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
    return ckm_fail(fault, CKM_FORMAT, "GIF: %s", g->place == g->count ? "the file ends early" : "the header is damaged");
}

static void end(ckm_gif *g) {
    int error;
    if (g->file) DGifCloseFile(g->file, &error);
    g->file = NULL;
}

/// Goes on to the next frame's description. `is_end` tells that there is none.
static int32_t next_image(ckm_gif *g, int *is_end, ckm_fault *fault) {
    *is_end = 0;
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(g->file, &type) != GIF_OK) return fail(g, fault);
        if (type == TERMINATE_RECORD_TYPE) {
            *is_end = 1;
            return CKM_OK;
        }
        if (type == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(g->file) == GIF_OK ? CKM_OK : fail(g, fault);
        if (type != EXTENSION_RECORD_TYPE) continue;
        int code;
        GifByteType *block;
        if (DGifGetExtension(g->file, &code, &block) != GIF_OK) return fail(g, fault);
        if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] == 4) DGifExtensionToGCB(4, block + 1, &g->control);
        while (block)
            if (DGifGetExtensionNext(g->file, &block) != GIF_OK) return fail(g, fault);
    }
}

static area image_area(const ckm_gif *g) {
    const GifImageDesc *d = &g->file->Image;
    return (area){(size_t)d->Left, (size_t)d->Top, (size_t)d->Width, (size_t)d->Height};
}

/// The screen, and where the first frame is larger, that frame too.
static int32_t find_size(ckm_gif *g, ckm_size *size, ckm_fault *fault) {
    int is_end;
    const int32_t code = next_image(g, &is_end, fault);
    if (code != CKM_OK) return code;
    if (is_end) return ckm_fail(fault, CKM_FORMAT, "GIF: without a frame");
    const area image = image_area(g);
    const size_t right = image.x + image.width, bottom = image.y + image.height;
    const size_t width = g->file->SWidth > 0 ? (size_t)g->file->SWidth : 0,
                 height = g->file->SHeight > 0 ? (size_t)g->file->SHeight : 0;
    size->width = (uint32_t)(right > width ? right : width);
    size->height = (uint32_t)(bottom > height ? bottom : height);
    return CKM_OK;
}

int32_t ckm_gif_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault) {
    ckm_gif g = {.bytes = bytes, .count = count};
    int32_t code = begin(&g, fault);
    if (code == CKM_OK) code = find_size(&g, size, fault);
    end(&g);
    return code;
}

/// Copies an area between the canvas and what is saved of it.
static void copy_area(ckm_gif *g, area a, int restores) {
    for (size_t y = a.y; y < a.y + a.height; y++) {
        uint8_t *on_canvas = g->canvas + 3 * (y * g->size.width + a.x);
        uint8_t *kept = g->saved + 3 * (y - a.y) * a.width;
        memcpy(restores ? on_canvas : kept, restores ? kept : on_canvas, 3 * a.width);
    }
}

/// Undoes the frame before, as that frame asked for.
static void dispose(ckm_gif *g) {
    if (g->disposal == DISPOSE_PREVIOUS && g->saved) copy_area(g, g->painted, 1);
    if (g->disposal == DISPOSE_BACKGROUND)
        for (size_t y = g->painted.y; y < g->painted.y + g->painted.height; y++)
            memset(g->canvas + 3 * (y * g->size.width + g->painted.x), 255, 3 * g->painted.width);
}

/// The part of the frame that lies on the canvas.
static area visible_area(const ckm_gif *g, area image) {
    area a = image;
    if (a.x > g->size.width) a.x = g->size.width;
    if (a.y > g->size.height) a.y = g->size.height;
    if (a.width > g->size.width - a.x) a.width = g->size.width - a.x;
    if (a.height > g->size.height - a.y) a.height = g->size.height - a.y;
    return a;
}

static int32_t paint_line(ckm_gif *g, const ColorMapObject *map, area image, area seen, size_t y, ckm_fault *fault) {
    if (DGifGetLine(g->file, g->line, (int)image.width) != GIF_OK) return fail(g, fault);
    if (y >= seen.height) return CKM_OK;
    uint8_t *to = g->canvas + 3 * ((seen.y + y) * g->size.width + seen.x);
    for (size_t x = 0; x < seen.width; x++, to += 3) {
        const int index = g->line[x];
        if (index == g->control.TransparentColor) continue;
        const GifColorType colour = index < map->ColorCount ? map->Colors[index] : (GifColorType){0, 0, 0};
        to[0] = colour.Red, to[1] = colour.Green, to[2] = colour.Blue;
    }
    return CKM_OK;
}

/// The frame whose description was read, onto the canvas.
static int32_t paint(ckm_gif *g, ckm_fault *fault) {
    const area image = image_area(g), seen = visible_area(g, image);
    const ColorMapObject *map = g->file->Image.ColorMap ? g->file->Image.ColorMap : g->file->SColorMap;
    if (!map || !map->Colors) return ckm_fail(fault, CKM_FORMAT, "GIF: a frame without colours");
    if (image.width == 0 || image.height == 0)
        return ckm_fail(fault, CKM_FORMAT, "GIF: a frame of %zu x %zu pixels", image.width, image.height);
    if (image.width > g->limits.side || image.height > g->limits.pixels / image.width)
        return ckm_fail(fault, CKM_LIMIT, "GIF: a frame of %zu x %zu pixels", image.width, image.height);
    dispose(g);
    if (g->control.DisposalMode == DISPOSE_PREVIOUS) {
        if (3 * seen.width * seen.height > g->limits.work) return ckm_fail(fault, CKM_LIMIT, "GIF: a frame too large to be undone");
        free(g->saved);
        g->saved = malloc(3 * seen.width * seen.height + 1);
        if (!g->saved) return ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
        copy_area(g, seen, 0);
    }
    free(g->line);
    g->line = malloc(image.width);
    if (!g->line) return ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
    static const size_t starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    int32_t code = CKM_OK;
    if (g->file->Image.Interlace) {
        for (int pass = 0; pass < 4; pass++)
            for (size_t y = starts[pass]; y < image.height && code == CKM_OK; y += steps[pass])
                code = paint_line(g, map, image, seen, y, fault);
    } else {
        for (size_t y = 0; y < image.height && code == CKM_OK; y++) code = paint_line(g, map, image, seen, y, fault);
    }
    g->disposal = g->control.DisposalMode;
    g->painted = seen;
    forget_control(g);
    return code;
}

int32_t ckm_gif_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                       ckm_fault *fault) {
    ckm_gif g = {.bytes = bytes, .count = count, .limits = *limits, .size = size, .canvas = rgb};
    ckm_size found = {0, 0};
    int32_t code = begin(&g, fault);
    if (code == CKM_OK) code = find_size(&g, &found, fault);
    if (code == CKM_OK && (found.width != size.width || found.height != size.height))
        code = ckm_fail(fault, CKM_FORMAT, "GIF: another size");
    if (code == CKM_OK) {
        memset(rgb, 255, 3 * (size_t)size.width * size.height);
        code = paint(&g, fault);
    }
    end(&g);
    free(g.line);
    free(g.saved);
    return code;
}

// ---------------------------------------------------------------------------------------------------------------------
// As a clip

/// Steps over a frame's codes without decoding them.
static int32_t skip_codes(ckm_gif *g, ckm_fault *fault) {
    int size;
    GifByteType *block;
    if (DGifGetCode(g->file, &size, &block) != GIF_OK) return fail(g, fault);
    while (block)
        if (DGifGetCodeNext(g->file, &block) != GIF_OK) return fail(g, fault);
    return CKM_OK;
}

/// Counts the frames and their times.
static int32_t scan(ckm_gif *g, size_t most_frames, ckm_fault *fault) {
    int32_t code = begin(g, fault);
    if (code == CKM_OK) code = find_size(g, &g->size, fault);
    uint64_t now = 0, pixels = 0;
    size_t room = 0;
    for (int is_end = 0; code == CKM_OK && !is_end;) {
        if (g->frame_count >= most_frames) return ckm_fail(fault, CKM_LIMIT, "GIF: more than %zu frames", most_frames);
        if (g->frame_count + 2 > room) {
            room = 2 * room + 64;
            uint64_t *larger = realloc(g->times, room * sizeof *larger);
            if (!larger) return ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
            g->times = larger;
        }
        const area image = image_area(g);
        pixels += (uint64_t)image.width * image.height;
        if (pixels > most_pixels) return ckm_fail(fault, CKM_LIMIT, "GIF: more than 2^33 pixels in its frames");
        g->times[g->frame_count++] = now;
        // Browsers show frames that claim less for a tenth of a second, and files are made for them.
        now += g->control.DelayTime > 1 ? (uint64_t)g->control.DelayTime : 10;
        g->times[g->frame_count] = now;
        forget_control(g);
        code = skip_codes(g, fault);
        if (code == CKM_OK) code = next_image(g, &is_end, fault);
    }
    return code;
}

int32_t ckm_gif_open(const uint8_t *bytes, size_t count, const ckm_limits *limits, size_t most_frames, ckm_gif **out,
                     ckm_size *size, ckm_fault *fault) {
    *out = NULL;
    ckm_gif *g = calloc(1, sizeof *g);
    if (!g) return ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
    g->bytes = bytes, g->count = count, g->limits = *limits;
    int32_t code = scan(g, most_frames, fault);
    end(g);
    if (code == CKM_OK && (g->size.width == 0 || g->size.height == 0 || g->size.width > limits->side ||
                           g->size.height > limits->side || (uint64_t)g->size.width * g->size.height > limits->pixels))
        code = ckm_fail(fault, CKM_LIMIT, "GIF: %u x %u pixels", g->size.width, g->size.height);
    if (code == CKM_OK) {
        const size_t room = 3 * (size_t)g->size.width * g->size.height;
        g->canvas = malloc(room);
        g->owns_canvas = 1;
        if (g->canvas)
            memset(g->canvas, 255, room);
        else
            code = ckm_fail(fault, CKM_NO_MEMORY, "GIF: no memory");
    }
    if (code == CKM_OK) code = begin(g, fault);
    if (code != CKM_OK) {
        ckm_gif_close(g);
        return code;
    }
    *size = g->size;
    *out = g;
    return CKM_OK;
}

size_t ckm_gif_frame_count(const ckm_gif *gif) { return gif->frame_count; }
const uint64_t *ckm_gif_times(const ckm_gif *gif) { return gif->times; }
const uint8_t *ckm_gif_pixels(const ckm_gif *gif) { return gif->canvas; }

int32_t ckm_gif_next(ckm_gif *gif, ckm_fault *fault) {
    int is_end;
    const int32_t code = next_image(gif, &is_end, fault);
    if (code != CKM_OK) return code;
    if (is_end) return ckm_fail(fault, CKM_FORMAT, "GIF: fewer frames than before");
    return paint(gif, fault);
}

void ckm_gif_close(ckm_gif *gif) {
    if (!gif) return;
    end(gif);
    if (gif->owns_canvas) free(gif->canvas);
    free(gif->saved);
    free(gif->line);
    free(gif->times);
    free(gif);
}
