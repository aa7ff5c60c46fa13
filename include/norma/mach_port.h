/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mach's ports and messages on norma; included by <norma/mach.h>, which a program includes instead. docs/ports.md says
 * where ports live and what becomes of rights when tasks and nodes die.
 *
 * There are send, receive and dead-name rights. Send-once rights and port sets do not exist; out-of-line arrays of
 * ports are refused (MACH_SEND_INVALID_TYPE). A message has at most NORMA_MSG_BYTES_MAX bytes, beside its out-of-line
 * memory, and NORMA_MSG_RIGHTS_MAX descriptors. Task, thread and host ports are send rights in the same name space; a
 * message cannot be sent to them (MACH_SEND_INVALID_DEST), their calls are functions.
 */
#ifndef NORMA_MACH_PORT_H
#define NORMA_MACH_PORT_H

#include <norma/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef natural_t mach_port_right_t;
typedef natural_t mach_port_type_t;
typedef natural_t mach_port_urefs_t;
typedef natural_t mach_port_mscount_t;
typedef int mach_port_delta_t;
typedef natural_t mach_msg_type_name_t;
typedef natural_t mach_msg_bits_t;
typedef natural_t mach_msg_size_t;
typedef natural_t mach_msg_timeout_t;
typedef natural_t mach_msg_trailer_type_t;
typedef natural_t mach_msg_trailer_size_t;
typedef unsigned char mach_msg_descriptor_type_t;
typedef unsigned int mach_msg_copy_options_t;
typedef integer_t mach_msg_id_t;
typedef integer_t mach_msg_option_t;
typedef kern_return_t mach_msg_return_t;

#define MACH_PORT_DEAD ((mach_port_t)~0u)
#define MACH_PORT_VALID(name) ((name) != MACH_PORT_NULL && (name) != MACH_PORT_DEAD)

/* Kinds of rights, and the types that mach_port_type tells. */
#define MACH_PORT_RIGHT_SEND ((mach_port_right_t)0)
#define MACH_PORT_RIGHT_RECEIVE ((mach_port_right_t)1)
#define MACH_PORT_RIGHT_SEND_ONCE ((mach_port_right_t)2)
#define MACH_PORT_RIGHT_PORT_SET ((mach_port_right_t)3)
#define MACH_PORT_RIGHT_DEAD_NAME ((mach_port_right_t)4)
#define MACH_PORT_TYPE(right) ((mach_port_type_t)(1u << ((right) + 16u)))
#define MACH_PORT_TYPE_NONE ((mach_port_type_t)0)
#define MACH_PORT_TYPE_SEND MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND)
#define MACH_PORT_TYPE_RECEIVE MACH_PORT_TYPE(MACH_PORT_RIGHT_RECEIVE)
#define MACH_PORT_TYPE_DEAD_NAME MACH_PORT_TYPE(MACH_PORT_RIGHT_DEAD_NAME)
#define MACH_PORT_TYPE_SEND_RECEIVE (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_DNREQUEST 0x80000000u /* a dead-name notification is asked for */

#define MACH_PORT_UREFS_MAX 65535 /* counts stay there when they have got there */
#define MACH_PORT_QLIMIT_DEFAULT 5

/* How a right is passed on; what it was passed as is MOVE_RECEIVE or MOVE_SEND under another name. */
#define MACH_MSG_TYPE_MOVE_RECEIVE 16
#define MACH_MSG_TYPE_MOVE_SEND 17
#define MACH_MSG_TYPE_MOVE_SEND_ONCE 18
#define MACH_MSG_TYPE_COPY_SEND 19
#define MACH_MSG_TYPE_MAKE_SEND 20
#define MACH_MSG_TYPE_MAKE_SEND_ONCE 21
#define MACH_MSG_TYPE_PORT_NONE 0
#define MACH_MSG_TYPE_PORT_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE
#define MACH_MSG_TYPE_PORT_SEND MACH_MSG_TYPE_MOVE_SEND

#define MACH_MSGH_BITS_REMOTE_MASK 0x000000ffu
#define MACH_MSGH_BITS_LOCAL_MASK 0x0000ff00u
#define MACH_MSGH_BITS_COMPLEX 0x80000000u
#define MACH_MSGH_BITS(remote, local) ((mach_msg_bits_t)((remote) | ((local) << 8)))
#define MACH_MSGH_BITS_REMOTE(bits) ((bits)&MACH_MSGH_BITS_REMOTE_MASK)
#define MACH_MSGH_BITS_LOCAL(bits) (((bits)&MACH_MSGH_BITS_LOCAL_MASK) >> 8)

