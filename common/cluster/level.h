/* cluster/level.h - inter.broker.protocol.version: which behaviour brokers may expect of each other.
 *
 * Levels are ordered; a feature asks `level >= LEVEL_2_7_IV2`. Pure. */
#pragma once
#include "base/slice.h"

/* suffix of the enum, text */
#define LEVEL_TABLE(X)                                                                             \
    X(0_8_0, "0.8.0")                                                                              \
    X(0_8_1, "0.8.1")                                                                              \
    X(0_8_2, "0.8.2")                                                                              \
    X(0_9_0, "0.9.0")                                                                              \
    X(0_10_0_IV0, "0.10.0-IV0")                                                                    \
    X(0_10_0_IV1, "0.10.0-IV1")                                                                    \
    X(0_10_1_IV0, "0.10.1-IV0")                                                                    \
    X(0_10_1_IV1, "0.10.1-IV1")                                                                    \
    X(0_10_1_IV2, "0.10.1-IV2")                                                                    \
    X(0_10_2_IV0, "0.10.2-IV0")                                                                    \
    X(0_11_0_IV0, "0.11.0-IV0")                                                                    \
    X(0_11_0_IV1, "0.11.0-IV1")                                                                    \
    X(0_11_0_IV2, "0.11.0-IV2")                                                                    \
    X(1_0_IV0, "1.0-IV0")                                                                          \
    X(1_1_IV0, "1.1-IV0")                                                                          \
    X(2_0_IV0, "2.0-IV0")                                                                          \
    X(2_0_IV1, "2.0-IV1")                                                                          \
    X(2_1_IV0, "2.1-IV0")                                                                          \
    X(2_1_IV1, "2.1-IV1")                                                                          \
    X(2_1_IV2, "2.1-IV2")                                                                          \
    X(2_2_IV0, "2.2-IV0")                                                                          \
    X(2_2_IV1, "2.2-IV1")                                                                          \
    X(2_3_IV0, "2.3-IV0")                                                                          \
    X(2_3_IV1, "2.3-IV1")                                                                          \
    X(2_4_IV0, "2.4-IV0")                                                                          \
    X(2_4_IV1, "2.4-IV1")                                                                          \
    X(2_5_IV0, "2.5-IV0")                                                                          \
    X(2_6_IV0, "2.6-IV0")                                                                          \
    X(2_7_IV0, "2.7-IV0")                                                                          \
    X(2_7_IV1, "2.7-IV1")                                                                          \
    X(2_7_IV2, "2.7-IV2")                                                                          \
    X(2_8_IV0, "2.8-IV0")                                                                          \
    X(2_8_IV1, "2.8-IV1")                                                                          \
    X(3_0_IV0, "3.0-IV0")                                                                          \
    X(3_0_IV1, "3.0-IV1")                                                                          \
    X(3_1_IV0, "3.1-IV0")                                                                          \
    X(3_2_IV0, "3.2-IV0")                                                                          \
    X(3_3_IV0, "3.3-IV0")                                                                          \
    X(3_3_IV1, "3.3-IV1")                                                                          \
    X(3_3_IV2, "3.3-IV2")                                                                          \
    X(3_3_IV3, "3.3-IV3")                                                                          \
    X(3_4_IV0, "3.4-IV0")                                                                          \
    X(3_5_IV0, "3.5-IV0")                                                                          \
    X(3_5_IV1, "3.5-IV1")                                                                          \
    X(3_5_IV2, "3.5-IV2")                                                                          \
    X(3_6_IV0, "3.6-IV0")                                                                          \
    X(3_6_IV1, "3.6-IV1")                                                                          \
    X(3_6_IV2, "3.6-IV2")                                                                          \
    X(3_7_IV0, "3.7-IV0")                                                                          \
    X(3_7_IV1, "3.7-IV1")                                                                          \
    X(3_7_IV2, "3.7-IV2")                                                                          \
    X(3_7_IV3, "3.7-IV3")                                                                          \
    X(3_7_IV4, "3.7-IV4")                                                                          \
    X(3_8_IV0, "3.8-IV0")                                                                          \
    X(3_9_IV0, "3.9-IV0")

#define LEVEL_ENUM(suffix, text) LEVEL_##suffix,
enum level { LEVEL_TABLE(LEVEL_ENUM) LEVEL_COUNT };
#undef LEVEL_ENUM

#define LEVEL_LATEST LEVEL_3_9_IV0

/* "3.9-IV0"; never NULL. */
const char *level_text(enum level level);
/* A level's text, or a release ("3.9", "2.8.1", "0.10.2"), which means its last level. ERR_INVALID. */
MUST_CHECK enum err level_parse(struct slice text, enum level *out);
