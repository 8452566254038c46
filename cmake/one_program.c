/* The main of a program made of many (one_program.cmake): its argument names the one to run. MAINS is a file of lines
 * MAIN("name", function). */
#include <stdio.h>
#include <string.h>

#define MAIN(name, function) int function(void);
#include MAINS
#undef MAIN

static const struct {
    const char *name;
    int (*function)(void);
} mains[] = {
#define MAIN(name, function) {name, function},
#include MAINS
#undef MAIN
};

int main(int argc, char **argv) {
    size_t n = sizeof mains / sizeof *mains;
    for (size_t i = 0; argc == 2 && i < n; i++)
        if (!strcmp(argv[1], mains[i].name)) return mains[i].function();
    fprintf(stderr, "usage: %s NAME, where NAME is one of:\n", argv[0]);
    for (size_t i = 0; i < n; i++) fprintf(stderr, "%s\n", mains[i].name);
    return 2;
}
