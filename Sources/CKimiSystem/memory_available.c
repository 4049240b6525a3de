// Asked for every 64 tokens: a few files of the kernel's, read again by descriptors that stay open.

#define _GNU_SOURCE
#include "cks_memory.h"

#include <string.h>
#include <unistd.h>

/// The files of interest have a few kilobytes, and what is looked for stands in the first of them.
enum { text_bytes = 8192 };

static int read_text(int descriptor, char text[text_bytes]) {
    ssize_t got = pread(descriptor, text, text_bytes - 1, 0);
    if (got <= 0) return 0;
    text[got] = 0;
    return 1;
}

/// The number at `text`, -1 if there is none or it is beyond any memory.
static int64_t number(const char *text) {
    while (*text == ' ' || *text == '\t') text++;
    if (*text < '0' || *text > '9') return -1;
    int64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (value > (INT64_MAX - 9) / 10) return -1;
        value = value * 10 + (*text - '0');
    }
    return value;
}

/// The number behind a name that begins a line; -1 if it is not there.
static int64_t value_of(const char *text, const char *name) {
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, name, length) == 0) return number(line + length);
    return -1;
}

/// Bytes of page cache, which the system takes back before it refuses. A group's own count in the first kind of cgroups leaves out its
/// children, the total does not.
static int64_t file_cache(const char *text) {
    int64_t active = value_of(text, "total_active_file "), inactive = value_of(text, "total_inactive_file ");
    if (active < 0 || inactive < 0) active = value_of(text, "active_file "), inactive = value_of(text, "inactive_file ");
    return active < 0 || inactive < 0 || active > INT64_MAX - inactive ? 0 : active + inactive;
}

int64_t cks_memory_available(int meminfo, const cks_memory_group *groups, size_t count) {
    char text[text_bytes];
    int64_t least = -1;
    if (meminfo >= 0 && read_text(meminfo, text)) {
        int64_t kilobytes = value_of(text, "MemAvailable:");
        if (kilobytes >= 0 && kilobytes <= INT64_MAX / 1024) least = kilobytes * 1024;
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_text(groups[i].usage, text)) continue;
        int64_t used = number(text);
        if (used < 0) continue;
        int64_t cached = groups[i].statistics >= 0 && read_text(groups[i].statistics, text) ? file_cache(text) : 0;
        int64_t held = used > cached ? used - cached : 0;
        int64_t left = groups[i].limit > held ? groups[i].limit - held : 0;
        if (least < 0 || left < least) least = left;
    }
    return least;
}
