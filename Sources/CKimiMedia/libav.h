// FFmpeg's functions by pointers: its libraries are loaded when a video is first opened, of the versions that were there when this
// was built, since the layouts of their structures are those of a major version.
#ifndef CKM_LIBAV_H
#define CKM_LIBAV_H

#include "CKimiMedia.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libavutil/frame.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libswscale/swscale.h>

/// Library, function.
#define CKM_LIBAV_FUNCTIONS(X)                \
    X(AVFORMAT, avformat_alloc_context)       \
    X(AVFORMAT, avformat_open_input)          \
    X(AVFORMAT, avformat_find_stream_info)    \
    X(AVFORMAT, avformat_close_input)         \
    X(AVFORMAT, avio_alloc_context)           \
    X(AVFORMAT, avio_context_free)            \
    X(AVFORMAT, av_find_best_stream)          \
    X(AVFORMAT, av_read_frame)                \
    X(AVCODEC, avcodec_alloc_context3)        \
    X(AVCODEC, avcodec_find_decoder)          \
    X(AVCODEC, avcodec_flush_buffers)         \
    X(AVCODEC, avcodec_free_context)          \
    X(AVCODEC, avcodec_get_name)              \
    X(AVCODEC, avcodec_open2)                 \
    X(AVCODEC, avcodec_parameters_to_context) \
    X(AVCODEC, avcodec_receive_frame)         \
    X(AVCODEC, avcodec_send_packet)           \
    X(AVCODEC, av_packet_alloc)               \
    X(AVCODEC, av_packet_free)                \
    X(AVCODEC, av_packet_unref)               \
    X(AVUTIL, av_dict_free)                   \
    X(AVUTIL, av_dict_set)                    \
    X(AVUTIL, av_frame_alloc)                 \
    X(AVUTIL, av_frame_free)                  \
    X(AVUTIL, av_frame_move_ref)              \
    X(AVUTIL, av_frame_unref)                 \
    X(AVUTIL, av_free)                        \
    X(AVUTIL, av_log_set_level)               \
    X(AVUTIL, av_malloc)                      \
    X(AVUTIL, av_strerror)                    \
    X(SWSCALE, sws_freeContext)               \
    X(SWSCALE, sws_getCachedContext)          \
    X(SWSCALE, sws_getCoefficients)           \
    X(SWSCALE, sws_scale)                     \
    X(SWSCALE, sws_setColorspaceDetails)

typedef struct {
#define CKM_MEMBER(library, function) __typeof__(&function) function;
    CKM_LIBAV_FUNCTIONS(CKM_MEMBER)
#undef CKM_MEMBER
} ckm_libav;

/// The functions, loaded by the first call on any thread; NULL with a fault that names what is missing.
const ckm_libav *ckm_libav_load(ckm_fault *fault);

#endif
