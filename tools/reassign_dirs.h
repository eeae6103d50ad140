/* tools/reassign_dirs.h - the part of a reassignment that names log directories: which replica
 * moves where in its broker, and how far that is. Pure. Rules: tools.md §8. */
#pragma once
#include "tools/reassign_text.h"
#include "wire/gen/alter_replica_log_dirs.h"
#include "wire/gen/describe_log_dirs.h"

struct dir_move {
    struct topic_partition at;
    int32_t broker;
    struct slice dir;
};
/* By topic, partition and broker. */
struct dir_move_list {
    struct dir_move *at;
    int32_t count;
};

/* The replicas for which the list names a directory; in the arena. */
void dir_moves_of(const struct move_list *list, struct arena *arena, struct dir_move_list *out);
/* Those of one broker. */
void dir_moves_on(const struct dir_move_list *list, int32_t broker, struct arena *arena,
                  struct dir_move_list *out);
/* "t-0-1,t-1-2": topic, partition, broker. */
void dir_moves_write_names(struct buf *out, const struct dir_move_list *list);
/* A line for each move that has begun. */
void dir_moves_write_begun(struct buf *out, const struct dir_move_list *list);
/* What a broker is asked for its moves; the arena's. */
void dir_moves_fill(const struct dir_move_list *list, struct arena *arena,
                    struct alter_replica_log_dirs_request *body);
/* What it said of one; −1: nothing. */
int16_t dir_move_code(const struct alter_replica_log_dirs_response *response,
                      const struct dir_move *move);

struct dir_state {
    enum {
        DIR_NO_REPLICA, /* the broker does not tell of it */
        DIR_IN_NONE,    /* only of a copy without an original */
        DIR_ELSEWHERE,  /* it is not on its way */
        DIR_MOVING,     /* perhaps to another one than was asked for */
        DIR_THERE,
    } is;
    struct slice current, future; /* borrowed from the response */
};
/* NULL: the broker gave no answer. */
struct dir_state dir_state_of(const struct describe_log_dirs_response *response,
                              const struct dir_move *move);
/* One line of --verify. */
void dir_state_write(struct buf *out, const struct dir_move *move, const struct dir_state *state);
