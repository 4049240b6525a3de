#define _GNU_SOURCE

#include "libav.h"

#include "fault.h"

#include <dlfcn.h>
#include <pthread.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static const char packages[] = "libavformat" TEXT(LIBAVFORMAT_VERSION_MAJOR) ", libavcodec" TEXT(
    LIBAVCODEC_VERSION_MAJOR) ", libavutil" TEXT(LIBAVUTIL_VERSION_MAJOR) " and libswscale" TEXT(LIBSWSCALE_VERSION_MAJOR);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ckm_libav functions;
static int is_loaded;

/// In the order in which they need each other.
enum { AVUTIL, AVCODEC, AVFORMAT, SWSCALE, LIBRARIES };
static const char *const names[LIBRARIES] = {
    "libavutil.so." TEXT(LIBAVUTIL_VERSION_MAJOR), "libavcodec.so." TEXT(LIBAVCODEC_VERSION_MAJOR),
    "libavformat.so." TEXT(LIBAVFORMAT_VERSION_MAJOR), "libswscale.so." TEXT(LIBSWSCALE_VERSION_MAJOR)};

static int32_t load(ckm_fault *fault) {
    void *libraries[LIBRARIES] = {0};
    // A host that uses FFmpeg itself keeps its logging.
    void *present = dlopen(names[AVUTIL], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    const char *missing = NULL;
    for (int i = 0; i < LIBRARIES && !missing; i++) {
        libraries[i] = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!libraries[i]) missing = names[i];
    }
#define LOAD(library, function)                             \
    if (!missing) {                                         \
        void *found = dlsym(libraries[library], #function); \
        memcpy(&functions.function, &found, sizeof found);  \
        if (!found) missing = #function;                    \
    }
    CKM_LIBAV_FUNCTIONS(LOAD)
#undef LOAD
    if (present) dlclose(present);
    if (missing) {
        for (int i = LIBRARIES - 1; i >= 0; i--)
            if (libraries[i]) dlclose(libraries[i]);
        return ckm_fail(fault, CKM_NO_LIBRARY, "video files need FFmpeg's libraries, and %s is missing: install %s", missing,
                        packages);
    }
    if (!present) functions.av_log_set_level(AV_LOG_QUIET);
    is_loaded = 1;
    return CKM_OK;
}

const ckm_libav *ckm_libav_load(ckm_fault *fault) {
    pthread_mutex_lock(&lock);
    const int32_t code = is_loaded ? CKM_OK : load(fault);
    pthread_mutex_unlock(&lock);
    return code == CKM_OK ? &functions : NULL;
}

int32_t ckm_video_libraries(ckm_fault *fault) { return ckm_libav_load(fault) ? CKM_OK : CKM_NO_LIBRARY; }
