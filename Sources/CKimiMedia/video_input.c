#define _GNU_SOURCE

#include "video_input.h"

#include "fault.h"

#include <errno.h>
#include <unistd.h>

/// Containers that hold everything in themselves. A playlist, which names other files and addresses, is none of them.
static const char containers[] = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flv";

int ckm_input_is_cancelled(const ckm_input *input) { return input->is_cancelled && input->is_cancelled(input->user_data) != 0; }

int32_t ckm_input_fail(ckm_input *input, ckm_fault *fault, int error, const char *doing) {
    if (error == AVERROR_EXIT || ckm_input_is_cancelled(input)) return ckm_fail(fault, CKM_CANCELLED, "cancelled");
    if (error == AVERROR(ENOMEM)) return ckm_fail(fault, CKM_NO_MEMORY, "video: no memory");
    if (input->read_errno) return ckm_fail(fault, CKM_IO, "cannot read: %s", strerror(input->read_errno));
    char text[128] = "unknown";
    input->av->av_strerror(error, text, sizeof text);
    return ckm_fail(fault, CKM_FORMAT, "video: %s: %s", doing, text);
}

static int read_bytes(void *opaque, uint8_t *to, int count) {
    ckm_input *input = opaque;
    const size_t left = input->place < input->count ? input->count - input->place : 0;
    size_t wanted = count < 0 ? 0 : (size_t)count;
    if (wanted > left) wanted = left;
    if (wanted == 0) return AVERROR_EOF;
    if (input->bytes) {
        memcpy(to, input->bytes + input->place, wanted);
        input->place += wanted;
        return (int)wanted;
    }
    for (;;) {
        const ssize_t got = pread(input->descriptor, to, wanted, (off_t)input->place);
        if (got > 0) {
            input->place += (size_t)got;
            return (int)got;
        }
        if (got == 0) return AVERROR_EOF;
        if (errno == EINTR) continue;
        input->read_errno = errno;
        return AVERROR(EIO);
    }
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence) {
    ckm_input *input = opaque;
    const int64_t count = (int64_t)input->count;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return count;
    const int64_t base = whence == SEEK_CUR ? (int64_t)input->place : whence == SEEK_END ? count : 0;
    int64_t place;
    if (__builtin_add_overflow(base, offset, &place) || place < 0 || place > count) return AVERROR(EINVAL);
    input->place = (size_t)place;
    return place;
}

static int be_asked(void *opaque) { return ckm_input_is_cancelled(opaque); }

/// Nothing but the bytes given is ever opened, whatever a file names.
static int refuse(AVFormatContext *context, AVIOContext **io, const char *url, int flags, AVDictionary **options) {
    (void)context, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EPERM);
}

int32_t ckm_input_open(ckm_input *input, ckm_fault *fault) {
    const ckm_libav *av = input->av;
    enum { BUFFER = 64 << 10 };
    input->place = 0;
    input->packet = av->av_packet_alloc();
    uint8_t *buffer = av->av_malloc(BUFFER);
    if (buffer) input->io = av->avio_alloc_context(buffer, BUFFER, 0, input, read_bytes, NULL, seek_bytes);
    if (buffer && !input->io) av->av_free(buffer);
    input->format = av->avformat_alloc_context();
    if (!input->packet || !input->io || !input->format) return ckm_fail(fault, CKM_NO_MEMORY, "video: no memory");
    input->format->pb = input->io;
    input->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    input->format->interrupt_callback = (AVIOInterruptCB){be_asked, input};
    input->format->io_open = refuse;
    AVDictionary *options = NULL;
    av->av_dict_set(&options, "format_whitelist", containers, 0);
    av->av_dict_set(&options, "protocol_whitelist", "none", 0);
    // Frees the context where it fails.
    int error = av->avformat_open_input(&input->format, "", NULL, &options);
    av->av_dict_free(&options);
    if (error < 0) return ckm_input_fail(input, fault, error, "no video that can be opened (MP4, MOV, WebM, MKV)");
    for (unsigned i = 0; i < input->format->nb_streams; i++)
        if (input->format->streams[i]->codecpar->codec_type != AVMEDIA_TYPE_VIDEO)
            input->format->streams[i]->discard = AVDISCARD_ALL;
    error = av->avformat_find_stream_info(input->format, NULL);
    if (error < 0) return ckm_input_fail(input, fault, error, "its streams");
    const int best = av->av_find_best_stream(input->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    // A cover of a piece of music is a stream of pictures, too.
    if (best < 0 || (input->format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC))
        return ckm_fail(fault, CKM_FORMAT, "video: there is no picture stream in it, only sound or nothing");
    input->stream = input->format->streams[best];
    for (unsigned i = 0; i < input->format->nb_streams; i++)
        if ((int)i != best) input->format->streams[i]->discard = AVDISCARD_ALL;
    return CKM_OK;
}

int32_t ckm_input_next(ckm_input *input, int *is_end, ckm_fault *fault) {
    const ckm_libav *av = input->av;
    *is_end = 0;
    for (;;) {
        av->av_packet_unref(input->packet);
        if (ckm_input_is_cancelled(input)) return ckm_fail(fault, CKM_CANCELLED, "cancelled");
        const int error = av->av_read_frame(input->format, input->packet);
        if (error == AVERROR_EOF && !input->read_errno) {
            *is_end = 1;
            return CKM_OK;
        }
        if (error < 0) return ckm_input_fail(input, fault, error, "reading it");
        if (input->packet->stream_index == input->stream->index) return CKM_OK;
    }
}

void ckm_input_close(ckm_input *input) {
    const ckm_libav *av = input->av;
    if (input->packet) av->av_packet_free(&input->packet);
    if (input->format) av->avformat_close_input(&input->format);
    if (input->io) {
        // FFmpeg may have put another buffer in the place of the first.
        av->av_free(input->io->buffer);
        av->avio_context_free(&input->io);
    }
    input->stream = NULL;
}
