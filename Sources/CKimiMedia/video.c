// The frames of a video that somebody wants, out of all that it has. A first pass looks at the packets alone: how many frames there
// are, when each is shown, and from where each can be decoded. A second one decodes what is wanted and what that depends on.
#include "fault.h"
#include "pictures.h"
#include "video_input.h"

#include <math.h>
#include <stdlib.h>

/// A packet of the picture stream, in the order of decoding.
typedef struct {
    int64_t time;
    /// Its number in the order of showing; -1 for one that is not shown.
    int64_t rank;
    /// Packets from one that decoding can begin with up to the next are a run; 0 before the first of them.
    size_t run;
} packet;

struct ckm_video {
    ckm_input input;
    ckm_limits limits;
    packet *packets;
    size_t packet_count;
    size_t frame_count;
    /// NULL where the file does not tell times.
    double *times;
    /// For each run whether it must be decoded.
    uint8_t *is_run_wanted;
    size_t run_count;
    size_t width, height;
    /// A frame, its rows padded so that none is written to beyond its end.
    size_t stride;
    uint8_t *rgb;
};

static int32_t no_memory(ckm_fault *fault) { return ckm_fail(fault, CKM_NO_MEMORY, "video: no memory"); }

// ---------------------------------------------------------------------------------------------------------------------
// First pass

static int32_t check_size(const ckm_video *v, int64_t width, int64_t height, ckm_fault *fault) {
    if (width <= 0 || height <= 0)
        return ckm_fail(fault, CKM_FORMAT, "video: frames of %lld x %lld pixels", (long long)width, (long long)height);
    if ((uint64_t)width > v->limits.side || (uint64_t)height > v->limits.side ||
        (uint64_t)width * (uint64_t)height > v->limits.pixels)
        return ckm_fail(fault, CKM_LIMIT, "video: frames of %lld x %lld pixels; at most %llu pixels and sides of %llu are decoded",
                        (long long)width, (long long)height, (unsigned long long)v->limits.pixels,
                        (unsigned long long)v->limits.side);
    return CKM_OK;
}

static int32_t read_packets(ckm_video *v, size_t most_frames, ckm_fault *fault) {
    size_t room = 0;
    for (;;) {
        int is_end;
        const int32_t code = ckm_input_next(&v->input, &is_end, fault);
        if (code != CKM_OK || is_end) return code;
        const AVPacket *p = v->input.packet;
        if (p->size <= 0) continue;
        if (v->packet_count == most_frames) return ckm_fail(fault, CKM_LIMIT, "video: more than %zu frames", most_frames);
        if (v->packet_count == room) {
            room = 2 * room + 1024;
            packet *larger = realloc(v->packets, room * sizeof *larger);
            if (!larger) return no_memory(fault);
            v->packets = larger;
        }
        if (p->flags & AV_PKT_FLAG_KEY) v->run_count++;
        const int is_shown = !(p->flags & AV_PKT_FLAG_DISCARD);
        v->packets[v->packet_count++] = (packet){.time = p->pts, .rank = is_shown ? 0 : -1, .run = v->run_count};
    }
}

static int by_time(const void *a, const void *b) {
    const packet *x = *(const packet *const *)a, *y = *(const packet *const *)b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return x < y ? -1 : x > y;
}

/// Numbers the packets in the order in which they are shown, and notes when that is.
static int32_t rank_packets(ckm_video *v, ckm_fault *fault) {
    packet **shown = malloc((v->packet_count + 1) * sizeof *shown);
    if (!shown) return no_memory(fault);
    int has_times = 1;
    for (size_t i = 0; i < v->packet_count; i++) {
        packet *p = &v->packets[i];
        if (p->rank < 0) continue;
        if (p->time == AV_NOPTS_VALUE) has_times = 0;
        shown[v->frame_count++] = p;
    }
    if (has_times) {
        qsort(shown, v->frame_count, sizeof *shown, by_time);
        v->times = malloc((v->frame_count + 1) * sizeof *v->times);
    }
    const AVRational base = v->input.stream->time_base;
    for (size_t i = 0; i < v->frame_count; i++) {
        shown[i]->rank = (int64_t)i;
        // As doubles before the difference, which may leave 64 bits.
        if (v->times) v->times[i] = ((double)shown[i]->time - (double)shown[0]->time) * base.num / (base.den > 0 ? base.den : 1);
    }
    const int is_out_of_memory = has_times && !v->times;
    free(shown);
    return is_out_of_memory ? no_memory(fault) : CKM_OK;
}

