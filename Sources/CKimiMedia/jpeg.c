// JPEG by libjpeg-turbo, with its exact inverse transform and smooth chroma, as the reference has it.
#include "fault.h"
#include "pictures.h"

#include <setjmp.h>
#include <stdlib.h>

// jpeglib.h wants stdio.h first, jerror.h wants jpeglib.h.
#include <jpeglib.h>

#include <jerror.h>

/// libjpeg's error state, and what its functions need at hand.
typedef struct {
    struct jpeg_error_mgr errors;
    jmp_buf jump;
    ckm_fault *fault;
    int32_t code;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    int most_scans;
    uint8_t *row;
} state;

static state *state_of(j_common_ptr info) { return (state *)info->err; }

static void fail(j_common_ptr info) {
    state *s = state_of(info);
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    s->code = ckm_fail(s->fault, info->err->msg_code == JERR_OUT_OF_MEMORY ? CKM_NO_MEMORY : CKM_FORMAT, "JPEG: %s", text);
    longjmp(s->jump, 1);
}

static void fail_with(j_common_ptr info, int32_t code, const char *text) {
    state *s = state_of(info);
    s->code = ckm_fail(s->fault, code, "JPEG: %s", text);
    longjmp(s->jump, 1);
}

/// libjpeg goes on with grey where data are damaged; half a picture must not pass for a whole one.
static void weigh(j_common_ptr info, int level) {
    if (level >= 0) return;
    switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_JPEG_EOF:
    case JWRN_NOT_SEQUENTIAL: fail(info);
    default: return;
    }
}

static void be_silent(j_common_ptr info) { (void)info; }

static void do_nothing(j_decompress_ptr info) { (void)info; }

static boolean end_early(j_decompress_ptr info) {
    fail_with((j_common_ptr)info, CKM_FORMAT, "the file ends early");
    return FALSE;
}

static void skip(j_decompress_ptr info, long count) {
    if (count <= 0) return;
    if ((unsigned long)count > info->src->bytes_in_buffer) end_early(info);
    info->src->next_input_byte += count;
    info->src->bytes_in_buffer -= (unsigned long)count;
}

/// A progressive picture may have scans without end, each of which takes time and few bytes.
static void count_scans(j_common_ptr info) {
    if (info->is_decompressor && ((j_decompress_ptr)info)->input_scan_number > state_of(info)->most_scans)
        fail_with(info, CKM_LIMIT, "too many scans for its size");
}

/// Everything up to where the header has been read. `s->jump` is set.
static void read_header(j_decompress_ptr info, state *s, const uint8_t *bytes, size_t count) {
    info->src = &s->source;
    s->source = (struct jpeg_source_mgr){.next_input_byte = bytes,
                                         .bytes_in_buffer = count,
                                         .init_source = do_nothing,
                                         .fill_input_buffer = end_early,
                                         .skip_input_data = skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = do_nothing};
    jpeg_save_markers(info, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(info, TRUE);
}

static void start(j_decompress_ptr info, state *s, ckm_fault *fault) {
    memset(s, 0, sizeof *s);
    memset(info, 0, sizeof *info);
    s->fault = fault;
    s->code = CKM_FORMAT;
    info->err = jpeg_std_error(&s->errors);
    s->errors.error_exit = fail;
    s->errors.emit_message = weigh;
    s->errors.output_message = be_silent;
}

static int32_t orientation(j_decompress_ptr info) {
    for (jpeg_saved_marker_ptr marker = info->marker_list; marker; marker = marker->next) {
        const int32_t found = ckm_exif_orientation(marker->data, marker->data_length);
        if (found != 1) return found;
    }
    return 1;
}

/// The work of a function, where libjpeg may jump out of it. Whatever must be known afterwards is in `s` and `info`, which belong
/// to the caller: they are as they were at the jump.
static int32_t find_size(j_decompress_ptr info, state *s, const uint8_t *bytes, size_t count, ckm_size *size) {
    if (setjmp(s->jump)) return s->code;
    jpeg_create_decompress(info);
    read_header(info, s, bytes, count);
    const int is_turned = orientation(info) >= 5;
    size->width = is_turned ? info->image_height : info->image_width;
    size->height = is_turned ? info->image_width : info->image_height;
    return CKM_OK;
}

int32_t ckm_jpeg_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault) {
    struct jpeg_decompress_struct info;
    state s;
    start(&info, &s, fault);
    const int32_t code = find_size(&info, &s, bytes, count, size);
    jpeg_destroy_decompress(&info);
    return code;
}