typedef struct {
    mach_msg_bits_t msgh_bits;
    mach_msg_size_t msgh_size; /* of header and body; received: without the trailer */
    mach_port_t msgh_remote_port;
    mach_port_t msgh_local_port;
    mach_port_t msgh_reserved;
    mach_msg_id_t msgh_id;
} mach_msg_header_t;

/* In a complex message: behind the header, then so many descriptors, one behind the other. */
typedef struct {
    mach_msg_size_t msgh_descriptor_count;
} mach_msg_body_t;

#define MACH_MSG_PORT_DESCRIPTOR 0
#define MACH_MSG_OOL_DESCRIPTOR 1
#define MACH_MSG_OOL_PORTS_DESCRIPTOR 2 /* refused */
typedef struct {
    mach_port_t name;
    mach_msg_size_t pad1;
    unsigned int pad2 : 16;
    mach_msg_type_name_t disposition : 8;
    mach_msg_descriptor_type_t type : 8;
} mach_msg_port_descriptor_t;

/* Out-of-line memory: `size` bytes of coherent memory that the sender may read, at any address. It is copied as
 * vm_remap copies: all memory of a message at one moment, and no page moves before somebody touches it. The receiver
 * has it as new memory of its own, at an address that its node chooses, as far into a page as the sender's is; as whole
 * pages are copied, what else is in the first and the last one is there, too. vm_deallocate frees it. With `deallocate`
 * the pages go out of the sender's map as soon as the message is queued, unless another thread has put something else
 * there by then. size 0: address 0, and nothing is made. What is received has `deallocate` set, so that the receiver
 * can send it on. Both values of `copy` mean the same. */
#define MACH_MSG_PHYSICAL_COPY 0
#define MACH_MSG_VIRTUAL_COPY 1
#pragma pack(push, 4)
typedef struct {
    void *address;
    unsigned int deallocate : 8;
    mach_msg_copy_options_t copy : 8;
    unsigned int pad1 : 8;
    mach_msg_descriptor_type_t type : 8;
    mach_msg_size_t size;
} mach_msg_ool_descriptor_t;
#pragma pack(pop)

/* Behind every received message. */
#define MACH_MSG_TRAILER_FORMAT_0 0
#define MACH_MSG_TRAILER_MINIMUM_SIZE 8
typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
} mach_msg_trailer_t;

/* Behind one that is received with MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER): who has sent it, as the sender's
 * node says; 0, 0 in a notification. There are no sequence numbers, msgh_seqno is 0. */
typedef natural_t mach_port_seqno_t;
typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
} mach_msg_security_trailer_t;

#define NORMA_MSG_BYTES_MAX (48 * 1024)
#define NORMA_MSG_RIGHTS_MAX 256

/* Options of mach_msg. */
#define MACH_MSG_OPTION_NONE 0x000
#define MACH_SEND_MSG 0x001
#define MACH_RCV_MSG 0x002
#define MACH_RCV_LARGE 0x004
#define MACH_SEND_TIMEOUT 0x010
#define MACH_SEND_INTERRUPT 0x040
#define MACH_RCV_TIMEOUT 0x100
#define MACH_RCV_INTERRUPT 0x400
#define MACH_RCV_TRAILER_TYPE(type) ((mach_msg_option_t)(((type)&0xf) << 28)) /* of MACH_MSG_TRAILER_FORMAT_0 */
#define MACH_RCV_TRAILER_ELEMENTS(elements) ((mach_msg_option_t)(((elements)&0xf) << 24))
#define MACH_RCV_TRAILER_NULL 0
#define MACH_RCV_TRAILER_SENDER 2
#define MACH_MSG_TIMEOUT_NONE ((mach_msg_timeout_t)0)

