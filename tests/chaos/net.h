/* tests/chaos/net.h - a network of our own: one namespace per node, joined by a bridge.
 *
 * The calling process moves into a network namespace and a mount namespace of its own (the hub,
 * with the bridge); every node's namespace is held by a child process. None of them has a name, so
 * the kernel takes all of it away with the last process in it, however the test ends. Rules of
 * iptables go into the nodes' namespaces only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* NULL, or why there can be no such network here: not root, no namespaces, no iptables. */
const char *net_missing(void);

/* Moves this process into the hub. Before any thread is started and any socket opened; once. Ends
 * the process with a message if it does not work. */
void net_enter(void);

/* A namespace with the address 10.77.0.`last`; gives the process that holds it (ends with ours). */
pid_t net_add(int last, char address[16]);

enum net_way { NET_BOTH, NET_IN, NET_OUT };
/* What comes to the namespace of `holder` from `address` (NET_IN), what goes there (NET_OUT), or
 * both, vanishes from now on. A NULL address is everyone. */
void net_cut(pid_t holder, const char *address, enum net_way way);
/* All of the namespace's cuts end. */
void net_heal(pid_t holder);

/* A file system of `bytes` on `folder`: ext4 on a loop device, else tmpfs; unmounted by the kernel
 * when the test has ended. `image` is a file name for the former. Says which. */
const char *net_mount_small(const char *folder, const char *image, int64_t bytes);