/// Four inks as Adobe's programs store them, 255 for none: what is left of the light.
static void inks_to_rgb(uint8_t *to, const uint8_t *from, size_t width) {
    for (size_t x = 0; x < width; x++, from += 4, to += 3) {
        for (int c = 0; c < 3; c++) {
            const uint32_t product = (255u - from[c]) * from[3] + 128;
            const int32_t left = from[3] - (int32_t)((product + (product >> 8)) >> 8);
            to[c] = (uint8_t)(left < 0 ? 0 : left);
        }
    }
}

/// The scan lines, each to where it belongs in the upright picture.
static void read_lines(j_decompress_ptr info, state *s, uint8_t *rgb, int32_t turned) {
    const size_t width = info->output_width, height = info->output_height;
    const int has_inks = info->out_color_space == JCS_CMYK;
    const ckm_placing place = ckm_place(width, height, turned);
    s->row = malloc((has_inks ? 7 : 3) * width);
    if (!s->row) fail_with((j_common_ptr)info, CKM_NO_MEMORY, "no memory for a row");
    while (info->output_scanline < info->output_height) {
        const ptrdiff_t y = info->output_scanline;
        uint8_t *to = rgb + 3 * (place.first + y * place.down);
        JSAMPROW line = has_inks ? s->row + 3 * width : place.across == 1 ? to : s->row;
        if (jpeg_read_scanlines(info, &line, 1) != 1) end_early(info);
        if (has_inks) inks_to_rgb(s->row, line, width), line = s->row;
        if (line == to) continue;
        for (size_t x = 0; x < width; x++, line += 3, to += 3 * place.across) to[0] = line[0], to[1] = line[1], to[2] = line[2];
    }
}

/// As find_size.
static int32_t decode(j_decompress_ptr info, state *s, const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits,
                      uint8_t *rgb) {
    if (setjmp(s->jump)) return s->code;
    jpeg_create_decompress(info);
    info->mem->max_memory_to_use = limits->work < 1ul << 40 ? (long)limits->work : 1l << 40;
    read_header(info, s, bytes, count);
    const int32_t turned = orientation(info);
    if (size.width != (turned >= 5 ? info->image_height : info->image_width) ||
        size.height != (turned >= 5 ? info->image_width : info->image_height))
        fail_with((j_common_ptr)info, CKM_FORMAT, "another size");
    const int has_inks = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = has_inks ? JCS_CMYK : JCS_RGB;
    info->dct_method = JDCT_ISLOW;
    info->do_fancy_upsampling = TRUE;
    // In all no more than what 500 scans of a picture of 3,000 x 3,000 take.
    const uint64_t scans = 500ull * 9000000 / ((uint64_t)size.width * size.height);
    s->most_scans = scans > 500 ? 500 : scans < 30 ? 30 : (int)scans;
    s->progress.progress_monitor = count_scans;
    info->progress = &s->progress;
    jpeg_start_decompress(info);
    if (info->output_width != info->image_width || info->output_height != info->image_height ||
        info->output_components != (has_inks ? 4 : 3))
        fail_with((j_common_ptr)info, CKM_FORMAT, "a row of an unexpected length");
    read_lines(info, s, rgb, turned);
    jpeg_finish_decompress(info);
    return CKM_OK;
}

int32_t ckm_jpeg_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                        ckm_fault *fault) {
    struct jpeg_decompress_struct info;
    state s;
    start(&info, &s, fault);
    const int32_t code = decode(&info, &s, bytes, count, size, limits, rgb);
    jpeg_destroy_decompress(&info);
    free(s.row);
    return code;
}
