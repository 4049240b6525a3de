#include "include/CSentencePiece.h"

#include <sentencepiece_processor.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

// The library exports this but installs no header for it. Weak, so that a version without it still links.
namespace sentencepiece {
namespace logging {
__attribute__((weak)) void SetMinLogLevel(int level);
}
}  // namespace sentencepiece

struct csp_model {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

// Errors come back as statuses with their text; the library would write them to stderr besides.
constexpr int kOnlyFatal = 3;

void write_message(const char *text, char *message, size_t size) {
    if (message == nullptr || size == 0) return;
    std::snprintf(message, size, "%s", text == nullptr ? "no reason given" : text);
}

// Runs `body`, which returns a status of the library, and turns it or whatever is thrown into ours.
template <typename Body>
csp_status guarded(char *message, size_t message_size, Body body) noexcept {
    try {
        const sentencepiece::util::Status status = body();
        if (status.ok()) return CSP_OK;
        write_message(status.message(), message, message_size);
        return CSP_REFUSED;
    } catch (const std::bad_alloc &) {
        write_message("not enough memory", message, message_size);
        return CSP_NO_MEMORY;
    } catch (const std::exception &error) {
        write_message(error.what(), message, message_size);
        return CSP_REFUSED;
    } catch (...) {
        write_message("unknown exception", message, message_size);
        return CSP_REFUSED;
    }
}

}  // namespace

csp_status csp_open(const void *bytes, size_t size, csp_model **model, char *message, size_t message_size) {
    *model = nullptr;
    csp_model *loaded = nullptr;
    const csp_status status = guarded(message, message_size, [&] {
        if (sentencepiece::logging::SetMinLogLevel != nullptr) sentencepiece::logging::SetMinLogLevel(kOnlyFatal);
        loaded = new csp_model;
        return loaded->processor.LoadFromSerializedProto(absl::string_view(static_cast<const char *>(bytes), size));
    });
    if (status != CSP_OK) {
        delete loaded;
        return status;
    }
    *model = loaded;
    return CSP_OK;
}

void csp_close(csp_model *model) { delete model; }

size_t csp_count(const csp_model *model) {
    const int count = model->processor.GetPieceSize();
    return count < 0 ? 0 : static_cast<size_t>(count);
}

csp_status csp_encode(const csp_model *model, const char *text, size_t size, int32_t **ids, size_t *count,
                      char *message, size_t message_size) {
    *ids = nullptr;
    *count = 0;
    return guarded(message, message_size, [&] {
        std::vector<int> found;
        const sentencepiece::util::Status status = model->processor.Encode(absl::string_view(text, size), &found);
        if (!status.ok() || found.empty()) return status;
        static_assert(sizeof(int) == sizeof(int32_t), "ids are copied as they are");
        int32_t *copy = static_cast<int32_t *>(std::malloc(found.size() * sizeof(int32_t)));
        if (copy == nullptr) throw std::bad_alloc();
        std::memcpy(copy, found.data(), found.size() * sizeof(int32_t));
        *ids = copy;
        *count = found.size();
        return status;
    });
}

void csp_free(int32_t *ids) { std::free(ids); }
