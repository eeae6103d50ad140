/* broker/log/names.h - file and directory names of a log directory (storage reference §1). */
#pragma once
#include "base/uuid.h"
#include "runtime/files.h"

#define NAMES_LOG       ".log"
#define NAMES_OFFSETS   ".index"
#define NAMES_TIMES     ".timeindex"
#define NAMES_ABORTED   ".txnindex"
#define NAMES_PRODUCERS ".snapshot"
#define NAMES_DELETED   ".deleted"
#define NAMES_CLEANED   ".cleaned"
#define NAMES_SWAP      ".swap"
/* In a partition's directory: its log has been compacted, here or by its leader, so that offsets
 * are missing. Below the one that it says in decimal (none: 0) a segment may end before the next
 * one begins. */
#define NAMES_COMPACTED "ottla-compacted"
#define NAMES_MAX       255 /* bytes of one name */

/* "<directory>/<base in 20 digits><extension><suffix>". ERR_LIMIT if it is too long. */
MUST_CHECK enum err names_segment(char path[FILES_PATH_MAX], const char *directory, int64_t base,
                                  const char *extension, const char *suffix);
/* "<directory>/<name>". */
MUST_CHECK enum err names_join(char path[FILES_PATH_MAX], const char *directory, const char *name);

/* A file of a partition's directory. */
struct names_file {
    int64_t base;          /* the digits before the first "." */
    const char *extension; /* one of the above; NULL: none that we know */
    const char *suffix;    /* "", or one of the above; NULL: none that we know */
};
/* False if it does not begin with digits and a ".". */
bool names_parse_file(const char *name, struct names_file *out);

/* A sub-directory of a log directory. */
enum names_kind { NAMES_LIVE, NAMES_FUTURE, NAMES_DELETING, NAMES_STRAY };
struct names_directory {
    enum names_kind kind;
    struct slice topic; /* of `name`, as the next but one; cut, perhaps, of NAMES_DELETING */
    int32_t partition;
    struct slice unique; /* between "." and "-delete", "-future", "-stray"; empty: NAMES_LIVE */
};
/* False: no partition's (Kafka refuses to start with such a one). */
bool names_parse_directory(const char *name, struct names_directory *out);
/* "<topic>-<partition>", `name` has NAMES_MAX + 1 bytes. ERR_LIMIT if longer. */
MUST_CHECK enum err names_live(char *name, struct slice topic, int32_t partition);
/* "<topic>-<partition>.<32 hex digits>-delete", the topic cut so that it fits. */
void names_deleting(char *name, struct slice topic, int32_t partition, struct uuid unique);
/* "<topic>-<partition>.<32 hex digits>-stray", cut in the same way. */
void names_stray(char *name, struct slice topic, int32_t partition, struct uuid unique);
/* As names_deleting with the `unique` of a future directory (names_parse_directory): the two belong
 * together, see future.h. ERR_LIMIT: it is longer than any that a broker gives. */
MUST_CHECK enum err names_deleting_for(char *name, struct slice topic, int32_t partition,
                                       struct slice unique);
/* "<topic>-<partition>.<32 hex digits>-future". ERR_LIMIT if longer: it is never cut. */
MUST_CHECK enum err names_future(char *name, struct slice topic, int32_t partition,
                                 struct uuid unique);
