#include "broker/messages.h"
#include "base/ensure.h"

void messages_on_call(struct msg_routes *routes, enum msg_type type,
                      void (*call)(void *owner, struct msg *msg), void *owner)
{
    struct msg_route *route = &routes->at[type];

    ensure(route->call == NULL);
    route->call = call;
    route->call_owner = owner;
}

void messages_on_answer(struct msg_routes *routes, enum msg_type type,
                        void (*answer)(void *owner, struct msg *msg), void *owner)
{
    struct msg_route *route = &routes->at[type];

    ensure(route->answer == NULL);
    route->answer = answer;
    route->answer_owner = owner;
}

void messages_call(void *routes, struct msg *msg)
{
    struct msg_routes *all = routes;

    ensure(msg->type < MSG_TYPES);
    const struct msg_route *route = &all->at[msg->type];
    ensure(route->call != NULL);
    route->call(route->call_owner, msg);
}

void messages_answer(void *routes, struct msg *msg)
{
    struct msg_routes *all = routes;

    ensure(msg->type < MSG_TYPES);
    const struct msg_route *route = &all->at[msg->type];
    ensure(route->answer != NULL);
    route->answer(route->answer_owner, msg);
}