/* What mach_msg returns. */
#define MACH_MSG_SUCCESS 0x00000000
#define MACH_SEND_INVALID_DATA 0x10000002 /* no buffer, or an option that does not exist */
#define MACH_SEND_INVALID_DEST 0x10000003 /* no send right, or to a port that is dead */
#define MACH_SEND_TIMED_OUT 0x10000004    /* the queue stayed full */
#define MACH_SEND_INTERRUPTED 0x10000007  /* by thread_abort */
#define MACH_SEND_MSG_TOO_SMALL 0x10000008
#define MACH_SEND_INVALID_REPLY 0x10000009
#define MACH_SEND_INVALID_RIGHT 0x1000000a  /* a descriptor names a right the task does not have */
#define MACH_SEND_INVALID_MEMORY 0x1000000c /* not all of the memory is coherent, allocated and readable */
#define MACH_SEND_NO_BUFFER 0x1000000d      /* the network ledger is used up, or the paged one for a copy of memory */
#define MACH_SEND_TOO_LARGE 0x1000000e
#define MACH_SEND_INVALID_TYPE 0x1000000f /* a descriptor of a kind or disposition that does not exist */
#define MACH_SEND_INVALID_HEADER 0x10000010
#define MACH_RCV_INVALID_NAME 0x10004002 /* no receive right */
#define MACH_RCV_TIMED_OUT 0x10004003
#define MACH_RCV_TOO_LARGE 0x10004004
#define MACH_RCV_INTERRUPTED 0x10004005  /* by thread_abort */
#define MACH_RCV_PORT_CHANGED 0x10004006 /* the right to receive was moved away */
#define MACH_RCV_INVALID_DATA 0x10004008
#define MACH_RCV_PORT_DIED 0x10004009
#define MACH_RCV_BODY_ERROR 0x1000400c /* received, but there is no room for its memory, or that is lost */

/* Notifications: messages with these ids, from the node server. They are queued even where a queue is full. */
typedef struct {
    unsigned char mig_vers, if_vers, reserved1, mig_encoding, int_rep, char_rep, float_rep, reserved2;
} NDR_record_t;
#define MACH_NOTIFY_NO_SENDERS 70
#define MACH_NOTIFY_DEAD_NAME 72
typedef struct {
    mach_msg_header_t not_header;
    NDR_record_t NDR;
    mach_msg_type_number_t not_count; /* send rights made in all */
    mach_msg_trailer_t trailer;
} mach_no_senders_notification_t;
typedef struct {
    mach_msg_header_t not_header;
    NDR_record_t NDR;
    mach_port_t not_port; /* the name, with one more reference to the dead name */
    mach_msg_trailer_t trailer;
} mach_dead_name_notification_t;

/**
 * Sends `msg` (option MACH_SEND_MSG), then receives into it (MACH_RCV_MSG); either part alone, or both. `timeout`, in
 * milliseconds, counts for a part with its MACH_SEND_TIMEOUT or MACH_RCV_TIMEOUT; without them it waits for ever.
 * Sending waits while the queue holds MACH_PORT_QLIMIT_DEFAULT messages; if it fails, nothing has been sent and every
 * right is where it was. Messages from one thread to one port arrive in order. Of those that wait to receive, the
 * longest waiter gets the next message; rcv_size must be enough for the message with its trailer, else it is
 * destroyed (MACH_RCV_TOO_LARGE), or with MACH_RCV_LARGE left in the queue, its size in msgh_size. The trailer has the
 * sender's security token if MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER) asks for it. thread_abort ends
 * either wait (MACH_SEND_INTERRUPTED, MACH_RCV_INTERRUPTED), with or without MACH_SEND_INTERRUPT, MACH_RCV_INTERRUPT:
 * nothing waits anew by itself. MACH_SEND_INVALID_MEMORY: nothing was sent and the memory is as it was.
 * MACH_RCV_BODY_ERROR: the message is there with its rights, but what of its memory has no room in the receiver's paged
 * ledger or address window, or was lost with a node, has address 0 and size 0. `notify` is not looked at. Thread-safe;
 * blocks the calling thread only. (Mach 3 mach_msg.)
 */
mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
                           mach_msg_size_t rcv_size, mach_port_t rcv_name, mach_msg_timeout_t timeout,
                           mach_port_t notify) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(mach_msg);

/** Makes a port on the node of `task`, which gets the right to receive (MACH_PORT_RIGHT_RECEIVE), or a dead name
 * (MACH_PORT_RIGHT_DEAD_NAME). KERN_INVALID_VALUE (another right), KERN_INVALID_TASK, KERN_RESOURCE_SHORTAGE. */
