#include "CBuild.h"

// Package.swift takes it from the environment. In a file of its own, as it is compiled again for every commit.
#ifndef NSM_AGENT_COMMIT
#define NSM_AGENT_COMMIT ""
#endif

const char *cb_commit(void) { return NSM_AGENT_COMMIT; }
