/* Where memory lies, and how much of it there is. */
#include "support.h"

#include "CKimiSystem.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_with(const void *bytes, size_t count) {
    char path[] = "/tmp/kimi-sanitize-XXXXXX";
    int file = mkstemp(path);
    REQUIRE(file >= 0, "no temporary file");
    unlink(path);
    REQUIRE(write(file, bytes, count) == (ssize_t)count, "not written");
    return file;
}

static int64_t available(const char *meminfo, const char *usage, const char *statistics, int64_t limit) {
    int machine = meminfo ? file_with(meminfo, strlen(meminfo)) : -1;
    cks_memory_group group = {usage ? file_with(usage, strlen(usage)) : -1, statistics ? file_with(statistics, strlen(statistics)) : -1, limit};
    int64_t bytes = cks_memory_available(machine, &group, usage ? 1 : 0);
    int files[3] = {machine, group.usage, group.statistics};
    for (size_t i = 0; i < 3; i++)
        if (files[i] >= 0) close(files[i]);
    return bytes;
}

static void check_available(void) {
    static const struct {
        const char *meminfo, *usage, *statistics;
        int64_t limit, bytes;
    } cases[] = {
        {NULL, NULL, NULL, 0, -1},
        {"", NULL, NULL, 0, -1},
        {"MemTotal: 9 kB\nMemAvailable:   8 kB\n", NULL, NULL, 0, 8192},
        {"MemAvailable:\n8 kB", NULL, NULL, 0, -1},
        {"MemAvailable: 9223372036854775807 kB", NULL, NULL, 0, -1},
        {"MemAvailable: 99999999999999999999999 kB", NULL, NULL, 0, -1},
        {"xMemAvailable: 8 kB", NULL, NULL, 0, -1},
        {"MemAvailable: 8 kB", "1000", "active_file 300\ninactive_file 200\n", 4000, 3500},
        {"MemAvailable: 1 kB", "1000", "active_file 300\ninactive_file 200\n", 4000, 1024},
        {NULL, "1000", NULL, 4000, 3000},
        {NULL, "1000", "active_file 300\n", 4000, 3000},
        {NULL, "1000", "active_file 9000\ninactive_file 0\n", 4000, 4000},
        {NULL, "1000", "active_file 9223372036854775000\ninactive_file 9223372036854775000\n", 4000, 3000},
        {NULL, "1000", "active_file 1\ninactive_file 1\ntotal_active_file 500\ntotal_inactive_file 100", 4000, 3600},
        {NULL, "5000", NULL, 4000, 0},
        {"MemAvailable: 8 kB", "no number", NULL, 4000, 8192},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t bytes = available(cases[i].meminfo, cases[i].usage, cases[i].statistics, cases[i].limit);
        REQUIRE(bytes == cases[i].bytes, "case %zu: %lld bytes for %lld", i, (long long)bytes, (long long)cases[i].bytes);
    }
    /* Any bytes at all, also more of them than are read. */
    static const char letters[] = "MemAvailable: active_file total_inactive_file \n0123456789\0\xff";
    for (size_t round = 0; round < 500; round++) {
        size_t count = below(round % 10 ? 300 : 20000);
        char *bytes = exact(count + 1, 1);
        for (size_t i = 0; i < count; i++) bytes[i] = letters[below(sizeof letters)];
        int file = file_with(bytes, count);
        cks_memory_group group = {file, file, INT64_MAX};
        REQUIRE(cks_memory_available(file, &group, 1) >= -1, "a size below none");
        close(file);
        give_back(bytes);
    }
}

static void check_nodes(void) {
    enum { page = 4096, pages = 1500 };
    size_t size = (size_t)pages * page;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED, "no memory");
    madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < pages; i += 3) memory[i * page] = 1;
    /* A system that does not tell is none that is wrong. */
    size_t total = 0, here = 0, elsewhere = 0, absent = 0;
    int result = cks_memory_where(memory, size, 0, SIZE_MAX, &here, &elsewhere, &absent);
    if (result == 0) {
        REQUIRE(here + elsewhere == pages / 3 && absent == pages - pages / 3, "%zu here, %zu elsewhere, %zu absent", here, elsewhere, absent);
        for (uint32_t node = 0; node < 1024 && total < pages / 3; node++) {
            here = elsewhere = absent = 0;
            REQUIRE(cks_memory_where(memory, size, node, pages, &here, &elsewhere, &absent) == 0, "asked again");
            total += here;
        }
        REQUIRE(total == pages / 3, "%zu pages are on nodes", total);
        /* Fewer than there are: every third page is one of those touched. */
        here = elsewhere = absent = 0;
        REQUIRE(cks_memory_where(memory, size, 0, pages / 3, &here, &elsewhere, &absent) == 0, "asked for some");
        REQUIRE(here + elsewhere == pages / 3 && absent == 0, "%zu here, %zu elsewhere, %zu absent", here, elsewhere, absent);
        here = elsewhere = absent = 0;
        REQUIRE(cks_memory_where(memory, page - 1, 0, 9, &here, &elsewhere, &absent) == 0, "less than a page");
        REQUIRE(cks_memory_where(memory, size, 0, 0, &here, &elsewhere, &absent) == 0, "no page");
        REQUIRE(here + elsewhere + absent == 0, "pages of nothing");
    } else {
        REQUIRE(result == -EPERM || result == -ENOSYS, "asking where memory lies: %d", result);
    }
    REQUIRE(cks_memory_prefer(memory, size, 1024) == -EINVAL && cks_memory_prefer(memory, size, UINT32_MAX) == -EINVAL, "nodes beyond any");
    const uint64_t nowhere[16] = {0}, last[16] = {[15] = (uint64_t)1 << 63};
    REQUIRE(cks_memory_prefer(memory, size, 1023) < 0, "a node that is not there");
    REQUIRE(cks_memory_interleave(memory, size, last) < 0 && cks_memory_interleave(memory, size, nowhere) < 0, "nodes that are not there");
    munmap(memory, size);
}

void check_memory(void) {
    check_available();
    check_nodes();
}
