/* The pool, files, digests and floating-point settings. */
#include "support.h"

#include "CKimiSystem.h"

#include <errno.h>
#include <fenv.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct work {
    atomic_uchar *done; /* one an item */
    size_t workers;
    atomic_uchar *busy; /* one a worker */
} work;

static void visit(void *context, size_t begin, size_t end, size_t worker) {
    work *w = context;
    REQUIRE(begin < end && worker < w->workers, "items %zu ..< %zu of worker %zu", begin, end, worker);
    REQUIRE(atomic_exchange(&w->busy[worker], 1) == 0, "worker %zu is two threads", worker);
    for (size_t i = begin; i < end; i++) REQUIRE(atomic_fetch_add(&w->done[i], 1) == 0, "item %zu came twice", i);
    atomic_store(&w->busy[worker], 0);
}

/// Items of nodes, each with a numbering of its own: `first` of each node in `done`.
typedef struct node_work {
    work all;
    const size_t *first;
    const size_t *counts;
} node_work;

static void visit_node(void *context, size_t node, size_t begin, size_t end, size_t worker) {
    node_work *w = context;
    REQUIRE(end <= w->counts[node], "items %zu ..< %zu of node %zu", begin, end, node);
    visit(&w->all, w->first[node] + begin, w->first[node] + end, worker);
}

static void check_nodes(void) {
    for (size_t nodes = 1; nodes <= 4; nodes++) {
        size_t workers[4], total = 0;
        for (size_t node = 0; node < nodes; node++) total += workers[node] = 1 + below(3);
        cks_pool *pool = cks_pool_create(workers, nodes);
        REQUIRE(pool, "no pool of %zu nodes", nodes);
        for (size_t worker = 0; worker < total; worker++)
            REQUIRE(cks_pool_nodes(pool)[worker] < nodes, "worker %zu has no node", worker);
        for (size_t round = 0; round < 200; round++) {
            size_t counts[4], first[4], count = 0;
            for (size_t node = 0; node < nodes; node++) {
                first[node] = count;
                count += counts[node] = below(100);
            }
            node_work w = {{exact(count + 1, 1), total, exact(total, 1)}, first, counts};
            memset(w.all.done, 0, count);
            memset(w.all.busy, 0, total);
            cks_pool_run_nodes(pool, visit_node, &w, counts, 1 + below(20));
            for (size_t i = 0; i < count; i++) REQUIRE(w.all.done[i] == 1, "item %zu of %zu was left out", i, count);
            give_back(w.all.busy);
            give_back(w.all.done);
        }
        cks_pool_destroy(pool);
    }
    const size_t none = 0;
    REQUIRE(!cks_pool_create(&none, 1) && !cks_pool_create(&none, 0), "a pool without workers");
}

static void check_pool(void) {
    for (size_t workers = 1; workers <= 5; workers++) {
        cks_pool *pool = cks_pool_create(&workers, 1);
        REQUIRE(pool, "no pool of %zu", workers);
        for (size_t round = 0; round < 200; round++) {
            size_t count = 1 + below(300);
            work w = {exact(count, 1), workers, exact(workers, 1)};
            memset(w.done, 0, count);
            memset(w.busy, 0, workers);
            cks_pool_run(pool, visit, &w, count, 1 + below(40));
            for (size_t i = 0; i < count; i++) REQUIRE(w.done[i] == 1, "item %zu of %zu was left out", i, count);
            give_back(w.busy);
            give_back(w.done);
        }
        cks_pool_destroy(pool);
    }
    cks_pool_destroy(NULL);
}

static void check_files(void) {
    char path[] = "/tmp/kimi-sanitize-XXXXXX", words[8];
    int made = mkstemp(path);
    REQUIRE(made >= 0, "no temporary file");
    size_t length = 5000;
    unsigned char *content = exact(length, 1), *copy = exact(length, 1);
    for (size_t i = 0; i < length; i++) content[i] = (unsigned char)random_bits();
    REQUIRE(write(made, content, length) == (ssize_t)length, "not written");
    int64_t size = 0;
    int file = cks_file_open(path, &size);
    REQUIRE(file >= 0 && size == (int64_t)length && cks_file_size(file) == size, "%d, %lld bytes", file, (long long)size);
    REQUIRE(cks_file_read(file, copy, length, 0) == (int64_t)length, "not read");
    same_bytes(copy, content, length, "a file", "read");
    REQUIRE(cks_file_read(file, copy, 100, (int64_t)length - 7) == 7, "the end of a file");
    REQUIRE(cks_file_read(file, copy, 1, (int64_t)length + 7) == 0, "behind the end of a file");
    int error = 0;
    const void *mapping = cks_file_map(file, length, &error);
    REQUIRE(mapping, "not mapped: %d", error);
    same_bytes(mapping, content, length, "a file", "mapped");
    for (size_t round = 0; round < 200; round++) {
        size_t begin = below(length), count = round == 0 ? 0 : 1 + below(length - begin);
        unsigned char *part = exact(count, 1);
        int64_t got = cks_file_read_cached(file, (const char *)mapping + begin, part, count, (int64_t)begin);
        /* It was just written, so it is in the cache, if this file system tells. */
        REQUIRE(got == (int64_t)count || got == 0, "%lld of %zu cached bytes", (long long)got, count);
        if (got > 0) same_bytes(part, content + begin, count, "a file", "read from the cache");
        give_back(part);
    }
    unsigned char *past = exact(5000, 1);
    REQUIRE(cks_file_read_cached(file, mapping, past, length, 100) < (int64_t)length, "behind the end of a file, from the cache");
    REQUIRE(cks_file_read_cached(-1, mapping, past, length, 0) == -EBADF, "no file was read from the cache");
    give_back(past);
    if (cks_file_hold(file)) cks_file_let_go(file); /* refused: it is open for writing */
    cks_file_unmap(mapping, length);
    cks_file_close(file);
    close(made);
    unlink(path);
    REQUIRE(cks_file_open(path, &size) == -ENOENT && cks_file_open("/tmp", &size) == -EISDIR, "what is no file was opened");
    for (size_t room = 0; room <= sizeof words; room++) cks_error_text(ENOENT, words, room);
    REQUIRE(strncmp(words, "No such", 7) == 0 && words[7] == 0, "'%.8s'", words);

    /* In pieces or at once. */
    uint8_t whole[16], pieces[16];
    cks_digest *digest = cks_digest_create();
    cks_digest_update(digest, content, length);
    cks_digest_finish(digest, whole);
    cks_digest_destroy(digest);
    digest = cks_digest_create();
    for (size_t done = 0; done < length;) {
        size_t part = below(700);
        part = part < length - done ? part : length - done;
        cks_digest_update(digest, content + done, part);
        done += part;
    }
    cks_digest_finish(digest, pieces);
    cks_digest_destroy(digest);
    cks_digest_destroy(NULL);
    same_bytes(whole, pieces, sizeof whole, "a digest", "pieces");
    give_back(copy);
    give_back(content);
}

static void check_float_settings(void) {
    fesetround(FE_DOWNWARD);
    uint64_t before = cks_float_use_default();
    REQUIRE(fegetround() == FE_TONEAREST, "rounding is %d", fegetround());
    cks_float_restore(before);
    REQUIRE(fegetround() == FE_DOWNWARD, "rounding is %d", fegetround());
    fesetround(FE_TONEAREST);
}

void check_system(void) {
    check_pool();
    check_nodes();
    check_float_settings();
    check_files();
}
