// A video's bytes as FFmpeg reads them, and the packets of its picture stream.
#ifndef CKM_VIDEO_INPUT_H
#define CKM_VIDEO_INPUT_H

#include "libav.h"

/// Where the bytes are, and who may stop the reading.
typedef struct {
    const ckm_libav *av;
    const uint8_t *bytes;
    int32_t descriptor;
    size_t count, place;
    ckm_is_cancelled is_cancelled;
    void *user_data;
    /// Of the last read that failed, 0 if none did.
    int read_errno;
    AVIOContext *io;
    AVFormatContext *format;
    AVStream *stream;
    AVPacket *packet;
} ckm_input;

/// Opens from the first byte on and finds the picture stream. Whatever it returns, ckm_input_close is to be called.
int32_t ckm_input_open(ckm_input *input, ckm_fault *fault);
/// The stream's next packet, to `input->packet`. `is_end` tells that there is none.
int32_t ckm_input_next(ckm_input *input, int *is_end, ckm_fault *fault);
void ckm_input_close(ckm_input *input);

/// Says what FFmpeg's error means.
int32_t ckm_input_fail(ckm_input *input, ckm_fault *fault, int error, const char *doing);
int ckm_input_is_cancelled(const ckm_input *input);

#endif