kern_return_t mach_port_allocate(task_t task, mach_port_right_t right, mach_port_t *name) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_allocate);

/** As mach_port_allocate, under a name that the caller chooses. KERN_NAME_EXISTS, KERN_INVALID_VALUE (0 or ~0). */
kern_return_t mach_port_allocate_name(task_t task, mach_port_right_t right, mach_port_t name) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_allocate_name);

/** Takes one reference from a send right or a dead name. KERN_INVALID_NAME, KERN_INVALID_RIGHT (only a receive
 * right). */
kern_return_t mach_port_deallocate(task_t task, mach_port_t name) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_deallocate);

/** Takes everything away that `name` stands for. A port whose receive right goes dies. KERN_INVALID_NAME. */
kern_return_t mach_port_destroy(task_t task, mach_port_t name) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(mach_port_destroy);

/** The references of one kind that `name` has; 0 if it has none of that kind. KERN_INVALID_NAME, KERN_INVALID_VALUE. */
kern_return_t mach_port_get_refs(task_t task, mach_port_t name, mach_port_right_t right,
                                 mach_port_urefs_t *refs) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(mach_port_get_refs);

/** Changes the references of one kind by `delta`; the receive right's only by -1, upon which the port dies.
 * KERN_INVALID_NAME, KERN_INVALID_RIGHT (none of that kind), KERN_INVALID_VALUE (no such kind, or more than there
 * are). References beyond MACH_PORT_UREFS_MAX: KERN_UREFS_OVERFLOW. */
kern_return_t mach_port_mod_refs(task_t task, mach_port_t name, mach_port_right_t right,
                                 mach_port_delta_t delta) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(mach_port_mod_refs);

/** What `name` stands for: MACH_PORT_TYPE_ bits. KERN_INVALID_NAME if for nothing. */
kern_return_t mach_port_type(task_t task, mach_port_t name, mach_port_type_t *type) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_type);

/** Gives `task` the right that `poly` names in the caller's name space, as `disposition` says, under `name`. All rights
 * of a task to one port are under one name: KERN_RIGHT_EXISTS if it has one already under another; KERN_NAME_EXISTS if
 * `name` stands for something else. KERN_INVALID_CAPABILITY (the caller does not have the right), KERN_INVALID_VALUE
 * (disposition or name), KERN_INVALID_TASK. */
kern_return_t mach_port_insert_right(task_t task, mach_port_t name, mach_port_t poly,
                                     mach_msg_type_name_t disposition) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_insert_right);

/** Takes a right from `task` as `disposition` says, and gives it to the caller: *poly is its name here, *type
 * MACH_MSG_TYPE_PORT_SEND or MACH_MSG_TYPE_PORT_RECEIVE. KERN_INVALID_NAME, KERN_INVALID_RIGHT, KERN_INVALID_VALUE. */
kern_return_t mach_port_extract_right(task_t task, mach_port_t name, mach_msg_type_name_t disposition,
                                      mach_port_t *poly, mach_msg_type_name_t *type) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_extract_right);

/**
 * Asks for one message to the port that the calling task receives from under `notify` (none: takes the request back).
 * MACH_NOTIFY_NO_SENDERS: when nobody has a send right to the port whose receive right is `name` and at least `sync`
 * have been made; at once if that is so already. MACH_NOTIFY_DEAD_NAME: when the port that `name` is a send right to
 * dies; at once, if `sync` is not 0, for a dead name. `disposition`: MACH_MSG_TYPE_MAKE_SEND_ONCE. An earlier request
 * is replaced, and goes unsaid; *previous is MACH_PORT_NULL. `task` must be the caller. KERN_INVALID_TASK,
 * KERN_INVALID_NAME, KERN_INVALID_RIGHT (also for tasks and threads, whose ends norma_task_wait and norma_thread_wait
 * tell), KERN_INVALID_VALUE (kind or disposition), KERN_INVALID_CAPABILITY (`notify`), KERN_INVALID_ARGUMENT (a dead
 * name and no sync).
 */
kern_return_t mach_port_request_notification(task_t task, mach_port_t name, mach_msg_id_t kind,
                                             mach_port_mscount_t sync, mach_port_t notify,
                                             mach_msg_type_name_t disposition,
                                             mach_port_t *previous) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_port_request_notification);

