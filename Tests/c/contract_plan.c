/* A part of contract.c: the plan before loading. */
#include "contract.h"

#include <math.h>

#define MACHINE "pack:2 [numa(memory=512GB)] core:48 pu:1"

/* The number behind `name`, after `section` in the plan; -1 if there is none. */
static double told(const char *json, const char *section, const char *name) {
    char quoted[64];
    const char *place = strstr(json, section);
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    place = place ? strstr(place, quoted) : NULL;
    return place ? strtod(place + strlen(quoted), NULL) : -1;
}

static char *planned(const char *folder, const kimi_plan_options *options) {
    kimi_error *error = NULL;
    char *json = NULL;
    size_t length = 0;
    if (EXPECT(KIMI_OK, kimi_plan(fixture(folder), KIMI_NUL, options, &json, &length, &error)) != KIMI_OK) return NULL;
    CHECK(strlen(json) == length && strstr(json, "{\"format\":\"kimi-plan\",\"version\":1,") == json, "%s", json);
    return json;
}

void contract_plan(void) {
    kimi_error *error = NULL;
    char *json = NULL;
    kimi_plan_options options;
    EXPECT(KIMI_OK, kimi_plan_options_init(&options, sizeof options));

    /* This machine, and one that is described; headers, and a configuration alone. */
    json = planned("tiny-kimi", NULL);
    CHECK(json && strstr(json, "\"from_config_alone\":false") && strstr(json, "\"source\":\"this machine\""), "%s", json);
    kimi_free(json);
    options.synthetic = MACHINE;
    options.placement = KIMI_PLACEMENT_EXPERT;
    options.sequences = 2;
    options.context = 100;
    json = planned("k25-config", &options);
    if (json) {
        CHECK(strstr(json, "\"from_config_alone\":true") && strstr(json, "\"policy\":\"expert\",\"policy_chosen\":false"), "%s", json);
        /* 60 layers of 384 experts, each three matrices of 2048 x 7168 in four bits and sixteen for 32 of them. */
        CHECK(told(json, "\"experts\":{", "whole") == 60 * 384, "%g", told(json, "\"experts\":{", "whole"));
        CHECK(told(json, "\"model\":", "expert_bytes") == 60. * 384 * 3 * (2048 * 7168 / 2 + 2048 * 7168 / 16), "%s", json);
        CHECK(told(json, "\"tokens_per_second\":", "low") > 0, "%s", json);
        kimi_free(json);
    }

    /* Less memory: some experts are streamed, or it is refused with what would help. */
    options.memory_limit = 300000000000;
    json = planned("k25-config", &options);
    CHECK(json && told(json, "\"experts\":{", "streamed_bytes") > 200e9, "%s", json);
    kimi_free(json);
    options.no_streaming = 1;
    EXPECT_SAYING("resident=", KIMI_ERROR_OUT_OF_MEMORY, kimi_plan(fixture("k25-config"), KIMI_NUL, &options, &json, NULL, &error));
    CHECK(json == NULL, "%p", (void *)json);

    /* Options that make no sense. */
    kimi_plan_options_init(&options, sizeof options);
    options.synthetic = "pack:2 nonsense";
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_plan(fixture("tiny-kimi"), KIMI_NUL, &options, &json, NULL, &error));
    options.synthetic = MACHINE;
    options.topology = "/no-such-file.xml";
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_plan(fixture("tiny-kimi"), KIMI_NUL, &options, &json, NULL, &error));
    options.synthetic = NULL;
    EXPECT(KIMI_ERROR_IO, kimi_plan(fixture("tiny-kimi"), KIMI_NUL, &options, &json, NULL, &error));
    options.topology = NULL;
    options.heat = "/no-such-file.json";
    EXPECT(KIMI_ERROR_IO, kimi_plan(fixture("tiny-kimi"), KIMI_NUL, &options, &json, NULL, &error));
    options.heat = NULL;
#define REFUSED(member, value) \
    do { \
        kimi_plan_options_init(&options, sizeof options); \
        options.member = value; \
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_plan(fixture("tiny-kimi"), KIMI_NUL, &options, &json, NULL, &error)); \
    } while (0)
    REFUSED(threads, -1);
    REFUSED(threads, 4097);
    REFUSED(memory_limit, -1);
    REFUSED(context, INT64_MAX);
    REFUSED(context, INT64_MIN);
    REFUSED(sequences, -1);
    REFUSED(cache_type, 9);
    REFUSED(dense, 2);
    REFUSED(placement, 4);
    REFUSED(nodes, 65);
    REFUSED(chunk_size, 4097);
    REFUSED(replicate_bytes, -1);
    REFUSED(resident_bytes, INT64_MIN);
    REFUSED(no_streaming, 2);
    REFUSED(compare, -1);
    REFUSED(bandwidth, -1);
    REFUSED(link_bandwidth, 1e300);
    REFUSED(disk_bandwidth, (double)NAN);
    REFUSED(barrier, (double)INFINITY);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_plan(NULL, 0, NULL, &json, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_plan(fixture("tiny-kimi"), KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_IO, kimi_plan("/no-such-folder", KIMI_NUL, NULL, &json, NULL, &error));
}
