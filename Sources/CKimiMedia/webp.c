// WebP by libwebp; of an animation the first frame.
#include "fault.h"
#include "pictures.h"

#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

static int32_t fail(ckm_fault *fault, VP8StatusCode status) {
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY: return ckm_fail(fault, CKM_NO_MEMORY, "WebP: no memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE: return ckm_fail(fault, CKM_UNSUPPORTED, "WebP: a feature that libwebp does not have");
    case VP8_STATUS_NOT_ENOUGH_DATA: return ckm_fail(fault, CKM_FORMAT, "WebP: the file ends early");
    default: return ckm_fail(fault, CKM_FORMAT, "WebP: damaged");
    }
}

int32_t ckm_webp_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault) {
    WebPBitstreamFeatures features;
    const VP8StatusCode status = WebPGetFeatures(bytes, count, &features);
    if (status != VP8_STATUS_OK) return fail(fault, status);
    size->width = (uint32_t)features.width;
    size->height = (uint32_t)features.height;
    return CKM_OK;
}

/// One picture of the file, to pixels of `stride` bytes a row, on white.
static int32_t decode(const uint8_t *bytes, size_t count, const ckm_limits *limits, uint8_t *rgb, size_t stride, size_t room,
                      ckm_fault *fault) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return ckm_fail(fault, CKM_UNSUPPORTED, "WebP: another version of libwebp");
    const VP8StatusCode features = WebPGetFeatures(bytes, count, &config.input);
    if (features != VP8_STATUS_OK) return fail(fault, features);
    const size_t width = (size_t)config.input.width, height = (size_t)config.input.height;
    uint8_t *rgba = NULL;
    config.output.is_external_memory = 1;
    if (config.input.has_alpha) {
        // Sides have 14 bits each: no product overflows.
        if (4 * width * height > limits->work)
            return ckm_fail(fault, CKM_LIMIT, "WebP: %zu x %zu pixels with transparency", width, height);
        rgba = malloc(4 * width * height);
        if (!rgba) return ckm_fail(fault, CKM_NO_MEMORY, "WebP: no memory");
        config.output.colorspace = MODE_RGBA;
        config.output.u.RGBA = (WebPRGBABuffer){rgba, (int)(4 * width), 4 * width * height};
    } else {
        config.output.colorspace = MODE_RGB;
        config.output.u.RGBA = (WebPRGBABuffer){rgb, (int)stride, room};
    }
    const VP8StatusCode status = WebPDecode(bytes, count, &config);
    WebPFreeDecBuffer(&config.output);
    if (status == VP8_STATUS_OK && rgba)
        for (size_t y = 0; y < height; y++) ckm_compose_on_white(rgb + y * stride, rgba + 4 * width * y, width, 1, 0);
    free(rgba);
    return status == VP8_STATUS_OK ? CKM_OK : fail(fault, status);
}

/// The first frame, which may be smaller than the picture, on white.
static int32_t decode_first_frame(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                                  ckm_fault *fault) {
    const WebPData data = {bytes, count};
    WebPDemuxer *demuxer = WebPDemux(&data);
    if (!demuxer) return ckm_fail(fault, CKM_FORMAT, "WebP: the animation is damaged or ends early");
    WebPIterator frame;
    int32_t code;
    if (!WebPDemuxGetFrame(demuxer, 1, &frame)) {
        code = ckm_fail(fault, CKM_FORMAT, "WebP: an animation without a frame");
    } else {
        const size_t x = (size_t)frame.x_offset, y = (size_t)frame.y_offset, width = (size_t)frame.width,
                     height = (size_t)frame.height;
        WebPBitstreamFeatures features;
        const VP8StatusCode status = WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &features);
        if (status != VP8_STATUS_OK) {
            code = fail(fault, status);
        } else if (frame.x_offset < 0 || frame.y_offset < 0 || x + width > size.width || y + height > size.height ||
                   (size_t)features.width != width || (size_t)features.height != height) {
            code = ckm_fail(fault, CKM_FORMAT, "WebP: a frame beyond the picture");
        } else {
            const size_t stride = 3 * (size_t)size.width, all = stride * size.height, first = y * stride + 3 * x;
            memset(rgb, 255, all);
            code = decode(frame.fragment.bytes, frame.fragment.size, limits, rgb + first, stride, all - first, fault);
        }
        WebPDemuxReleaseIterator(&frame);
    }
    WebPDemuxDelete(demuxer);
    return code;
}

int32_t ckm_webp_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                        ckm_fault *fault) {
    WebPBitstreamFeatures features;
    const VP8StatusCode status = WebPGetFeatures(bytes, count, &features);
    if (status != VP8_STATUS_OK) return fail(fault, status);
    if ((uint32_t)features.width != size.width || (uint32_t)features.height != size.height)
        return ckm_fail(fault, CKM_FORMAT, "WebP: another size");
    if (features.has_animation) return decode_first_frame(bytes, count, size, limits, rgb, fault);
    const size_t stride = 3 * (size_t)size.width;
    return decode(bytes, count, limits, rgb, stride, stride * size.height, fault);
}