/* Special ports of a task. */
#define TASK_KERNEL_PORT 1
#define TASK_HOST_PORT 2
#define TASK_BOOTSTRAP_PORT 4
#define TASK_PORT_REGISTER_MAX 3
#define task_get_bootstrap_port(task, port) (task_get_special_port((task), TASK_BOOTSTRAP_PORT, (port)))
#define task_set_bootstrap_port(task, port) (task_set_special_port((task), TASK_BOOTSTRAP_PORT, (port)))

/** A send right to a special port of `task`: TASK_BOOTSTRAP_PORT, which every child inherits, and which is the job's
 * name server if nobody has set another; MACH_PORT_NULL if it was taken away or has died. TASK_KERNEL_PORT is the
 * task's own port, TASK_HOST_PORT, only of the calling task, its host's. KERN_INVALID_TASK, KERN_INVALID_ARGUMENT. */
kern_return_t task_get_special_port(task_t task, int which, mach_port_t *port) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_get_special_port);

/** Sets TASK_BOOTSTRAP_PORT of `task`, for it and the children it will have; MACH_PORT_NULL takes it away.
 * KERN_INVALID_TASK, KERN_INVALID_CAPABILITY (`port` is no send right), KERN_NOT_SUPPORTED (the others). */
kern_return_t task_set_special_port(task_t task, int which, mach_port_t port) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_set_special_port);

/** Registers up to TASK_PORT_REGISTER_MAX send rights with `task`, in the place of those before; its children inherit
 * them. KERN_INVALID_TASK, KERN_INVALID_ARGUMENT (more), KERN_INVALID_CAPABILITY (one is no send right). */
kern_return_t mach_ports_register(task_t task, const mach_port_t *ports,
                                  mach_msg_type_number_t count) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_ports_register);

/** The registered ports of `task`, always TASK_PORT_REGISTER_MAX of them, MACH_PORT_NULL where there is none. *ports is
 * allocated with vm_allocate; the caller frees it. */
kern_return_t mach_ports_lookup(task_t task, mach_port_t **ports, mach_msg_type_number_t *count) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(mach_ports_lookup);

/* The job's name server, on node 0; all tasks have it as their bootstrap port from the start. */
#define BOOTSTRAP_MAX_NAME_LEN 128 /* with the 0 at the end */
#define BOOTSTRAP_NAME_IN_USE 1101
#define BOOTSTRAP_UNKNOWN_SERVICE 1102

/** Has the name server give a send right to `port` to whoever looks `name` up, until that port dies. MACH_PORT_NULL: it
 * forgets the name. BOOTSTRAP_NAME_IN_USE, BOOTSTRAP_UNKNOWN_SERVICE (nothing to forget), KERN_INVALID_CAPABILITY
 * (`port` is no send right), KERN_INVALID_ARGUMENT (`bootstrap` is no name server; name), KERN_NODE_DOWN. */
kern_return_t bootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(bootstrap_register);

/** A send right to what is registered as `name`. BOOTSTRAP_UNKNOWN_SERVICE, others as bootstrap_register. */
kern_return_t bootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(bootstrap_look_up);

/* Ports of a node, for whoever wants to find its devices, its host or its name server. */
#define NORMA_DEVICE_PORT 1
#define NORMA_HOST_PORT 2
#define NORMA_HOST_PRIV_PORT 3
#define NORMA_NAMESERVER_PORT 4
#define NORMA_MAX_SPECIAL_PORT 32

/** Sets a special port of the node that the caller is on; MACH_PORT_NULL takes it away. `host` is mach_host_self().
 * KERN_INVALID_HOST, KERN_INVALID_ARGUMENT (`which`), KERN_INVALID_CAPABILITY (not a send right). */
NORMA_EXPORT kern_return_t norma_set_special_port(host_t host, int which, mach_port_t port) NORMA_MACH_NOEXCEPT;

/** A send right to a special port of any node; MACH_PORT_NULL if nobody has set it. KERN_INVALID_HOST,
 * KERN_INVALID_ARGUMENT (`which`, `node`), KERN_NODE_DOWN. */
NORMA_EXPORT kern_return_t norma_get_special_port(host_t host, int node, int which,
                                                  mach_port_t *port) NORMA_MACH_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#include <norma/mach_exception.h>
#include <norma/mach_sample.h>

#endif
