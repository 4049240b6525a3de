// Media for the model: decoding by the system's libraries, and what else is best said in C.
//
// No function prints, ends the process or reads outside of what it is given, whatever the bytes are. All are safe on any
// thread; a handle is used by one thread at a time.
#ifndef CKIMI_MEDIA_H
#define CKIMI_MEDIA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Digests

/// A running SHA-256.
typedef struct ckm_digest ckm_digest;

/// NULL if there is no memory.
ckm_digest *ckm_digest_create(void);
void ckm_digest_update(ckm_digest *digest, const void *bytes, size_t count);
/// Writes the 32 bytes; the digest is of no more use then.
void ckm_digest_finish(ckm_digest *digest, uint8_t out[32]);
void ckm_digest_destroy(ckm_digest *digest);

// ---------------------------------------------------------------------------------------------------------------------
// What functions return

enum {
    CKM_OK = 0,
    /// The bytes do not follow their format, or end early.
    CKM_FORMAT = 1,
    /// A well-formed file of a kind that is not decoded.
    CKM_UNSUPPORTED = 2,
    CKM_NO_MEMORY = 3,
    /// More of something than `ckm_limits` allows.
    CKM_LIMIT = 4,
    CKM_CANCELLED = 5,
    /// The system refused to open or read a file.
    CKM_IO = 6,
    /// A library that is loaded on demand is not there.
    CKM_NO_LIBRARY = 7,
};

/// Why a function did not return CKM_OK, in words: a library's own, or this one's.
typedef struct {
    char message[256];
} ckm_fault;

/// What decoding may take.
typedef struct {
    /// Of one picture or frame.
    uint64_t pixels;
    /// The longest side in pixels.
    uint64_t side;
    /// Bytes that a decoder may take beside the pixels that it gives.
    uint64_t work;
} ckm_limits;

// ---------------------------------------------------------------------------------------------------------------------
// Pictures

enum { CKM_NO_PICTURE = 0, CKM_PNG = 1, CKM_JPEG = 2, CKM_WEBP = 3, CKM_GIF = 4 };

/// The kind that the first bytes tell, or CKM_NO_PICTURE.
int32_t ckm_picture_kind(const uint8_t *bytes, size_t count);

/// What a picture's header says.
typedef struct {
    uint32_t width, height;
} ckm_size;

/// The size of the picture when it stands upright, from its header alone: nothing of the picture's size is allocated.
int32_t ckm_picture_size(const uint8_t *bytes, size_t count, ckm_size *size, ckm_fault *fault);

/// Decodes to 8-bit RGB [height, width, 3]: 16 bits reduced to their high byte, what is transparent on white, upright, of an
/// animation the first frame.
///
/// - size: what ckm_picture_size gave.
int32_t ckm_picture_decode(const uint8_t *bytes, size_t count, ckm_size size, const ckm_limits *limits, uint8_t *rgb,
                           ckm_fault *fault);

/// Copies pixels in the orientation of EXIF (1 to 8) to where they stand upright. For 5 to 8 `to` is `height` wide.
void ckm_orient(uint8_t *to, const uint8_t *from, size_t width, size_t height, size_t stride, int32_t orientation);

/// RGBA, `stride` bytes a row, on white, as RGB without gaps.
void ckm_compose_on_white(uint8_t *rgb, const uint8_t *rgba, size_t width, size_t height, size_t stride);

// ---------------------------------------------------------------------------------------------------------------------
// GIF as a clip

typedef struct ckm_gif ckm_gif;

/// Looks through a GIF without decoding a pixel. `bytes` must outlive the handle.
int32_t ckm_gif_open(const uint8_t *bytes, size_t count, const ckm_limits *limits, size_t most_frames, ckm_gif **out,
                     ckm_size *size, ckm_fault *fault);
size_t ckm_gif_frame_count(const ckm_gif *gif);
/// When each frame begins to be shown, in hundredths of a second; one more: the end.
const uint64_t *ckm_gif_times(const ckm_gif *gif);
/// Takes the next frame into account: the picture as it is then shown is at ckm_gif_pixels.
int32_t ckm_gif_next(ckm_gif *gif, ckm_fault *fault);
/// [height, width, 3]
const uint8_t *ckm_gif_pixels(const ckm_gif *gif);
void ckm_gif_close(ckm_gif *gif);

// ---------------------------------------------------------------------------------------------------------------------
// Resizing

/// Bicubic with antialiasing, bit for bit what Pillow's resize with BICUBIC gives for RGB. `from` and `to` are without gaps.
/// CKM_NO_MEMORY is the only fault.
int32_t ckm_resize(uint8_t *to, size_t to_width, size_t to_height, const uint8_t *from, size_t width, size_t height);

// ---------------------------------------------------------------------------------------------------------------------
// Patches

/// Patches `begin` up to `end` of pixels [height, width, 3] that are padded with 0 at right and bottom to a grid of `columns`
/// patches a row, each [3, patch, patch].
///
/// - table: [3][256], the value of a byte of each channel.
void ckm_patches(float *to, size_t begin, size_t end, const uint8_t *pixels, size_t width, size_t height, size_t columns,
                 size_t patch, const float *table);

// ---------------------------------------------------------------------------------------------------------------------
// Video files, by FFmpeg's libraries, which are loaded when they are first needed

/// CKM_OK, or CKM_NO_LIBRARY with the names of what is missing.
int32_t ckm_video_libraries(ckm_fault *fault);

typedef struct ckm_video ckm_video;

/// Asked now and then, on the calling thread; anything but 0 ends the call with CKM_CANCELLED.
typedef int32_t (*ckm_is_cancelled)(void *user_data);

typedef struct {
    uint32_t width, height;
    /// Of EXIF's kind, 1 to 8.
    int32_t orientation;
    /// Frames a second as the file has it, or 0.
    double rate;
    /// Frames, in the order in which they are shown.
    size_t frame_count;
    /// When each is shown, in seconds after the first; NULL where the file does not say.
    const double *times;
} ckm_video_info;

/// Opens a video and looks through it without decoding more than is needed to know its format.
///
/// - bytes: the file's content, which must outlive the handle; or NULL for
/// - descriptor: an open regular file of `count` bytes, which must stay open.
/// - most_frames: with more it is CKM_LIMIT.
int32_t ckm_video_open(const uint8_t *bytes, int32_t descriptor, size_t count, const ckm_limits *limits, size_t most_frames,
                       ckm_is_cancelled is_cancelled, void *user_data, ckm_video **out, ckm_video_info *info, ckm_fault *fault);

/// Takes a frame: RGB, `stride` bytes a row, not turned yet, valid during the call. Anything but 0 ends decoding and is returned by
/// ckm_video_decode.
typedef int32_t (*ckm_frame_sink)(void *user_data, size_t index, const uint8_t *rgb, size_t stride);

/// Decodes and hands over some frames, in rising order. A file is decoded once.
///
/// - wanted: numbers of frames, rising, none twice.
int32_t ckm_video_decode(ckm_video *video, const size_t *wanted, size_t count, ckm_frame_sink sink, ckm_is_cancelled is_cancelled,
                         void *user_data, ckm_fault *fault);

void ckm_video_close(ckm_video *video);

#ifdef __cplusplus
}
#endif
#endif
