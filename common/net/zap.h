/* Who may connect to this process: a thread that answers libzmq's question about each new
 * connection (ZAP, rfc.zeromq.org/27) from the list of keys. Only for sockets of domain ZAP_DOMAIN,
 * which speak CURVE. */
#ifndef GRAFT_COMMON_NET_ZAP_H
#define GRAFT_COMMON_NET_ZAP_H

#include "common/base/error.h"
#include "common/net/keys.h"

#define ZAP_DOMAIN "graft"

struct zap;

/* `context` is ZeroMQ's; `keys` are borrowed until zap_join. To be called before the first bind. */
enum status zap_start(void *context, const struct keys *keys, struct zap **out,
                      struct error *err) MUST_CHECK;

/* The thread ends when the context is shut down. */
void zap_join(struct zap **zap);

#endif
