/*
 * Drives all C of the library under AddressSanitizer and UndefinedBehaviorSanitizer: every kernel of every level this processor
 * has, over random sizes, addresses and numbers, in buffers of exactly the promised size, and compares the levels bit for bit.
 *
 *     sanitize [ROUNDS]
 */
#include "support.h"

int main(int count, char **arguments) {
    size_t rounds = count > 1 ? (size_t)strtoul(arguments[1], NULL, 10) : 1000;
    for (int32_t isa = 0; isa < CK_ISA_COUNT; isa++) {
        const ck_kernels *kernels = ck_kernels_for(isa);
        if (kernels) levels[level_count++] = kernels;
    }
    const struct {
        const char *name;
        void (*check)(size_t);
    } parts[] = {{"matmul", check_matmul},       {"rows", check_rows},         {"elementwise", check_elementwise},
                 {"attention", check_attention}, {"integers", check_integers}, {"thirds", check_thirds},
                 {"measure", check_measure},     {"media", check_media}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        parts[i].check(rounds);
        printf("%s: %zu rounds on", parts[i].name, rounds);
        for (size_t l = 0; l < level_count; l++) printf(" %s", levels[l]->name);
        printf("\n");
    }
    check_system();
    printf("pool, files, digests and floating-point settings\n");
    check_memory();
    printf("memory on nodes, and how much there is\n");
    return 0;
}