/// How the frames must be turned, from the matrix that some files have: 16.16 fixed point, x' = a x + c y, y' = b x + d y.
static int32_t orientation(const ckm_video *v) {
#if LIBAVFORMAT_VERSION_MAJOR < 61
    const AVPacketSideData *all = v->input.stream->side_data;
    const int count = v->input.stream->nb_side_data;
#else
    const AVPacketSideData *all = v->input.stream->codecpar->coded_side_data;
    const int count = v->input.stream->codecpar->nb_coded_side_data;
#endif
    const uint8_t *data = NULL;
    for (int i = 0; i < count; i++)
        if (all[i].type == AV_PKT_DATA_DISPLAYMATRIX && all[i].size >= 9 * sizeof(int32_t)) data = all[i].data;
    if (!data) return 1;
    int32_t m[9];
    memcpy(m, data, sizeof m);
    const double a = m[0], b = m[1], c = m[3], d = m[4];
    if (fabs(a) + fabs(d) >= fabs(b) + fabs(c)) {
        if (a >= 0) return d >= 0 ? 1 : 4;
        return d >= 0 ? 2 : 3;
    }
    if (b >= 0) return c >= 0 ? 5 : 6;
    return c >= 0 ? 8 : 7;
}

int32_t ckm_video_open(const uint8_t *bytes, int32_t descriptor, size_t count, const ckm_limits *limits, size_t most_frames,
                       ckm_is_cancelled is_cancelled, void *user_data, ckm_video **out, ckm_video_info *info, ckm_fault *fault) {
    *out = NULL;
    const ckm_libav *av = ckm_libav_load(fault);
    if (!av) return CKM_NO_LIBRARY;
    ckm_video *v = calloc(1, sizeof *v);
    if (!v) return no_memory(fault);
    v->limits = *limits;
    v->input = (ckm_input){
        .av = av, .bytes = bytes, .descriptor = descriptor, .count = count, .is_cancelled = is_cancelled, .user_data = user_data};
    int32_t code = ckm_input_open(&v->input, fault);
    if (code == CKM_OK) code = check_size(v, v->input.stream->codecpar->width, v->input.stream->codecpar->height, fault);
    if (code == CKM_OK) code = read_packets(v, most_frames, fault);
    if (code == CKM_OK) code = rank_packets(v, fault);
    if (code == CKM_OK && v->frame_count == 0) code = ckm_fail(fault, CKM_FORMAT, "video: without a frame");
    if (code == CKM_OK) {
        v->width = (size_t)v->input.stream->codecpar->width, v->height = (size_t)v->input.stream->codecpar->height;
        const AVRational rate = v->input.stream->avg_frame_rate;
        *info = (ckm_video_info){.width = (uint32_t)v->width,
                                 .height = (uint32_t)v->height,
                                 .orientation = orientation(v),
                                 .rate = rate.num > 0 && rate.den > 0 ? (double)rate.num / rate.den : 0,
                                 .frame_count = v->frame_count,
                                 .times = v->times};
        *out = v;
    }
    ckm_input_close(&v->input);
    v->input.is_cancelled = NULL;
    if (code != CKM_OK) ckm_video_close(v);
    return code;
}

void ckm_video_close(ckm_video *video) {
    if (!video) return;
    free(video->packets);
    free(video->times);
    free(video->is_run_wanted);
    free(video->rgb);
    free(video);
}

// ---------------------------------------------------------------------------------------------------------------------
// Second pass

typedef struct {
    ckm_video *video;
    AVCodecContext *codec;
    /// The frame that came last, and the one before it where that may still be wanted.
    AVFrame *frame, *before;
    int has_before;
    struct SwsContext *scaler;
    const size_t *wanted;
    size_t count;
    /// How many of those were handed over.
    size_t done;
    /// Frames that the decoder gave, for files that tell no times.
    int64_t decoded;
    ckm_frame_sink sink;
    void *user_data;
} decoding;

/// Runs that must be decoded for what is wanted. A run with frames that are shown before the one it begins with leans on the run
/// before; decoders drop frames after such a beginning, so that run is decoded too, whatever of it is wanted.
static int32_t mark_runs(ckm_video *v, const size_t *wanted, size_t count, ckm_fault *fault) {
    free(v->is_run_wanted);
    v->is_run_wanted = calloc(v->run_count + 1, 1);
    uint8_t *is_wanted = calloc(v->frame_count, 1);
    if (!v->is_run_wanted || !is_wanted) {
        free(is_wanted);
        return no_memory(fault);
    }
    for (size_t i = 0; i < count; i++)
        if (wanted[i] < v->frame_count) is_wanted[wanted[i]] = 1;
    for (size_t i = 0, next; i < v->packet_count; i = next) {
        const size_t run = v->packets[i].run;
        int is_run_wanted = 0, leans = 0;
        for (next = i; next < v->packet_count && v->packets[next].run == run; next++) {
            const int64_t rank = v->packets[next].rank;
            if (rank < 0) continue;
            is_run_wanted |= is_wanted[rank];
            leans |= rank < v->packets[i].rank;
        }
        if (!is_run_wanted) continue;
        v->is_run_wanted[run] = 1;
        if (run > 0 && leans) v->is_run_wanted[run - 1] = 1;
    }
    // Packets before the first that one can begin with may show something all the same; without times all is decoded.
    v->is_run_wanted[0] = 1;
    if (!v->times) memset(v->is_run_wanted, 1, v->run_count + 1);
    free(is_wanted);
    return CKM_OK;
}

