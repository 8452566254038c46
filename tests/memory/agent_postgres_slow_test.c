/* The kills of kill_slow_test.c on PostgreSQL. */
#include "support/support.h"

#if defined MNEMO_HAVE_POSTGRES && defined MNEMO_HAVE_GRAPH
#include "memory/agent_postgres.h"
#include "memory/kills.h"

static void it_goes_on(void **state) {
    (void)state;
    kill_often(1000, 200, 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_goes_on)};
    return run_on_server(tests);
}
#else
int main(void) {
    puts("skipped: this build has no memory, or cannot reach PostgreSQL");
    return 77;
}
#endif
