/* tools/config_client.h - configurations of topics and brokers, asked for and changed. */
#pragma once
#include "tools/cluster_client.h"
#include "wire/gen/describe_configs.h"

/* Kafka's numbers, of DescribeConfigs. */
enum config_type { CONFIG_TOPIC = 2, CONFIG_BROKER = 4, CONFIG_BROKER_LOGGER = 8 };
enum config_source {
    CONFIG_OF_TOPIC = 1,
    CONFIG_OF_BROKER = 2,
    CONFIG_OF_ALL_BROKERS = 3,
    CONFIG_OF_LOGGER = 6,
};
const char *config_source_name(int source); /* "DYNAMIC_TOPIC_CONFIG" */

struct config_change {
    struct slice key;
    struct slice value; /* null: the key is taken away */
};

/* One entity; `name` "" is the default of all brokers. What names a broker is asked of that
 * broker, whose address is known from Metadata. ERR_DENIED with a message: what the cluster says.
 */
MUST_CHECK enum err config_alter(struct cluster *cluster, enum config_type type, struct slice name,
                                 const struct config_change *changes, int count,
                                 struct buf *message);
/* All its keys, with synonyms; `*out` borrows from `request`, for cluster_request_fini. */
MUST_CHECK enum err config_describe(struct cluster *cluster, enum config_type type,
                                    struct slice name, struct cluster_request *request,
                                    const struct describe_configs_response_result **out,
                                    struct buf *message);