/// Pixels of a frame as RGB, in the size of the first.
static int32_t convert(decoding *d, const AVFrame *frame, ckm_fault *fault) {
    ckm_video *v = d->video;
    const ckm_libav *av = v->input.av;
    const int32_t code = check_size(v, frame->width, frame->height, fault);
    if (code != CKM_OK) return code;
    enum AVPixelFormat format = (enum AVPixelFormat)frame->format;
    int is_full = frame->color_range == AVCOL_RANGE_JPEG;
    // Older names for formats of the full range.
    switch (format) {
    case AV_PIX_FMT_YUVJ420P: format = AV_PIX_FMT_YUV420P, is_full = 1; break;
    case AV_PIX_FMT_YUVJ422P: format = AV_PIX_FMT_YUV422P, is_full = 1; break;
    case AV_PIX_FMT_YUVJ444P: format = AV_PIX_FMT_YUV444P, is_full = 1; break;
    case AV_PIX_FMT_YUVJ440P: format = AV_PIX_FMT_YUV440P, is_full = 1; break;
    default: break;
    }
    d->scaler = av->sws_getCachedContext(d->scaler, frame->width, frame->height, format, (int)v->width, (int)v->height,
                                         AV_PIX_FMT_RGB24, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
    if (!d->scaler) return ckm_fail(fault, CKM_UNSUPPORTED, "video: pixels of a format that is not converted");
    // Files that do not say are meant as players take them: large pictures as HD television has it, small ones as before.
    int space = frame->colorspace;
    if (space == AVCOL_SPC_UNSPECIFIED || space == AVCOL_SPC_RGB) space = frame->height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601;
    const int *matrix = av->sws_getCoefficients(space);
    av->sws_setColorspaceDetails(d->scaler, matrix, is_full, av->sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    v->stride = (3 * v->width + 127) / 64 * 64;
    if (!v->rgb) v->rgb = malloc(v->stride * v->height + 64);
    if (!v->rgb) return no_memory(fault);
    uint8_t *const planes[4] = {v->rgb};
    const int strides[4] = {(int)v->stride};
    if (av->sws_scale(d->scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, planes, strides) <= 0)
        return ckm_fail(fault, CKM_FORMAT, "video: a frame could not be converted");
    return CKM_OK;
}

static int32_t hand_over(decoding *d, const AVFrame *frame, ckm_fault *fault) {
    const size_t index = d->wanted[d->done];
    if (frame->flags & AV_FRAME_FLAG_CORRUPT || frame->decode_error_flags)
        return ckm_fail(fault, CKM_FORMAT, "video: frame %zu is damaged", index);
    const int32_t code = convert(d, frame, fault);
    if (code != CKM_OK) return code;
    d->done++;
    return d->sink(d->user_data, index, d->video->rgb, d->video->stride);
}

/// Takes all that the decoder has. A frame that is wanted and does not come (a packet that is never shown) is the one that was
/// shown then: the one before.
static int32_t take_frames(decoding *d, ckm_fault *fault) {
    ckm_video *v = d->video;
    const ckm_libav *av = v->input.av;
    for (;;) {
        if (d->done == d->count) return CKM_OK;
        if (ckm_input_is_cancelled(&v->input)) return ckm_fail(fault, CKM_CANCELLED, "cancelled");
        const int error = av->avcodec_receive_frame(d->codec, d->frame);
        if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return CKM_OK;
        if (error < 0) return ckm_input_fail(&v->input, fault, error, "a frame");
        const int64_t rank = v->times && d->frame->pts != AV_NOPTS_VALUE ? d->frame->pts : d->decoded;
        d->decoded++;
        while (d->done < d->count && (int64_t)d->wanted[d->done] <= rank) {
            const int is_it = (int64_t)d->wanted[d->done] == rank || !d->has_before;
            const int32_t code = hand_over(d, is_it ? d->frame : d->before, fault);
            if (code != CKM_OK) return code;
        }
        av->av_frame_unref(d->before);
        av->av_frame_move_ref(d->before, d->frame);
        d->has_before = 1;
    }
}

static int32_t send(decoding *d, const AVPacket *packet, ckm_fault *fault) {
    const ckm_libav *av = d->video->input.av;
    // All frames are taken after each packet, so the decoder has room for the next.
    const int error = av->avcodec_send_packet(d->codec, packet);
    if (error < 0 && error != AVERROR_EOF) return ckm_input_fail(&d->video->input, fault, error, "a packet");
    return take_frames(d, fault);
}

static int32_t decode(decoding *d, ckm_fault *fault) {
    ckm_video *v = d->video;
    const ckm_libav *av = v->input.av;
    int is_skipping = 0;
    for (size_t i = 0; i < v->packet_count && d->done < d->count;) {
        int is_end;
        int32_t code = ckm_input_next(&v->input, &is_end, fault);
        if (code != CKM_OK) return code;
        if (is_end) break;
        AVPacket *p = v->input.packet;
        if (p->size <= 0) continue;
        const packet *known = &v->packets[i++];
        if (!v->is_run_wanted[known->run]) {
            if (!is_skipping) {
                // What the decoder still has may be wanted.
                code = send(d, NULL, fault);
                if (code != CKM_OK) return code;
                av->avcodec_flush_buffers(d->codec);
                av->av_frame_unref(d->before);
                d->has_before = 0;
            }
            is_skipping = 1;
            continue;
        }
        is_skipping = 0;
        // Frames come back under the numbers that they are asked for by.
        if (v->times) p->pts = known->rank >= 0 ? known->rank : AV_NOPTS_VALUE, p->dts = AV_NOPTS_VALUE;
        code = send(d, p, fault);
        if (code != CKM_OK) return code;
    }
    if (d->done < d->count) {
        const int32_t code = send(d, NULL, fault);
        if (code != CKM_OK) return code;
    }
    if (d->done < d->count && !d->has_before) return ckm_fail(fault, CKM_FORMAT, "video: no frame of it can be decoded");
    while (d->done < d->count) {
        const int32_t code = hand_over(d, d->before, fault);
        if (code != CKM_OK) return code;
    }
    return CKM_OK;
}

static int32_t open_decoder(decoding *d, ckm_fault *fault) {
    ckm_video *v = d->video;
    const ckm_libav *av = v->input.av;
    const AVCodecParameters *parameters = v->input.stream->codecpar;
    const AVCodec *codec = av->avcodec_find_decoder(parameters->codec_id);
    if (!codec)
        return ckm_fail(fault, CKM_UNSUPPORTED, "video: no decoder for %s in this FFmpeg",
                        av->avcodec_get_name(parameters->codec_id));
    d->codec = av->avcodec_alloc_context3(codec);
    d->frame = av->av_frame_alloc();
    d->before = av->av_frame_alloc();
    if (!d->codec || !d->frame || !d->before) return no_memory(fault);
    int error = av->avcodec_parameters_to_context(d->codec, parameters);
    if (error < 0) return ckm_input_fail(&v->input, fault, error, "its format");
    d->codec->pkt_timebase = v->input.stream->time_base;
    d->codec->max_pixels = (int64_t)(v->limits.pixels < INT32_MAX ? v->limits.pixels : INT32_MAX);
    d->codec->thread_count = 2;
    error = av->avcodec_open2(d->codec, codec, NULL);
    return error < 0 ? ckm_input_fail(&v->input, fault, error, "its decoder") : CKM_OK;
}

int32_t ckm_video_decode(ckm_video *video, const size_t *wanted, size_t count, ckm_frame_sink sink, ckm_is_cancelled is_cancelled,
                         void *user_data, ckm_fault *fault) {
    if (count == 0) return CKM_OK;
    const ckm_libav *av = video->input.av;
    decoding d = {.video = video, .wanted = wanted, .count = count, .sink = sink, .user_data = user_data};
    video->input.is_cancelled = is_cancelled;
    video->input.user_data = user_data;
    int32_t code = mark_runs(video, wanted, count, fault);
    if (code == CKM_OK) code = ckm_input_open(&video->input, fault);
    if (code == CKM_OK) code = open_decoder(&d, fault);
    if (code == CKM_OK) code = decode(&d, fault);
    if (d.scaler) av->sws_freeContext(d.scaler);
    if (d.before) av->av_frame_free(&d.before);
    if (d.frame) av->av_frame_free(&d.frame);
    if (d.codec) av->avcodec_free_context(&d.codec);
    ckm_input_close(&video->input);
    video->input.is_cancelled = NULL;
    return code;
}
