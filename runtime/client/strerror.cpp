// SPDX-License-Identifier: BSD-3-Clause
#include "norma/norma.h"

extern "C" const char *norma_strerror(kern_return_t code) noexcept {
    switch (code) {
    case KERN_SUCCESS:
        return "success";
    case KERN_INVALID_ADDRESS:
        return "the address is not allocated or not in the coherent window";
    case KERN_PROTECTION_FAILURE:
        return "the memory's protection does not allow it";
    case KERN_NO_SPACE:
        return "no room at that address, or none left";
    case KERN_INVALID_ARGUMENT:
        return "invalid argument";
    case KERN_FAILURE:
        return "failed (or the program was not started by `norma run`)";
    case KERN_RESOURCE_SHORTAGE:
        return "not enough memory or other resources";
    case KERN_MEMORY_FAILURE:
        return "the data is gone: the node that had the only copy has died";
    case KERN_MEMORY_ERROR:
        return "the data cannot be had at this moment";
    case KERN_ABORTED:
        return "aborted";
    case KERN_NAME_EXISTS:
        return "the name stands for something already";
    case KERN_INVALID_NAME:
        return "the name stands for nothing";
    case KERN_INVALID_RIGHT:
        return "the name does not stand for such a right";
    case KERN_UREFS_OVERFLOW:
        return "too many references";
    case KERN_RIGHT_EXISTS:
        return "the task has rights to that port under another name";
    case KERN_INVALID_TASK:
        return "no such task, or it has ended";
    case KERN_INVALID_VALUE:
        return "no such object";
    case KERN_INVALID_CAPABILITY:
        return "the port does not give that right";
    case KERN_INVALID_HOST:
        return "not a host port";
    case KERN_EXCEPTION_PROTECTED:
        return "the exception port may not be changed";
    case KERN_INVALID_LEDGER:
        return "not a ledger";
    case KERN_INVALID_SECURITY:
        return "not allowed by the security token";
    case KERN_TERMINATED:
        return "the object, or who held it, has ended";
    case KERN_NOT_SUPPORTED:
        return "not supported";
    case KERN_NODE_DOWN:
        return "the node is down";
    case KERN_OPERATION_TIMED_OUT:
        return "timed out";
    default:
        return "unknown return value";
    }
}
