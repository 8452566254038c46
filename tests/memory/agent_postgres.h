/* A server for the tests of agents in PostgreSQL, which may be stopped and started again. */
#ifndef MN_TESTS_AGENT_POSTGRES_H
#define MN_TESTS_AGENT_POSTGRES_H

#include "store/server.h"
#include "store/stores.h"

/* The group's result; 77, and a sentence, where there is no server to start. */
#define run_on_server(tests) (begin_server() ? end_server(cmocka_run_group_tests(tests, NULL, NULL)) : 77)

static bool begin_server(void) {
    server_folder = folder;
    if (find_server() && start_server()) return true;
    puts("skipped: there is no PostgreSQL server here that a test can start; apt-get install postgresql");
    if (*folder) stop_server();
    return false;
}

static int end_server(int failed) {
    stop_server();
    return failed;
}

#endif
